"""Studies once more: which, and through which Dag."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from hounsfield.errors import ConfigError
from operators.assets import PREPARED, RECEIVED
from operators.reprocess import ASSETS, ReplayStudiesOperator, SelectStudiesOperator
from tests.operators.conftest import MakeContext

SELECT = "hounsfield.stages.reprocess.select_studies"
UNHEARD = "hounsfield.stages.reprocess.unheard_studies"
EMPTY = {"first": "", "last": "", "only": "all", "through": "prepare", "unheard_hours": 24}


def of_day(run_type: str) -> dict[str, Any]:
    """A run over the first of March."""
    first, second = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    interval = {"data_interval_start": first, "data_interval_end": second}
    return {"run_type": run_type, "logical_date": first, **interval}


@pytest.mark.parametrize(
    ("form", "window"),
    [
        pytest.param({}, ("2026-03-01", "2026-03-01"), id="empty-is-the-interval"),
        pytest.param({"first": "2025-01-05"}, ("2025-01-05", "2025-01-05"), id="one-day"),
        pytest.param(
            {"first": "2025-01-05", "last": "2025-02-01"}, ("2025-01-05", "2025-02-01"), id="span"
        ),
        pytest.param({"last": "2026-03-04"}, ("2026-03-01", "2026-03-04"), id="until"),
    ],
)
def test_the_window_of_study_dates(
    make_context: MakeContext,
    stage: Callable[..., Any],
    form: dict[str, str],
    window: tuple[str, str],
) -> None:
    select = stage(SELECT, ["st-a"])
    context = make_context(run=of_day("backfill"), params={**EMPTY, **form})
    assert SelectStudiesOperator(task_id="select").execute(context) == ["st-a"]
    asked = select.call_args.kwargs
    assert (asked["first"], asked["last"], asked["only"]) == (*window, "all")


@pytest.mark.parametrize(
    ("run_type", "only", "keys"),
    [
        ("manual", "all", ["st-b"]),
        ("backfill", "all", ["st-b"]),
        ("scheduled", "unfinished", ["st-a", "st-b"]),
    ],
)
def test_only_a_scheduled_run_sweeps_up(
    make_context: MakeContext,
    stage: Callable[..., Any],
    run_type: str,
    only: str,
    keys: list[str],
) -> None:
    """It takes what never finished or began; a person who asks for a window gets the window."""
    select, unheard = stage(SELECT, ["st-b"]), stage(UNHEARD, ["st-a", "st-b"])
    context = make_context(run=of_day(run_type), params=EMPTY)
    assert SelectStudiesOperator(task_id="select").execute(context) == keys
    assert select.call_args.kwargs["only"] == only
    assert not unheard.called or unheard.call_args.kwargs == {"hours": 24}


def test_by_hand_without_a_date_says_what_is_missing(
    make_context: MakeContext, stage: Callable[..., Any]
) -> None:
    stage(SELECT, [])
    with pytest.raises(ConfigError, match="first"):
        SelectStudiesOperator(task_id="select").execute(make_context(params=EMPTY))


@pytest.mark.parametrize(("through", "asset"), [("prepare", RECEIVED), ("infer", PREPARED)])
def test_studies_are_announced_to_the_dag_that_was_asked_for(
    make_context: MakeContext, through: str, asset: Any
) -> None:
    context = make_context(params={**EMPTY, "through": through})
    operator = ReplayStudiesOperator(
        task_id="replay", through=through, study_keys=["st-a", "st-b"], outlets=[asset]
    )
    assert operator.execute(context) == ["st-a", "st-b"]
    assert context["outlet_events"][asset].partition_keys == {"st-a", "st-b"}
    assert ASSETS[through] == asset


@pytest.mark.parametrize(
    ("through", "keys"), [("infer", ["st-a"]), ("prepare", [])], ids=["other-dag", "no-study"]
)
def test_nothing_is_announced_elsewhere(
    make_context: MakeContext, through: str, keys: list[str]
) -> None:
    context = make_context(params={**EMPTY, "through": "prepare"})
    operator = ReplayStudiesOperator(task_id="replay", through=through, study_keys=keys)
    with pytest.raises(AirflowSkipException):
        operator.execute(context)
    assert not any(context["outlet_events"][a].partition_keys for a in (RECEIVED, PREPARED))
