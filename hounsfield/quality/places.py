"""Saying where in a study something is: by numbers and millimetres, never by UIDs or names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

import pandas as pd

__all__ = ["Place", "places"]

#: Runs of slice numbers that are listed before the rest is only counted.
MAX_RUNS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Instances of one series, or of the study as a whole (`series` is None)."""

    text: str
    series: int | None
    modality: str | None
    count: int
    value: str = ""


def places(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    ordinals: Iterable[int],
    *,
    is_study: bool,
    measure: str | None = None,
) -> list[Place]:
    """Where the instances with these ordinals are, one place a series.

    Parameters
    ----------
    table
        The instance table of the study.
    rows
        The rows of it that were checked.
    ordinals
        Of the instances; none stands for all of `rows`.
    is_study
        The check was one of the study: if all instances fail it, the study does.
    measure
        A numeric column whose values there become `Place.value`.
    """
    wanted = set(ordinals) or set(rows["ordinal"])
    if is_study and 1 < len(table) == len(wanted):
        return [Place("the study", None, None, len(table), _range(table, measure))]
    found = table[table["ordinal"].isin(wanted)]
    return [
        replace(_place(table, int(str(series)), members), value=_range(members, measure))
        for series, members in found.groupby("series", sort=True)
    ]


def _place(table: pd.DataFrame, series: int, members: pd.DataFrame) -> Place:
    modality = _modality(members)
    if series == 0:
        files = _runs(members["ordinal"])
        noun = "file" if len(members) == 1 else "files"
        text = f"{noun} {files} of {len(table)}, in no series"
        return Place(text, None, modality, len(members))
    total = int(table["series"].max())
    label = f"series {series} of {total}" + (f" ({modality})" if modality else "")
    whole = int((table["series"] == series).sum())
    if whole == 1:
        return Place(label, series, modality, 1)
    noun = "slice" if set(members["kind"]) == {"slice"} else "instance"
    return Place(f"{label}, {_within(members, noun, whole)}", series, modality, len(members))


def _within(members: pd.DataFrame, noun: str, whole: int) -> str:
    if len(members) == whole:
        return f"all {whole} {noun}s"
    text = f"{noun}{'s' if len(members) > 1 else ''} {_runs(members['slice'])} of {whole}"
    positions = members["position_mm"].dropna()
    if positions.empty:
        return text
    first, last = positions.min(), positions.max()
    if first == last:
        return f"{text}, at {first:.1f} mm"
    return f"{text}, {first:.1f} to {last:.1f} mm"


def _range(members: pd.DataFrame, measure: str | None) -> str:
    if measure is None:
        return ""
    values = pd.to_numeric(members[measure], errors="coerce").dropna()
    if values.empty:
        return "no number"
    low, high = f"{values.min():g}", f"{values.max():g}"
    return low if low == high else f"{low} to {high}"


def _modality(members: pd.DataFrame) -> str | None:
    known = sorted(set(members["Modality"].dropna()) - {"other"})
    return "/".join(known) or None


def _runs(numbers: pd.Series) -> str:
    """Such as ``3, 7–9``."""
    values = sorted({int(value) for value in numbers.dropna()})
    runs = [
        [value for _, value in run]
        for _, run in groupby(enumerate(values), lambda pair: pair[1] - pair[0])
    ]
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    more = len(texts) - MAX_RUNS
    return ", ".join(texts[:MAX_RUNS]) + (f" and {more} more" if more > 0 else "")
