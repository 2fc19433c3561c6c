"""Costs: the mean of the days that were measured, at the price of the tier."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import update

from hounsfield.catalog.models import Product
from hounsfield.site import Site
from hounsfield.stages.costs import costs, measure_storage
from tests.stages.kept import keep, keep_study

GB = 10**9


def put(site: Site, study_key: str, kind: str, size: int, tier: str = "hot") -> None:
    product = keep(site, kind, study_key)
    change(site, product.product_id, bytes=size, tier=tier)


def change(site: Site, product_id: str, **values: object) -> None:
    with site.catalog.write() as session:
        session.execute(update(Product).where(Product.product_id == product_id).values(**values))


@pytest.fixture
def studies(site: Site) -> Site:
    keep_study(site, "st-a", "pt-a", project="demo", modalities="CT")
    keep_study(site, "st-b", "pt-b", project="trial", modalities="MR")
    return site


def told(site: Site) -> list[tuple[str, str, str, str, float, float]]:
    tiers = site.settings.tiers
    priced = {
        name: tiers.tiers[name].model_copy(update={"price": price})
        for name, price in {"hot": 0.10, "warm": 0.02}.items()
    }
    tiers = tiers.model_copy(update={"tiers": priced})
    site.settings = site.settings.model_copy(update={"tiers": tiers})
    rows = costs(site)
    return [
        (row.month, row.tier, row.project, row.modality, row.bytes / GB, round(row.cost, 6))
        for row in rows
    ]


def test_by_tier_project_modality_and_month(studies: Site) -> None:
    put(studies, "st-a", "raw", 3 * GB)
    put(studies, "st-a", "volume", 1 * GB)
    put(studies, "st-b", "raw", 5 * GB, tier="warm")
    assert measure_storage(studies, date(2026, 3, 31)) == 9 * GB
    measure_storage(studies, date(2026, 4, 1))
    month = [("hot", "demo", "CT", 4.0, 0.4), ("warm", "trial", "MR", 5.0, 0.1)]
    assert told(studies) == [
        *(("2026-04", *row) for row in month),
        *(("2026-03", *row) for row in month),
    ]


def test_a_month_is_the_mean_of_its_days(studies: Site) -> None:
    put(studies, "st-a", "raw", 4 * GB)
    for day in (1, 2):
        measure_storage(studies, date(2026, 3, day))
    change(studies, "raw-st-a", tier="warm")
    for day in (3, 4):
        measure_storage(studies, date(2026, 3, day))
    halves = [("hot", "demo", "CT", 2.0, 0.2), ("warm", "demo", "CT", 2.0, 0.04)]
    assert told(studies) == [("2026-03", *row) for row in halves]


def test_a_day_measured_again_counts_once(studies: Site) -> None:
    put(studies, "st-a", "raw", 4 * GB)
    measure_storage(studies, date(2026, 3, 1))
    change(studies, "raw-st-a", bytes=2 * GB)
    measure_storage(studies, date(2026, 3, 1))
    assert [row[4] for row in told(studies)] == [2.0]


def test_a_tier_that_is_no_more_costs_nothing(studies: Site) -> None:
    put(studies, "st-a", "raw", 4 * GB, tier="once")
    measure_storage(studies, date(2026, 3, 1))
    assert told(studies) == [("2026-03", "once", "demo", "CT", 4.0, 0.0)]
