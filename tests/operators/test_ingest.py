"""From the PACS: what is announced, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from hounsfield.errors import (
    HounsfieldError,
    IncompleteStudy,
    NotYet,
    PacsUnavailable,
    StudyLocked,
)
from operators.assets import RECEIVED
from operators.ingest import FindStudiesOperator, RetrieveStudyOperator
from operators.policy import source_queues
from operators.stage import run_of
from tests.operators.conftest import MakeContext

MARCH_1, MARCH_2 = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
RETRIEVE = "hounsfield.stages.ingest.retrieve_study"


def retrieve() -> RetrieveStudyOperator:
    return RetrieveStudyOperator(task_id="retrieve", study_key="st-a")


@pytest.mark.parametrize("status", ["new", "revised"])
def test_a_whole_study_becomes_a_partition(
    make_context: MakeContext, stage: Callable[..., Any], status: str
) -> None:
    stage(RETRIEVE, {"study_key": "st-a", "digest": "d", "status": status})
    context = make_context()
    assert retrieve().execute(context)["status"] == status
    assert context["outlet_events"][RECEIVED].partition_keys == {"st-a"}


@pytest.mark.parametrize(("max_tries", "first_try"), [(4, 1), (6, 3)], ids=["tried", "cleared"])
def test_the_tries_since_it_was_asked_for_are_told(
    make_context: MakeContext, stage: Callable[..., Any], site: Any, max_tries: int, first_try: int
) -> None:
    mock = stage(RETRIEVE, {"study_key": "st-a", "digest": "d", "status": "new"})
    context = make_context()
    context["ti"].max_tries = max_tries
    task = RetrieveStudyOperator(task_id="r", study_key="st-a", source="pacs", retries=4)
    task.execute(context)
    mock.assert_called_once_with(site, "st-a", "pacs", run=run_of(context), first_try=first_try)


def test_an_unchanged_study_is_skipped_and_not_announced(
    make_context: MakeContext, stage: Callable[..., Any]
) -> None:
    stage(RETRIEVE, {"study_key": "st-a", "digest": "d", "status": "unchanged"})
    context = make_context()
    with pytest.raises(AirflowSkipException):
        retrieve().execute(context)
    assert not context["outlet_events"][RECEIVED].partition_keys


@pytest.mark.parametrize(
    "error",
    [PacsUnavailable("the association broke"), IncompleteStudy("lists 60 and gave 57")],
    ids=lambda error: error.code,
)
def test_a_study_that_is_not_whole_is_not_announced(
    make_context: MakeContext, stage: Callable[..., Any], error: HounsfieldError
) -> None:
    stage(RETRIEVE, None).side_effect = error
    context = make_context()
    with pytest.raises(type(error)):
        retrieve().execute(context)
    assert not context["outlet_events"][RECEIVED].partition_keys


@pytest.mark.parametrize(
    "wait",
    [
        NotYet("it is asked once more", seconds=2),
        StudyLocked("another run holds the study"),
    ],
    ids=lambda error: error.code,
)
def test_what_is_waited_for_is_announced_when_it_came(
    make_context: MakeContext, stage: Callable[..., Any], wait: NotYet
) -> None:
    """Deferred, and called again by the triggerer: the same context, the same announcement."""
    mock = stage(RETRIEVE, {"study_key": "st-a", "digest": "d", "status": "new"})
    mock.side_effect = wait
    context = make_context()
    with pytest.raises(TaskDeferred) as deferral:
        retrieve().execute(context)
    assert not context["outlet_events"][RECEIVED].partition_keys
    mock.side_effect = None
    getattr(retrieve(), deferral.value.method_name)(context)
    assert context["outlet_events"][RECEIVED].partition_keys == {"st-a"}


@pytest.mark.parametrize(
    ("run_type", "looks_back"), [("scheduled", True), ("backfill", False), ("manual", False)]
)
def test_the_window_is_the_data_interval(
    make_context: MakeContext,
    stage: Callable[..., Any],
    site: Any,
    run_type: str,
    looks_back: bool,
) -> None:
    """Only a scheduled run asks for what came late to the days before."""
    find = stage("hounsfield.stages.ingest.find_studies", ["st-a"])
    interval = {"data_interval_start": MARCH_1, "data_interval_end": MARCH_2}
    context = make_context(run={"logical_date": MARCH_1, "run_type": run_type, **interval})
    assert FindStudiesOperator(task_id="find", source="pacs").execute(context) == ["st-a"]
    find.assert_called_once_with(
        site, "pacs", MARCH_1, MARCH_2, run=run_of(context), looks_back=looks_back
    )


def test_sources_come_from_the_configuration() -> None:
    assert source_queues() == {"pacs": "default"}
