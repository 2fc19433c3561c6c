"""costs: what lies in each tier, measured each day, and what that comes to in a month.

Second copies have lines of their own, at the price of their tier, also what a move that was cut off
left at its other end; so have what waits to become a study and what was refused, which have no
price. Old versions that a bucket keeps are not counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import delete, func, select

from hounsfield.catalog.models import OpenMove, Product, StorageDay, Study
from hounsfield.errors import NotFound, WrongRegion
from hounsfield.site import Site
from hounsfield.stages.traces import landing_of
from hounsfield.store import Zone
from hounsfield.store.product import MANIFEST

__all__ = ["Cost", "costs", "measure_storage"]

log = logging.getLogger(__name__)

_GB = 1e9
_COPY: Final = "copy of "
_WAITING, _REFUSED = "waiting", "quarantine"
_STAGED = ".staging/"
_CANDIDATES = "candidate"  # the folder of a study's products in the zone quarantine


@dataclass(frozen=True, slots=True)
class Cost:
    """One month of one tier, project and modality.

    Attributes
    ----------
    month
        ``2026-03``.
    tier
        Or ``copy of`` one; ``waiting``, for what is landed or staged; ``quarantine``.
    bytes
        The mean of the days that were measured.
    cost
        Of a whole month at that mean.
    """

    month: str
    tier: str
    project: str
    modality: str
    bytes: float
    cost: float


def measure_storage(site: Site, day: date) -> int:
    """Writes down what the catalog names as lying in each tier, and what lies besides.

    Measured again on the same day, the later counts. Revisions of a study that share their
    files by links count in full. What lies besides is found by listing: copies are counted
    where they are, not where they are to be.

    Returns
    -------
    int
        The bytes in all.
    """
    besides = _besides(site)
    groups = (Product.tier, Study.project, Study.modalities)
    query = (
        select(*groups, func.count(), func.sum(Product.bytes))
        .join(Study, Study.study_key == Product.study_key)
        .group_by(*groups)
    )
    with site.catalog.write() as session:
        found = [*session.execute(query).all(), *besides]
        session.execute(delete(StorageDay).where(StorageDay.day == day.isoformat()))
        session.add_all(
            StorageDay(
                day=day.isoformat(),
                tier=tier,
                project=project,
                modality=modality,
                products=count,
                bytes=size,
            )
            for tier, project, modality, count, size in found
        )
    total = sum(int(size) for *_, size in found)
    log.info("%d bytes lie here in all, on %s.", total, day)
    return total


def _besides(site: Site) -> list[tuple[str, str, str, int, int]]:
    """Tier or what it is instead, project, modality, products, and bytes."""
    with site.catalog.read() as session:
        rows = session.execute(select(Study.study_key, Study.project, Study.modalities))
        studies = {key: (project, modality) for key, project, modality in rows}
    unknown = (site.settings.site.project, "")
    counts: Counter[tuple[str, str, str]] = Counter()
    sizes: Counter[tuple[str, str, str]] = Counter()
    for what, files in _listed(site):
        for path, size in files.items():
            key = path.removeprefix(_STAGED).partition("/")[0].partition("~")[0]
            group = (what, *studies.get(key, unknown))
            counts[group] += path.endswith(f"/{MANIFEST}")
            sizes[group] += size
    return [(*group, counts[group], size) for group, size in sizes.items()]


def _listed(site: Site) -> Iterator[tuple[str, Mapping[str, int]]]:
    """What is no product's own bytes: files by path in their place, whose folders are studies."""
    for tier, zone in _copies(site):
        yield f"{_COPY}{tier}", _published(zone)
    yield from _left_by_moves(site)
    for zone in site.everywhere("quarantine"):
        listed = _published(zone).items()
        yield _REFUSED, {path: size for path, size in listed if not _is_candidate(path)}
    for zone in site.places():
        yield _WAITING, zone.files(_STAGED)
    yield _WAITING, Zone("landing", str(landing_of(site))).files()


def _left_by_moves(site: Site) -> Iterator[tuple[str, Mapping[str, int]]]:
    query = select(Product, OpenMove).join(OpenMove, OpenMove.product_id == Product.product_id)
    with site.catalog.read() as session:
        rows = session.execute(query).all()
    for product, begun in rows:
        other = begun.source if product.tier == begun.target else begun.target
        with suppress(NotFound, WrongRegion):  # A tier that is no more, or no more there.
            zone, relative = site.locate(product.uri)
            left = site.tier(other, product.kind, zone.region).files(relative)
            yield f"{_COPY}{other}", left


def _published(zone: Zone) -> dict[str, int]:
    return {path: size for path, size in zone.files().items() if not path.startswith(".")}


def _is_candidate(path: str) -> bool:
    return path.split("/")[1:2] == [_CANDIDATES]


def _copies(site: Site) -> Iterator[tuple[str, Zone]]:
    """Each place of second copies once, with its tier."""
    seen: list[Zone] = []
    for tier, settings in site.settings.tiers.tiers.items():
        for kind in settings.copies:
            for region in site.regions:
                zone = site.copy_of(tier, kind, region)
                if zone is not None and not any(zone.is_at(other) for other in seen):
                    seen.append(zone)
                    yield tier, zone


def costs(site: Site) -> list[Cost]:
    """What was measured by month, tier, project and modality, the newest month first.

    At the prices of configs/tiers.yaml, a copy at that of its tier; what it does not name costs
    nothing.
    """
    tiers = site.settings.tiers.tiers
    month = func.substr(StorageDay.day, 1, 7)
    groups = (month, StorageDay.tier, StorageDay.project, StorageDay.modality)
    with site.catalog.read() as session:
        days = session.scalars(select(StorageDay.day).distinct()).all()
        rows = session.execute(select(*groups, func.sum(StorageDay.bytes)).group_by(*groups)).all()
    measured = Counter(day[:7] for day in days)
    found = []
    for when, tier, project, modality, size in rows:
        mean = int(size) / measured[when]
        named = tiers.get(tier.removeprefix(_COPY))
        price = named.price if named else 0.0
        found.append(Cost(when, tier, project, modality, mean, mean / _GB * price))
    found.sort(key=lambda row: (row.tier, row.project, row.modality))
    return sorted(found, key=lambda row: row.month, reverse=True)
