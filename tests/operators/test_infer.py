"""What `infer`'s tasks make of their stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from hounsfield.errors import NotYet, PacsUnavailable
from operators.infer import BuildResultsOperator, ConfirmDeliveryOperator, WriteBackOperator
from tests.operators.conftest import MakeContext

JOB = {"product_id": "p", "prediction_id": "pr", "role": "champion"}
WAITING = [
    (WriteBackOperator, "hounsfield.stages.deliver.deliver"),
    (ConfirmDeliveryOperator, "hounsfield.stages.confirm.confirm"),
]


@pytest.mark.parametrize(("kind", "name"), WAITING, ids=["write_back", "confirm"])
def test_it_waits_deferred_as_often_as_it_must(
    kind: Any, name: str, make_context: MakeContext, stage: Callable[..., Any]
) -> None:
    call = stage(name, {"study_key": "st-a"})
    call.side_effect = [NotYet("busy", seconds=15), NotYet("busy", seconds=30), {"sent": 2}]
    task, context = kind(task_id="out", study_key="st-a", job=JOB), make_context()
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    with pytest.raises(TaskDeferred) as second:
        task.resume_execution(first.value.method_name, first.value.kwargs, context)
    assert task.resume_execution(second.value.method_name, second.value.kwargs, context) == {
        "sent": 2
    }
    assert {entry.args[1:] for entry in call.call_args_list} == {("st-a", "p")}


def test_what_is_transient_otherwise_is_for_the_retries(
    make_context: MakeContext, stage: Callable[..., Any]
) -> None:
    stage("hounsfield.stages.deliver.deliver", None).side_effect = PacsUnavailable("the vault")
    with pytest.raises(PacsUnavailable):
        WriteBackOperator(task_id="out", study_key="st-a", job=JOB).execute(make_context())


def test_a_shadow_is_never_written_back(
    make_context: MakeContext, stage: Callable[..., Any]
) -> None:
    build = stage("hounsfield.stages.build_results.build_results", {})
    task = BuildResultsOperator(task_id="build", study_key="st-a", job={**JOB, "role": "shadow"})
    with pytest.raises(AirflowSkipException):
        task.execute(make_context())
    build.assert_not_called()
