"""orphans: what lies in a place and no row names, and what a row names and is not there.

Nothing is deleted by it: what an orphan is, a person finds out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

from sqlalchemy import delete, select

from hounsfield.catalog.models import (
    GOING,
    Erasure,
    Label,
    OpenMove,
    Orphan,
    Product,
    QuarantineItem,
    Snapshot,
    utc_now,
)
from hounsfield.errors import NotFound
from hounsfield.settings import one_spelling
from hounsfield.site import Site
from hounsfield.store import Zone
from hounsfield.store.product import MANIFEST

__all__ = ["find_orphans", "note_orphans"]

log = logging.getLogger(__name__)

#: Drafts, and what waits to become a study; what becomes a product in another tier has a tilde.
_ON_ITS_WAY: Final = re.compile(r"\.drafts/|\.staging/[^/~]+(/|$)")


def find_orphans(site: Site) -> list[Orphan]:
    """Looks through all zones and tiers, and through the catalog.

    What is on its way (drafts, staging, a move that is not finished) is no orphan. The catalog is
    asked before the places are listed and again afterwards, so that what is published, moved or
    deleted meanwhile is not taken for one.
    """
    places = site.places()
    named = _named(site)
    listed = {zone.name: zone.files() for zone in places}
    named |= _named(site)
    found = [
        orphan
        for zone in places
        for orphan in _unnamed(zone, _own(zone, listed[zone.name], places), named)
    ]
    return [*found, *_missing(site, listed)]


def note_orphans(site: Site) -> int:
    """Looks, and writes down what is found in the place of what was found before."""
    found = find_orphans(site)
    with site.catalog.write() as session:
        session.execute(delete(Orphan))
        session.add_all(found)
    for orphan in found:
        log.warning("%s: %s at %s", orphan.place, orphan.what, orphan.uri)
    log.info("%d orphans.", len(found))
    return len(found)


def _named(site: Site) -> set[str]:
    """Where something is that the catalog knows of."""
    columns = (Snapshot.uri, Label.uri, QuarantineItem.uri, Erasure.certificate)
    named = {uri for column in columns for uri in site.catalog.all(select(column)) if uri}
    return {one_spelling(uri) for uri in (*named, *_of_products(site))}


def _of_products(site: Site) -> Iterator[str]:
    """Where each lies, and besides: its copy, and both ends of a move that is not finished.

    And the half of it that a move or a scrub is putting together, or was killed at.
    """
    moves = {row.product_id: row for row in site.catalog.all(select(OpenMove))}
    with site.catalog.read() as session:
        products = session.execute(
            select(Product.product_id, Product.uri, Product.kind, Product.tier)
        ).all()
    for product in products:
        yield product.uri
        move = moves.get(product.product_id)
        ends = (move.source, move.target) if move else ()
        with suppress(NotFound):  # It lies in no place that is known: told as missing.
            zone, relative = site.locate(product.uri)
            places = [
                site.tier(tier, product.kind, zone.region)
                for tier in ends
                if site.has_tier(tier, product.kind, zone.region)
            ]
            copy = site.copy_of(product.tier, product.kind, zone.region)
            if copy is not None:
                places.append(copy)
            yield from (place.uri(relative) for place in places)
            yield from (place.half_uri(relative) for place in (zone, *places))


def _own(zone: Zone, files: Mapping[str, int], places: list[Zone]) -> dict[str, int]:
    """Without what is on its way, and without a place that lies within this one."""
    within = [
        other.root.removeprefix(f"{zone.root}/") + "/"
        for other in places
        if other.root.startswith(f"{zone.root}/")
    ]
    return {
        name: size
        for name, size in files.items()
        if not name.startswith(tuple(within)) and not _ON_ITS_WAY.match(name)
    }


def _folder(name: str) -> str:
    """The folder in its place that a file lies in, or in what is put together there."""
    parts = name.split("/")
    return "/".join(parts[: 2 if parts[0] == ".staging" else 1])


def _unnamed(zone: Zone, files: Mapping[str, int], named: set[str]) -> Iterator[Orphan]:
    """Files that no row leads to, together by product, or else by folder."""
    products = {name.rpartition("/")[0] for name in files if name.endswith(f"/{MANIFEST}")}
    groups: dict[tuple[str, str], list[int]] = {}
    for name, size in files.items():
        above = [name, *map(str, PurePosixPath(name).parents)]
        if any(zone.uri(place) in named for place in above):
            continue
        product = next((place for place in above if place in products), "")
        what = "product" if product else "files"
        groups.setdefault((what, product or _folder(name)), []).append(size)
    for (what, place), sizes in sorted(groups.items()):
        yield _orphan(zone.name, zone.uri(place), what, sizes)


def _missing(site: Site, listed: Mapping[str, Mapping[str, int]]) -> Iterator[Orphan]:
    """What was listed is there; for what was not, its place is asked: it may be newer.

    Of a deletion that was begun, also what it has not hidden: nobody may ever end it.
    """
    is_going = Product.product_id.in_(GOING)
    products = select(Product.uri, Product.bytes, is_going).order_by(Product.product_id)
    frozen = select(Snapshot.uri).where(Snapshot.state == "frozen")
    with site.catalog.read() as session:
        snapshots = ((uri, 0, False) for uri in session.scalars(frozen))
        rows = [*session.execute(products), *snapshots]
    for uri, size, goes in rows:
        try:
            zone, relative = site.locate(uri)
            is_listed = f"{relative}/{MANIFEST}" in listed.get(zone.name, ())
            is_there, place = is_listed or zone.has(relative), zone.name
        except NotFound:
            is_there, place = False, "no place of configs/"
        if goes or not is_there:
            yield _orphan(place, uri, "going" if goes else "row", [size])


def _orphan(place: str, uri: str, what: str, sizes: list[int]) -> Orphan:
    return Orphan(
        place=place,
        uri=uri,
        what=what,
        files=len(sizes) if what in ("product", "files") else 0,
        bytes=sum(sizes),
        seen_at=utc_now(),
    )
