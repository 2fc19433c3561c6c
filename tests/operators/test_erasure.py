"""The erasure as Dag: a person is asked without PHI, and answers in their own name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import DAG, Param
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from hounsfield.errors import ConfigError, OnHold
from hounsfield.stages import erase as stages
from operators.erasure import (
    APPROVALS,
    DECISIONS,
    ApproveErasureOperator,
    CertifyErasureOperator,
    EraseOperator,
    PlanErasureOperator,
)
from operators.stage import run_of
from tests.operators.conftest import MakeContext

FORM = {"patient": "pt-a", "why": "the patient asks for it", "requested_by": "the patient"}
Stage = Callable[..., Any]


@pytest.fixture
def context(make_context: MakeContext) -> dict[str, Any]:
    made = make_context(params=FORM)
    made["task_instance"] = made["ti"]
    made["ti"].id = uuid4()  # a field of the model, which its spec does not show
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    module = "airflow.providers.standard.operators.hitl.upsert_hitl_detail"
    monkeypatch.setattr(module, lambda **detail: told.append(detail))
    return told


def answer(decision: str = "Erase", why: str = APPROVALS[0]) -> dict[str, Any]:
    return {
        "chosen_options": [decision],
        "params_input": {"reason": why},
        "responded_by_user": {"id": "7", "name": "officer"},
        "responded_at": datetime(2026, 3, 2, tzinfo=UTC),
        "timedout": False,
    }


def approval() -> ApproveErasureOperator:
    return ApproveErasureOperator(task_id="approve", erasure_id="e1", plan="d1")


def test_what_is_offered_is_what_can_be_done() -> None:
    assert tuple(stages.DECISIONS) == DECISIONS
    assert stages.APPROVALS == APPROVALS


def test_no_field_of_the_form_takes_a_name() -> None:
    form = approval().serialized_params
    assert form.keys() == {"reason"} and form["reason"]["schema"]["enum"] == ["", *APPROVALS]
    assert "pt-" not in json.dumps(form)


def test_the_dags_own_params_are_no_part_of_the_form() -> None:
    """Airflow hands them to each task of the Dag."""
    with DAG("d", schedule=None, params={"patient": Param("", type="string")}):
        assert approval().serialized_params.keys() == {"reason"}


def test_the_form_becomes_a_plan(context: dict[str, Any], stage: Stage, site: Any) -> None:
    told = {"erasure_id": "e1", "plan": "d1", "summary": "1 study."}
    plan = stage("hounsfield.stages.erase.plan_erasure", told)
    assert PlanErasureOperator(task_id="plan").execute(context) == told
    form = {"why": FORM["why"], "requested_by": FORM["requested_by"]}
    plan.assert_called_once_with(site, "pt-a", **form, run=run_of(context))


def test_a_person_is_asked_and_no_worker_waits(
    context: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    with pytest.raises(TaskAwaitingInput):
        approval().execute(context)
    (question,) = asked
    assert question["options"] == list(DECISIONS) and not question["defaults"]


def test_an_approval_bears_the_name_of_who_answered(
    context: dict[str, Any], stage: Stage, site: Any
) -> None:
    done = {"erasure_id": "e1", "state": "approved"}
    decide = stage("hounsfield.stages.erase.decide_erasure", done)
    assert approval().execute_complete(context, answer()) == done
    decide.assert_called_once_with(
        site, "e1", "Erase", APPROVALS[0], plan="d1", approver="officer", run=run_of(context)
    )


@pytest.mark.parametrize(("told", "expected"), [({"plan": "d1"}, "d1"), ({}, "")])
def test_what_an_earlier_release_planned_is_no_plan_that_was_seen(
    context: dict[str, Any], told: dict[str, str], expected: str
) -> None:
    """It may wait for its answer while Hounsfield is updated."""
    context["ti"].xcom_pull.return_value = {"erasure_id": "e1", "summary": "1 studies.", **told}
    with DAG("d", schedule=None):
        operator = ApproveErasureOperator(task_id="approve")
    operator.render_template_fields(context)
    assert (operator.erasure_id, operator.plan) == ("e1", expected)


def test_a_rejection_skips_what_would_come(context: dict[str, Any], stage: Stage) -> None:
    stage("hounsfield.stages.erase.decide_erasure", {"erasure_id": "e1", "state": "rejected"})
    with pytest.raises(AirflowSkipException):
        approval().execute_complete(context, answer("Reject"))


def test_an_answer_that_cannot_be_done_is_asked_again(
    context: dict[str, Any], stage: Stage, asked: list[dict[str, Any]]
) -> None:
    stage("hounsfield.stages.erase.decide_erasure", None).side_effect = ConfigError("no reason")
    with pytest.raises(TaskAwaitingInput):
        approval().execute_complete(context, answer())
    assert len(asked) == 1


def test_a_legal_hold_turns_the_task_red(context: dict[str, Any], stage: Stage) -> None:
    stage("hounsfield.stages.erase.decide_erasure", None).side_effect = OnHold("matter 17")
    with pytest.raises(OnHold, match="matter 17"):
        approval().execute_complete(context, answer())


@pytest.mark.parametrize(
    ("operator", "name"), [(EraseOperator, "erase"), (CertifyErasureOperator, "certify_erasure")]
)
def test_what_was_approved_is_done(
    context: dict[str, Any], stage: Stage, site: Any, operator: Any, name: str
) -> None:
    done = stage(f"hounsfield.stages.erase.{name}", {"erasure_id": "e1"})
    assert operator(task_id="t", erasure_id="e1").execute(context) == {"erasure_id": "e1"}
    done.assert_called_once_with(site, "e1", run=run_of(context))
