"""scrub: read what nobody has read for long, find what has changed, and heal it from a copy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import func, select, update

from hounsfield.catalog.models import GOING, OpenMove, Product, Study, Tombstone, utc_now
from hounsfield.errors import (
    HounsfieldError,
    IntegrityError,
    InternalError,
    NotFound,
    NotYet,
    StudyLocked,
    WrongRegion,
)
from hounsfield.records import RunContext, counted
from hounsfield.site import Site
from hounsfield.stages.step import step
from hounsfield.store import Zone, copy, mend

__all__ = ["due", "scrub"]

log = logging.getLogger(__name__)

_BATCH = 50


def due(site: Site, share: float, *, region: str | None = None) -> list[list[str]]:
    """The products that had their turn least lately, in batches.

    Parameters
    ----------
    share
        Of all bytes that products have: with 1/30 each is read about once in a month. At least
        one product is due, where there is any.
    region
        Whose products alone; None: of all.
    """
    held = select(Product).outerjoin(Study, Study.study_key == Product.study_key)
    if region is not None:
        home = site.settings.site.region
        held = held.where(func.coalesce(func.nullif(Study.region, ""), home) == region)
    with site.catalog.read() as session:
        left = share * (session.scalar(held.with_only_columns(func.sum(Product.bytes))) or 0)
        query = held.with_only_columns(Product.product_id, Product.bytes).order_by(
            Product.verified_at.asc().nulls_first(), Product.created_at, Product.product_id
        )
        found: list[str] = []
        for product_id, size in session.execute(query):
            if found and left < size:
                break
            found.append(product_id)
            left -= size
    return [found[at : at + _BATCH] for at in range(0, len(found), _BATCH)]


def scrub(site: Site, product_ids: Sequence[str], *, run: RunContext) -> dict[str, int]:
    """Verifies products where they lie, and their copies; heals the one from the other.

    Where a tier has a place for copies and there is none yet, it is made. What lies in an archive
    is left to its store: to read it would be a recall. Files that no manifest names are told in
    the timeline, and stay.

    Returns
    -------
    dict
        How many are ``whole``, were ``healed``, lie in an ``archive``, are ``gone`` since they
        were listed, are ``going``: hidden by a deletion that is not ended, or are ``busy``: a
        move or a deletion works on them, and the next night has them first. None is ``lost``, or
        it is raised.

    Raises
    ------
    IntegrityError
        Something is damaged that no copy heals. All products were looked at by then.
    Exception
        What a place could not be read for, or a copy not be written; all others were by then.
    """
    kinds = ("whole", "healed", "archive", "gone", "going", "lost", "busy")
    counts = dict.fromkeys(kinds, 0)
    failed: Exception | None = None
    for product_id in product_ids:
        try:
            counts[_look_at(site, product_id, run)] += 1
        except StudyLocked:
            counts["busy"] += 1
        except Exception as error:  # as of a store that does not answer
            told = error if isinstance(error, HounsfieldError) else InternalError.of(error)
            log.warning("Product %s: %s", product_id[:12], told)
            _note_turn(site, product_id)
            failed = error
    if counts["lost"]:
        raise IntegrityError(
            f"{counts['lost']} of {len(product_ids)} products are damaged, and no whole copy is "
            "here",
            remedy="the log names each: restore it from a backup, or make it again, then clear "
            "the task",
        )
    if failed is not None:
        raise failed
    return counts


def _look_at(site: Site, product_id: str, run: RunContext) -> str:
    with site.catalog.lock(product_id, f"{run.run_id}/{run.task_id}/{run.map_index}"):
        product = site.catalog.product(product_id)
        if product is None:
            return "gone"
        if _is_going(site, product):
            _note_turn(site, product_id)
            return "going"
        if product.kind == "raw":
            site.audit.append(
                action="raw.verify", object=product.study_key, purpose="scrub", run=run
            )
        try:
            outcome = _verify(site, product, run)
        except (IntegrityError, NotFound, WrongRegion) as error:
            log.warning("Study %s, %s: %s", product.study_key, product.kind, error)
            outcome = "lost"
        _note_turn(site, product_id)
    return outcome


def _note_turn(site: Site, product_id: str) -> None:
    """Others have theirs before it is read again: a place that refuses for good stops no night."""
    turn = update(Product).where(Product.product_id == product_id)
    with site.catalog.write() as session:
        session.execute(turn.values(verified_at=utc_now()))


def _is_going(site: Site, product: Product) -> bool:
    """Whether a deletion has hidden it; one that was begun and hid nothing may never go on."""
    begun = site.catalog.all(GOING.where(Tombstone.product_id == product.product_id))
    with suppress(NotFound, WrongRegion):  # It lies in no place that is known, and is lost.
        zone, relative = site.locate(product.uri)
        return bool(begun) and not zone.has(relative)
    return False


def _verify(site: Site, product: Product, run: RunContext) -> str:
    zone, relative = site.locate(product.uri)
    places = [zone, *_copies(site, product, zone.region, relative)]
    whole: list[Zone] = []
    damaged: list[Zone] = []
    for place in places:
        with suppress(NotYet):  # The bucket's own rules may have put it into an archive.
            if not place.is_archive:
                (whole if _is_whole(place, relative) else damaged).append(place)
    if damaged:
        _heal(site, product, damaged, whole, run)
    for place in (*whole, *damaged):
        _tell_unnamed(site, product, place, relative, run)
    replica = site.copy_of(product.tier, product.kind, zone.region)
    if replica is not None and not replica.has(relative) and zone in (*whole, *damaged):
        copy(zone, replica, relative)
        if site.catalog.product(product.product_id) is None:  # A lock lasts two hours.
            replica.purge(relative)
    if damaged:
        return "healed"
    return "whole" if whole else "archive"


def _copies(site: Site, product: Product, region: str, relative: str) -> list[Zone]:
    """Where else the product lies as it lies in its tier: its copy, and the rest of a move."""
    found = [site.copy_of(product.tier, product.kind, region)]
    forms = {name: tier.form for name, tier in site.settings.tiers.tiers.items()}
    for begun in site.catalog.all(select(OpenMove).filter_by(product_id=product.product_id)):
        other = begun.target if begun.source == product.tier else begun.source
        is_known = site.has_tier(other, product.kind, region)
        if is_known and forms[other] == forms.get(product.tier):
            found.append(site.tier(other, product.kind, region))
    return [place for place in found if place is not None and place.has(relative)]


def _is_whole(place: Zone, relative: str) -> bool:
    try:
        place.verify(relative)
    except (IntegrityError, NotFound):
        return False
    return True


def _tell_unnamed(
    site: Site, product: Product, place: Zone, relative: str, run: RunContext
) -> None:
    """What a kill or a person left beside the files of a product; its name could be a patient's."""
    if unnamed := place.unnamed(relative):
        with step(site, product.study_key, "scrub", run, quarantine=False) as record:
            record.say(
                f"In {product.kind} {product.product_id[:12]} in {place.name} its manifest does "
                f"not name {counted(len(unnamed), 'file')}."
            )


def _heal(
    site: Site, product: Product, damaged: list[Zone], whole: list[Zone], run: RunContext
) -> None:
    with step(site, product.study_key, "scrub", run, quarantine=False) as record:
        _, relative = site.locate(product.uri)
        names = ", ".join(place.name for place in damaged)
        what = f"{product.kind} {product.product_id[:12]} is damaged in {names}"
        record.digest = product.digest
        if not whole:
            raise IntegrityError(
                f"{what}, and no whole copy is here",
                where=product.study_key,
                remedy="restore it from a backup, or make it again",
            )
        files = sum(mend(place, whole[0], relative) for place in damaged)
        record.say(f"The {what}: {files} files were healed from {whole[0].name}.")
