"""dispose: the one way by which a product is deleted for good, and the tombstone that it leaves.

A tombstone is opened, the bytes go, then row and tombstone are settled in one transaction.
Killed between any two of these, the same call goes on with the same tombstone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from hounsfield.catalog.models import Label, OpenMove, Product, Tombstone, utc_now
from hounsfield.errors import NotFound, ObjectLocked, OnHold
from hounsfield.records import RunContext
from hounsfield.site import Site

__all__ = [
    "Grounds",
    "begun",
    "bury",
    "check_hold",
    "discard",
    "dispose",
    "go_on",
    "left_of",
    "past_locks",
    "settle",
]


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why something is deleted: what its tombstone says.

    Attributes
    ----------
    rule
        The policy that asks for it, such as ``erase_patient``.
    why
        A sentence without any patient in it.
    approved_by
        Who said yes; empty where the rule asks nobody.
    case
        The erasure that it is part of.
    """

    rule: str
    why: str
    approved_by: str = ""
    case: str = ""


def dispose(site: Site, product: Product, grounds: Grounds, *, run: RunContext) -> None:
    """Deletes a product: an event of the audit trail first, then its bytes and its rows.

    Raises
    ------
    OnHold
        If a legal hold keeps its study, or all of its patient's.
    ObjectLocked
        If an object lock keeps versions of it: it is hidden, and in all other places gone. When
        the lock has ended, the same call ends it.
    StudyLocked
        If a move or a scrub works on it just now: it would put a copy back.
    NotFound, WrongRegion
        If a move that was not finished may have left some of it in a tier that is no more.
    """
    check_hold(site, product.study_key)
    site.audit.append(
        action="product.delete",
        object=product.study_key,
        purpose=f"{grounds.rule}: {grounds.why}",
        run=run,
        detail=f"{product.kind} {product.digest}",
    )
    # Whoever deletes for the same reason goes on with what another was killed at.
    with site.catalog.lock(product.product_id, f"{grounds.rule} {grounds.case}".strip()):
        held = site.catalog.product(product.product_id)  # It may have been moved since, or be gone.
        if held is not None:
            _delete(site, held, grounds, run, for_good=True)


def discard(site: Site, product: Product, why: str, *, run: RunContext) -> None:
    """Takes away what the pipeline itself replaces: a candidate, or the pictures of a review.

    A legal hold keeps none of these: what they were made from stays. Old versions stay, too,
    where a store keeps them, until the study goes for good.
    """
    _delete(site, product, Grounds(rule="replaced", why=why), run, for_good=False)


def bury(site: Site, stone: Tombstone, remove: Callable[[], None], grounds: Grounds) -> None:
    """Deletes what is no product, such as instances that wait for their study.

    Parameters
    ----------
    stone
        Says what and where: `study_key`, `kind`, `uri`, `bytes`.
    remove
        Removes the bytes; called again after a kill, it finds less, or nothing.
    """
    number = _open(site, stone, grounds)
    remove()
    with site.catalog.write() as session:
        _close(session, number)


@contextmanager
def past_locks() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Gives a block for each of several deletions, which an object lock in one does not stop.

    Raises
    ------
    ObjectLocked
        When all were tried: one whose end is not told, since a right may be missing; else the one
        that ends last.
    """
    kept: list[ObjectLocked] = []

    @contextmanager
    def past() -> Iterator[None]:
        try:
            yield
        except ObjectLocked as error:
            kept.append(error)

    yield past
    if kept:
        raise max(kept, key=lambda error: (not error.until, error.until))


def begun(site: Site, case: str) -> list[Tombstone]:
    """The tombstones of a case that are open still: a kill or an object lock stopped these."""
    return [stone for stone in site.catalog.tombstones(case=case) if stone.deleted_at is None]


def go_on(site: Site, stone: Tombstone, grounds: Grounds, *, run: RunContext) -> None:
    """Ends a deletion that was begun: what is hidden already, nobody finds by looking for it."""
    product = site.catalog.product(stone.product_id)
    if product is not None:
        dispose(site, product, grounds, run=run)
        return
    with suppress(NotFound):  # It lies in no zone, where nothing is hidden.
        zone, relative = site.locate(stone.uri)
        zone.purge(relative)


def left_of(site: Site, stone: Tombstone) -> int:
    """How much is here still of what a tombstone is of: a row, files, and versions of them."""
    rows = int(site.catalog.product(stone.product_id) is not None)
    with suppress(NotFound):
        zone, relative = site.locate(stone.uri)
        return rows + len(zone.files(relative)) + zone.versions(relative)
    return rows


def settle(site: Site, case: str) -> None:
    """Closes the tombstones of a case that a kill left open, once it is proven that all is gone."""
    with site.catalog.write() as session:
        session.execute(
            update(Tombstone)
            .where(Tombstone.case == case, Tombstone.deleted_at.is_(None))
            .values(deleted_at=utc_now())
        )


def check_hold(site: Site, study_key: str, *patient_keys: str) -> None:
    """Raises where a study may not be deleted.

    Parameters
    ----------
    patient_keys
        Its patient's pseudonyms, where the catalog does not know all of them.

    Raises
    ------
    OnHold
        Naming the hold and its reason.
    """
    own = site.catalog.holds(*patient_keys) if patient_keys else ()
    for hold in (*site.catalog.holds_on(study_key), *own):
        raise OnHold(
            f"legal hold {hold.id} keeps it: {hold.why}",
            where=study_key,
            remedy=f"whoever may: hounsfield hold --lift {hold.id}",
        )


def _delete(
    site: Site, product: Product, grounds: Grounds, run: RunContext, *, for_good: bool
) -> None:
    stone = Tombstone(
        study_key=product.study_key,
        product_id=product.product_id,
        kind=product.kind,
        digest=product.digest,
        uri=product.uri,
        tier=product.tier,
        bytes=product.bytes,
        actor=run.actor,
        run_id=run.run_id,
    )
    zone, relative = site.locate(product.uri)
    for begun in site.catalog.all(select(OpenMove).filter_by(product_id=product.product_id)):
        for end in (begun.source, begun.target):
            site.tier(end, product.kind, zone.region)
    number = _open(site, stone, grounds)
    # A move leaves old versions, or a second one where it was cut off; a tier may have copies.
    with past_locks() as past:
        for place in (zone, *site.tiers_of(product.kind)):
            with past():
                (place.purge if for_good else place.delete)(relative)
    with site.catalog.write() as session:
        session.execute(delete(Label).where(Label.uri == product.uri))
        session.execute(delete(OpenMove).where(OpenMove.product_id == product.product_id))
        row = session.get(Product, product.product_id, with_for_update=True)
        if row is None:  # Another has ended it, and left its tombstone: this is of nothing.
            mine = delete(Tombstone).where(Tombstone.id == number, Tombstone.deleted_at.is_(None))
            session.execute(mine)
            return
        session.delete(row)
        _close(session, number)


def _open(site: Site, stone: Tombstone, grounds: Grounds) -> int:
    """The number of the tombstone: a new one, or that which the same deletion left open."""
    left = select(Tombstone).where(
        Tombstone.study_key == stone.study_key,
        Tombstone.kind == stone.kind,
        Tombstone.product_id == (stone.product_id or ""),
        Tombstone.uri == stone.uri,
        Tombstone.deleted_at.is_(None),
    )
    with site.catalog.write() as session:
        known = session.scalars(left).first()
        if known is not None and not grounds.case:
            return known.id
        stone = known or stone  # What another rule began, an erasure's certificate lists, too.
        stone.rule, stone.why = grounds.rule, grounds.why
        stone.approved_by, stone.case = grounds.approved_by, grounds.case
        session.add(stone)
        session.flush()
        return stone.id


def _close(session: Session, number: int) -> None:
    session.execute(update(Tombstone).where(Tombstone.id == number).values(deleted_at=utc_now()))
