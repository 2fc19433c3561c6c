"""The windows: who is in which, and what a row says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hounsfield.catalog.models import Prediction, Series, Study
from hounsfield.monitoring import drift_frames
from hounsfield.settings import DriftSettings, Settings
from hounsfield.site import Site

NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)
SETTINGS = DriftSettings(
    columns=("findings", "ImageType", "emphysema_index", "lung_nodule.findings", "unheard_of"),
    window_days=1,
    reference_days=7,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(Settings.load({"HOUNSFIELD_HOME": str(tmp_path / "home")}))
    made.set_up()
    return made


def add(
    site: Site, number: int, days_ago: float, model: str = "lung_nodule", **more: object
) -> None:
    site.catalog.put(Study(study_key=f"st-{number}", patient_key="pt-1"))
    site.catalog.put(
        Series(
            series_key=f"2.25.{number}",
            study_key=f"st-{number}",
            modality="CT",
            manufacturer="Acme",
            facts={"ImageType": ["ORIGINAL", "PRIMARY"], "manufacturer": "not this"},
        )
    )
    values: dict[str, object] = {
        "prediction_id": f"{number}-{model}-{days_ago}",
        "study_key": f"st-{number}",
        "series_key": f"2.25.{number}",
        "model": model,
        "version": "1",
        "volume_digest": "v",
        "product_id": "p",
        "findings": 2,
        "created_at": NOW - timedelta(days=days_ago),
        **more,
    }
    site.catalog.put(Prediction(**values))


def test_each_window_has_its_own(site: Site) -> None:
    for number, days_ago in enumerate((0.0, 0.5, 1.0, 1.5, 8.0, 8.5)):
        add(site, number, days_ago)
    reference, current = drift_frames(site, NOW, SETTINGS)
    assert set(current["study_key"]) == {"st-1", "st-2"}
    assert set(reference["study_key"]) == {"st-3", "st-4"}


def test_two_models_make_one_row(site: Site) -> None:
    add(site, 1, 0.5)
    add(site, 1, 0.4, "lung_density", findings=0, numbers={"emphysema_index": 7.5})
    _, current = drift_frames(site, NOW, SETTINGS)
    (row,) = current.to_dict("records")
    assert row["emphysema_index"] == 7.5
    assert row["lung_nodule.findings"] == 2
    assert row["ImageType"] == "ORIGINAL\\PRIMARY"
    assert row["manufacturer"] == "Acme"
    assert row["unheard_of"] != row["unheard_of"]


def test_a_shadow_says_nothing_here(site: Site) -> None:
    add(site, 1, 0.5, role="shadow")
    _, current = drift_frames(site, NOW, SETTINGS)
    assert current.empty


def test_an_empty_catalog_gives_empty_windows_with_columns(site: Site) -> None:
    reference, current = drift_frames(site, NOW, SETTINGS)
    assert reference.empty
    assert list(current.columns) == [*SETTINGS.columns, "manufacturer", "study_key"]
