"""costs: what lies in each tier, measured each day, and what that comes to in a month."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete, func, select

from hounsfield.catalog.models import Product, StorageDay, Study
from hounsfield.site import Site

__all__ = ["Cost", "costs", "measure_storage"]

log = logging.getLogger(__name__)

_GB = 1e9


@dataclass(frozen=True, slots=True)
class Cost:
    """One month of one tier, project and modality.

    Attributes
    ----------
    month
        ``2026-03``.
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
    """Writes down what the catalog names as lying in each tier; gives the bytes in all.

    Measured again on the same day, the later counts. Revisions of a study that share their
    files by links count in full.
    """
    groups = (Product.tier, Study.project, Study.modalities)
    query = (
        select(*groups, func.count(), func.sum(Product.bytes))
        .join(Study, Study.study_key == Product.study_key)
        .group_by(*groups)
    )
    with site.catalog.write() as session:
        found = session.execute(query).all()
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


def costs(site: Site) -> list[Cost]:
    """What was measured by month, tier, project and modality, the newest month first.

    At the prices of configs/tiers.yaml; a tier that it names no more costs nothing.
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
        price = tiers[tier].price if tier in tiers else 0.0
        found.append(Cost(when, tier, project, modality, mean, mean / _GB * price))
    found.sort(key=lambda row: (row.tier, row.project, row.modality))
    return sorted(found, key=lambda row: row.month, reverse=True)
