"""Costs: the mean of the days that were measured, at the price of the tier."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import update

from hounsfield.catalog.models import Product
from hounsfield.site import Site
from hounsfield.stages.costs import costs, measure_storage
from hounsfield.stages.migrate import Move, move
from hounsfield.stages.scrub import scrub
from hounsfield.store import Zone
from tests.stages.conftest import RUN
from tests.stages.kept import keep, keep_study
from tests.stages.test_scrub import with_copies

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


def lines(site: Site) -> dict[tuple[str, str, str], tuple[int, float]]:
    """Tier, project and modality → bytes, and cost at 1 a byte in the hot tier."""
    tiers = site.settings.tiers.tiers
    hot = tiers["hot"].model_copy(update={"price": float(GB)})
    changed = site.settings.tiers.model_copy(update={"tiers": tiers | {"hot": hot}})
    site.settings = site.settings.model_copy(update={"tiers": changed})
    rows = costs(site)
    return {(row.tier, row.project, row.modality): (int(row.bytes), row.cost) for row in rows}


def test_copies_are_counted_where_they_are(studies: Site, tmp_path: Path) -> None:
    made = [keep(studies, "raw", key) for key in ("st-a", "st-b")]
    with_copies(studies, "hot", "raw", tmp_path / "second")
    copies = studies.settings.tiers.tiers["hot"].copies
    copies["volume"] = copies["raw"]  # Two kinds in one place are there once.
    scrub(studies, [made[0].product_id], run=RUN)  # A night looks at a share, and copies that.
    copied = sum(path.stat().st_size for path in (tmp_path / "second").rglob("*.[bj]*"))
    assert copied >= made[0].bytes
    assert measure_storage(studies, date(2026, 3, 1)) == sum(row.bytes for row in made) + copied
    assert lines(studies) == {
        ("hot", "demo", "CT"): (made[0].bytes, made[0].bytes),
        ("hot", "trial", "MR"): (made[1].bytes, made[1].bytes),
        ("copy of hot", "demo", "CT"): (copied, copied),
    }


def test_what_a_move_left_at_its_other_end_is_counted(
    studies: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = keep(studies, "volume", "st-a")

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            planned = Move(product.product_id, "st-a", "volume", product.bytes, "hot", "warm")
            move(studies, planned, run=RUN)
    left = sum(studies.tier("hot", "volume").files().values())
    assert left >= product.bytes
    assert measure_storage(studies, date(2026, 3, 1)) == product.bytes + left
    assert lines(studies)["copy of hot", "demo", "CT"] == (left, left)


def test_what_waits_and_what_was_refused_is_counted_without_a_price(studies: Site) -> None:
    candidate = keep(studies, "candidate", "st-b")
    home, raw = studies.settings.home, Path(studies.zone("raw").root)
    for path, size in (
        (Path(studies.zone("quarantine").root) / "st-b" / "second.dcm", 5),
        (home / "landing" / "st-new" / "a.dcm", 7),
        (raw / ".staging" / "st-a" / "instances" / "a.dcm", 11),
        (Path(studies.tier("warm", "raw").root) / ".staging" / "st-a~0f" / "data.bin", 13),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    measure_storage(studies, date(2026, 3, 1))
    assert lines(studies) == {
        ("hot", "trial", "MR"): (candidate.bytes, candidate.bytes),
        ("quarantine", "trial", "MR"): (5, 0.0),
        ("waiting", studies.settings.site.project, ""): (7, 0.0),
        ("waiting", "demo", "CT"): (24, 0.0),
    }
