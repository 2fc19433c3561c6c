"""Drift: Evidently's statistics on inputs and outputs, with the honesty not to judge."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hounsfield.monitoring.frames import GROUP, KEY
from hounsfield.monitoring.outcome import ColumnDrift, DriftOutcome, GroupDrift
from hounsfield.settings import DriftSettings

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["OUTCOME", "REPORT", "REPORT_JSON", "evaluate"]

REPORT = "drift.html"
REPORT_JSON = "evidently.json"
OUTCOME = "drift.json"


def evaluate(
    reference: DataFrame, current: DataFrame, settings: DriftSettings, out: Path
) -> DriftOutcome:
    """Compares two windows, as a whole and by manufacturer.

    Parameters
    ----------
    reference, current
        As ``drift_frames`` gives them.
    out
        Folder for ``drift.json`` and, where there was a judgement, Evidently's
        ``drift.html`` and ``evidently.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    finite = (_without_infinities(reference), _without_infinities(current))
    outcome = _evaluate(*finite, settings, out)
    (out / OUTCOME).write_text(json.dumps(outcome.to_dict(), indent=1))
    return outcome


def _evaluate(
    reference: DataFrame, current: DataFrame, settings: DriftSettings, out: Path
) -> DriftOutcome:
    before, now = _studies(reference), _studies(current)
    too_few = _too_few(before, now, settings)
    if too_few:
        return DriftOutcome(False, False, 0.0, before, now, too_few)
    columns = _compare(reference, current, settings, out)
    judged, drifted, share, sentence = _verdict(columns, settings)
    return DriftOutcome(
        judged=judged,
        drifted=drifted,
        share=share,
        reference=before,
        current=now,
        sentence=sentence,
        columns=columns,
        subgroups=_subgroups(reference, current, settings),
        report=out / REPORT if judged else None,
    )


def _subgroups(
    reference: DataFrame, current: DataFrame, settings: DriftSettings
) -> tuple[GroupDrift, ...]:
    names = {str(name) for name in (*reference[GROUP].dropna(), *current[GROUP].dropna()) if name}
    return tuple(
        _group(name, reference[reference[GROUP] == name], current[current[GROUP] == name], settings)
        for name in sorted(names)
    )


def _group(
    name: str, reference: DataFrame, current: DataFrame, settings: DriftSettings
) -> GroupDrift:
    before, now = _studies(reference), _studies(current)
    too_few = _too_few(before, now, settings)
    if too_few:
        return GroupDrift(name, before, now, False, False, 0.0, too_few)
    columns = _compare(reference, current, settings, None)
    judged, drifted, share, sentence = _verdict(columns, settings)
    return GroupDrift(name, before, now, judged, drifted, share, sentence, columns)


def _compare(
    reference: DataFrame, current: DataFrame, settings: DriftSettings, out: Path | None
) -> tuple[ColumnDrift, ...]:
    """Each column of the settings; Evidently's report is written where `out` is given."""
    reasons = {
        name: _unfit(reference[name], current[name], settings.minimum_studies)
        for name in settings.columns
    }
    fit = [name for name, reason in reasons.items() if not reason]
    found = _run_evidently(reference[fit], current[fit], settings, out) if fit else {}
    return tuple(
        found.get(name) or ColumnDrift(name, judged=False, reason=reason)
        for name, reason in reasons.items()
    )


def _unfit(reference: Series, current: Series, minimum: int) -> str:
    """Why a column cannot be compared; empty where it can."""
    before, now = int(reference.notna().sum()), int(current.notna().sum())
    if min(before, now) < minimum:
        return f"{before} values before and {now} now, {minimum} are needed in each window"
    return ""


def _run_evidently(
    reference: DataFrame, current: DataFrame, settings: DriftSettings, out: Path | None
) -> dict[str, ColumnDrift]:
    # Before the import: Evidently, like MLflow, would tell its makers of each use.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [str(name) for name in reference.columns]
    numbers = [name for name in names if _is_number(reference[name], current[name])]
    words = [name for name in names if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    windows = [
        Dataset.from_pandas(_typed(frame, numbers, words), data_definition=definition)
        for frame in (current, reference)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant columns divide by nothing, and say so
        snapshot = Report([DataDriftPreset(drift_share=settings.drift_share)]).run(*windows)
        if out is not None:
            snapshot.save_html(str(out / REPORT))
            snapshot.save_json(str(out / REPORT_JSON))
    return {
        column.name: column
        for column in (_column(metric) for metric in snapshot.dict()["metrics"])
        if column is not None
    }


def _is_number(reference: Series, current: Series) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return all(is_numeric_dtype(s) and not is_bool_dtype(s) for s in (reference, current))


def _typed(frame: DataFrame, numbers: list[str], words: list[str]) -> DataFrame:
    columns: dict[str, Series] = {name: frame[name].astype("float64") for name in numbers}
    columns |= {name: frame[name].map(str, na_action="ignore") for name in words}
    return frame.assign(**columns).reset_index(drop=True)


def _column(metric: dict[str, Any]) -> ColumnDrift | None:
    config = metric["config"]
    if not config["type"].endswith("ValueDrift"):
        return None
    method, threshold = str(config["method"]), float(config["threshold"])
    score = float(metric["value"])
    if score != score:  # not a number: the test had nothing to work on
        return ColumnDrift(config["column"], judged=False, method=method, reason="no score")
    # A p-value below the threshold is drift; a distance, above it.
    is_p_value = re.search(r"p_value", method) is not None
    drifted = score < threshold if is_p_value else score >= threshold
    return ColumnDrift(config["column"], True, drifted, method, score, threshold)


def _verdict(
    columns: tuple[ColumnDrift, ...], settings: DriftSettings
) -> tuple[bool, bool, float, str]:
    """Judged, drifted, share and a sentence."""
    judged = [column for column in columns if column.judged]
    if not judged:
        return False, False, 0.0, "Not judged: no column has enough values in both windows."
    changed = [column.name for column in judged if column.drifted]
    share = len(changed) / len(judged)
    drifted = share >= settings.drift_share
    word = "Drift" if drifted else "No drift"
    which = f": {', '.join(changed)}" if changed else ""
    return True, drifted, share, f"{word}: {len(changed)} of {len(judged)} columns changed{which}."


def _without_infinities(frame: DataFrame) -> DataFrame:
    """An infinity is a value that was not measured; Evidently drops it, but counts it first."""
    return frame.replace([float("inf"), float("-inf")], float("nan"))


def _studies(frame: DataFrame) -> int:
    return int(frame[KEY].nunique())


def _too_few(before: int, now: int, settings: DriftSettings) -> str:
    needed = settings.minimum_studies
    if min(before, now) >= needed:
        return ""
    return (
        f"Not judged: {now} studies in this window and {before} before it; "
        f"{needed} are needed in each."
    )
