"""prepare's operators: the gate skips the review where nobody is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import DownstreamTasksSkipped

from operators.prepare import GateStudyOperator, ReleaseStudyOperator
from operators.review import ReviewStudyOperator
from operators.stage import run_of
from tests.operators.conftest import MakeContext

FOUND = {"study_key": "st-a", "product_id": "p", "findings": 0}


@pytest.fixture
def gate() -> GateStudyOperator:
    with DAG("prepare", schedule=None):
        operator = GateStudyOperator(task_id="gate", study_key="st-a")
        operator >> ReviewStudyOperator(task_id="review")
    return operator


def test_a_study_that_passed_skips_the_review(
    gate: GateStudyOperator, make_context: MakeContext, stage: Callable[..., Any]
) -> None:
    found = {**FOUND, "verdict": "passed"}
    stage("hounsfield.stages.gate.gate", found)
    context = make_context(task=gate)
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        gate.execute(context)
    assert skipped.value.tasks == ["review"]
    pushed = {
        call.kwargs["key"]: call.kwargs["value"] for call in context["ti"].xcom_push.mock_calls
    }
    assert pushed["return_value"] == found, "skipping must not lose what the gate gave"


def test_a_study_in_doubt_goes_to_the_review(
    gate: GateStudyOperator, make_context: MakeContext, stage: Callable[..., Any], site: Any
) -> None:
    found = {**FOUND, "verdict": "doubtful", "findings": 2}
    looked = stage("hounsfield.stages.gate.gate", found)
    context = make_context(task=gate)
    assert gate.execute(context) == found
    context["ti"].xcom_push.assert_not_called()
    looked.assert_called_once_with(site, "st-a", run=run_of(context))


def test_release_is_one_domain_call(
    make_context: MakeContext, stage: Callable[..., Any], site: Any
) -> None:
    released = stage("hounsfield.stages.release.release", {"released": "gate"})
    context = make_context()
    operator = ReleaseStudyOperator(task_id="release", study_key="st-a")
    assert operator.execute(context) == {"released": "gate"}
    released.assert_called_once_with(site, "st-a", run=run_of(context))
