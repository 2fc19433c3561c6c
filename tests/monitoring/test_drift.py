"""A shift is called drift, its absence is not, and too little is not judged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hounsfield.monitoring import ColumnDrift, DriftOutcome, evaluate
from hounsfield.settings import DriftSettings

SETTINGS = DriftSettings(
    columns=("slice_thickness_mm", "manufacturer", "emphysema_index", "confidence"),
    minimum_studies=5,
)


def window(count: int, *, shift: float = 0.0, seed: int = 0, **columns: Any) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "slice_thickness_mm": random.normal(1.5 + shift, 0.3, count),
            "manufacturer": random.choice(["Acme", "Globex"], count),
            "emphysema_index": random.gamma(2.0, 2.0, count) + 5 * shift,
            "confidence": random.uniform(0.2, 0.8, count),
            "study_key": [f"st-secret{n}" for n in range(count)],
            **columns,
        }
    )


def column(outcome: DriftOutcome, name: str) -> ColumnDrift:
    return next(found for found in outcome.columns if found.name == name)


def test_the_same_distribution_is_no_drift(tmp_path: Path) -> None:
    outcome = evaluate(window(200), window(60, seed=1), SETTINGS, tmp_path)
    assert outcome.judged
    assert not outcome.drifted
    assert outcome.sentence.startswith("No drift")


def test_a_shift_is_drift_and_named(tmp_path: Path) -> None:
    outcome = evaluate(window(200), window(60, shift=2, seed=1), SETTINGS, tmp_path)
    assert outcome.drifted
    assert outcome.share == 0.5
    assert column(outcome, "emphysema_index").drifted
    assert not column(outcome, "confidence").drifted
    assert "slice_thickness_mm, emphysema_index" in outcome.sentence


def test_our_count_is_evidentlys(tmp_path: Path) -> None:
    """Beyond 1000 rows Evidently takes distances, where more is worse, for p-values."""
    for count in (200, 1500):
        outcome = evaluate(window(count), window(count, shift=2, seed=1), SETTINGS, tmp_path)
        metrics = json.loads((tmp_path / "evidently.json").read_text())["metrics"]
        total = next(m["value"] for m in metrics if "DriftedColumnsCount" in m["metric_name"])
        assert outcome.share == total["share"]
        assert sum(c.drifted for c in outcome.columns) == total["count"]


def test_too_few_studies_are_not_judged(tmp_path: Path) -> None:
    outcome = evaluate(window(200), window(4, shift=9), SETTINGS, tmp_path)
    assert (outcome.judged, outcome.drifted, outcome.report) == (False, False, None)
    assert "4 studies in this window" in outcome.sentence
    assert outcome.metrics() == {"reference_studies": 200, "studies": 4}
    assert json.loads((tmp_path / "drift.json").read_text())["judged"] is False


def test_many_series_of_one_study_are_one_study(tmp_path: Path) -> None:
    current = window(50, study_key="st-1")
    assert not evaluate(window(200), current, SETTINGS, tmp_path).judged


@pytest.mark.parametrize(
    "odd",
    [
        {"confidence": 1.0},
        {"confidence": None},
        {"confidence": np.inf},
        {"manufacturer": "Acme"},
        {"manufacturer": ""},
        {"confidence": ["a", 1.0] * 20},
        {"confidence": [True, False] * 20},
        {"confidence": [None] * 37 + [0.5] * 3},
    ],
)
@pytest.mark.parametrize("both", [True, False])
def test_odd_columns_do_not_crash(odd: dict[str, Any], both: bool, tmp_path: Path) -> None:
    reference = window(40, **(odd if both else {}))
    outcome = evaluate(reference, window(40, seed=1, **odd), SETTINGS, tmp_path)
    assert outcome.judged
    assert not column(outcome, "slice_thickness_mm").drifted
    for found in outcome.columns:
        assert found.judged or found.reason
        assert found.score is None or np.isfinite(found.score)


def test_a_column_without_values_says_so(tmp_path: Path) -> None:
    outcome = evaluate(window(40, confidence=None), window(40), SETTINGS, tmp_path)
    found = column(outcome, "confidence")
    assert not found.judged
    assert "0 values before and 40 now" in found.reason
    nothing = evaluate(
        window(40), window(40), SETTINGS.model_copy(update={"columns": ()}), tmp_path
    )
    assert not nothing.judged


def test_drift_of_one_manufacturer_shows_by_subgroup(tmp_path: Path) -> None:
    current = window(80, seed=1)
    acme = current["manufacturer"] == "Acme"
    current.loc[acme, ["slice_thickness_mm", "confidence"]] += 3
    outcome = evaluate(window(200), current, SETTINGS, tmp_path)
    groups = {found.group: found for found in outcome.subgroups}
    assert groups["Acme"].drifted
    assert groups["Globex"].judged
    assert not groups["Globex"].drifted


def test_a_rare_manufacturer_is_not_judged(tmp_path: Path) -> None:
    current = window(40, seed=1)
    current.loc[0, "manufacturer"] = "Initech"
    groups = {g.group: g for g in evaluate(window(40), current, SETTINGS, tmp_path).subgroups}
    assert not groups["Initech"].judged
    assert "1 studies in this window and 0 before" in groups["Initech"].sentence


def test_the_report_loads_nothing_and_holds_no_key(tmp_path: Path) -> None:
    outcome = evaluate(window(40), window(40, seed=1), SETTINGS, tmp_path)
    assert outcome.report is not None
    page = outcome.report.read_text()
    assert "st-secret" not in page
    assert not re.search(r"""<(script|link|img|iframe)[^>]*(src|href)=["']https?:""", page)
    assert not re.search(r"""url\(["']?https?:""", page)
    json.dumps(outcome.to_dict(), allow_nan=False)
