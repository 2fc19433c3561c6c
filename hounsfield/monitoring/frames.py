"""Two tables out of the catalog: the window that is judged, and the days before it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from hounsfield.catalog.models import Prediction, Series
from hounsfield.settings import DriftSettings
from hounsfield.site import Site

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["GROUP", "KEY", "drift_frames"]

#: The column that subgroups are made of, present whether or not it is judged itself.
GROUP = "manufacturer"
#: Pseudonym of the study: counted, never judged, and not in the report.
KEY = "study_key"

_SERIES_COLUMNS = ("modality", "body_part", "manufacturer", "slice_thickness_mm", "instance_count")


def drift_frames(site: Site, now: datetime, settings: DriftSettings) -> tuple[DataFrame, DataFrame]:
    """What the champions read and said, in the reference window and in the current one.

    One row a series that was read: facts of its de-identified header, and the numbers of all
    champions' predictions on it. The current window is the `window_days` before `now`, the
    reference the `reference_days` before that; a prediction counts by the time it was made.

    Returns
    -------
    tuple of DataFrame
        Reference and current, with the columns of `settings` (a name that nothing bears is
        a column without values), ``manufacturer`` and ``study_key``.
    """
    begin = now - timedelta(days=settings.window_days)
    earliest = begin - timedelta(days=settings.reference_days)
    return (
        _frame(_rows(site, earliest, begin), settings),
        _frame(_rows(site, begin, now), settings),
    )


def _rows(site: Site, since: datetime, until: datetime) -> list[dict[str, Any]]:
    query = (
        select(Prediction, Series)
        .join(Series, Series.series_key == Prediction.series_key)
        .where(Prediction.role == "champion")
        .where(Prediction.created_at >= since, Prediction.created_at < until)
        .order_by(Prediction.created_at, Prediction.prediction_id)
    )
    rows: dict[str, dict[str, Any]] = {}
    with site.catalog.read() as session:
        # Of two versions that read a series in one window, the later speaks.
        for prediction, series in session.execute(query):
            row = rows.setdefault(series.series_key, _inputs(series))
            row.update(_outputs(prediction))
    return list(rows.values())


def _inputs(series: Series) -> dict[str, Any]:
    facts = {name: _scalar(value) for name, value in series.facts.items()}
    columns = {name: getattr(series, name) for name in _SERIES_COLUMNS}
    return {**facts, **columns, KEY: series.study_key}


def _outputs(prediction: Prediction) -> dict[str, Any]:
    """The numbers under their names, and under the model's name too.

    Two models may both count findings: ``findings`` is then the last model's, and
    ``lung_nodule.findings`` says whose.
    """
    numbers = {"findings": prediction.findings, **prediction.numbers}
    return {**numbers, **{f"{prediction.model}.{name}": v for name, v in numbers.items()}}


def _scalar(value: Any) -> Any:
    return "\\".join(str(part) for part in value) if isinstance(value, list) else value


def _frame(rows: Iterable[dict[str, Any]], settings: DriftSettings) -> DataFrame:
    from pandas import DataFrame

    columns = list(dict.fromkeys((*settings.columns, GROUP, KEY)))
    return DataFrame(list(rows)).reindex(columns=columns)
