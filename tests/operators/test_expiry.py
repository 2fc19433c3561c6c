"""Retention as Dag: a person is asked only where the policy wants it, about exactly that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from hounsfield.errors import ConfigError
from hounsfield.records import digest_of
from hounsfield.stages import expire as stages
from hounsfield.stages.expire import Expired
from operators.expiry import (
    APPROVALS,
    DECISIONS,
    ApproveExpiryOperator,
    ExpireOperator,
    PlanExpiryOperator,
)
from operators.stage import run_of
from tests.operators.conftest import MakeContext

FREE = Expired("p1", "st-a", "candidate", 5, "candidates", 30, False)
ASKED = Expired("p2", "st-b", "raw", 7, "images", 3650, True)
PLAN = {"summary": "s", "planned": [FREE.to_dict(), ASKED.to_dict()]}
APPROVAL = {"approved_by": "officer", "list": digest_of([ASKED.to_dict()])}
Stage = Callable[..., Any]


@pytest.fixture
def context(make_context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **_: None
    )
    made = make_context(params={"dry_run": False, "as_of": ""})
    made["task_instance"] = made["ti"]
    made["ti"].id = uuid4()
    return made


def answer(decision: str) -> dict[str, Any]:
    return {
        "chosen_options": [decision],
        "params_input": {"reason": APPROVALS[0]},
        "responded_by_user": {"id": "7", "name": "officer"},
        "responded_at": datetime(2026, 3, 2, tzinfo=UTC),
        "timedout": False,
    }


def approval(plan: Any = PLAN) -> ApproveExpiryOperator:
    return ApproveExpiryOperator(task_id="approve", plan=plan)


def test_what_is_offered_is_what_can_be_done() -> None:
    assert (stages.DECISIONS, stages.APPROVALS) == (DECISIONS, APPROVALS)


def test_a_plan_counts_what_wants_an_approval(context: dict[str, Any], stage: Stage) -> None:
    stage("hounsfield.stages.expire.plan_expiry", [FREE, ASKED])
    told = PlanExpiryOperator(task_id="plan").execute(context)
    assert told == {**PLAN, "summary": "1 product of 7 bytes: 1 by “images”."}
    context["params"]["dry_run"] = True
    assert PlanExpiryOperator(task_id="plan").execute(context)["planned"] == []


def test_nothing_goes_before_its_time_though_a_day_to_come_is_looked_at(
    context: dict[str, Any], stage: Stage
) -> None:
    stage("hounsfield.stages.expire.plan_expiry", [FREE, ASKED])
    context["params"]["as_of"] = "2999-12-31"
    told = PlanExpiryOperator(task_id="plan").execute(context)
    assert told["planned"] == [] and told["summary"].startswith("1 product ")
    done = stage("hounsfield.stages.expire.expire", {})
    ExpireOperator(task_id="expire", plan=PLAN).execute(context)
    assert "now" not in done.call_args.kwargs, "it is measured at the present"


@pytest.mark.parametrize("given", [APPROVAL, {"approved_by": "officer"}], ids=["now", "before"])
def test_an_approval_is_of_no_other_list(
    context: dict[str, Any], stage: Stage, given: dict[str, str]
) -> None:
    """Such as one that was planned anew, by clearing that task alone; or of an earlier release."""
    done = stage("hounsfield.stages.expire.expire", {})
    other = {"planned": [*PLAN["planned"], replace(ASKED, product_id="p3").to_dict()]}
    operator = ExpireOperator(task_id="expire_approved", plan=other, approval=given)
    with pytest.raises(ConfigError, match="another list"):
        operator.execute(context)
    done.assert_not_called()


def test_a_person_is_asked_only_where_the_policy_wants_it(context: dict[str, Any]) -> None:
    with pytest.raises(TaskAwaitingInput):
        approval().execute(context)
    with pytest.raises(AirflowSkipException):
        approval({"planned": [FREE.to_dict()]}).execute(context)


def test_an_approval_is_of_exactly_what_was_asked(
    context: dict[str, Any], stage: Stage, site: Any
) -> None:
    decide = stage("hounsfield.stages.expire.decide_expiry", True)
    assert approval().execute_complete(context, answer("Delete")) == APPROVAL
    decide.assert_called_once_with(
        site, [ASKED], "Delete", APPROVALS[0], approver="officer", run=run_of(context)
    )


def test_what_is_kept_skips_what_would_come(context: dict[str, Any], stage: Stage) -> None:
    stage("hounsfield.stages.expire.decide_expiry", False)
    with pytest.raises(AirflowSkipException):
        approval().execute_complete(context, answer("Keep"))


@pytest.mark.parametrize(
    ("given", "who", "items"),
    [(None, "", [FREE]), (APPROVAL, "officer", [ASKED])],
)
def test_each_half_of_the_plan_is_done_by_its_own_task(
    context: dict[str, Any], stage: Stage, site: Any, given: Any, who: str, items: list[Expired]
) -> None:
    done = stage("hounsfield.stages.expire.expire", {"raw": 1})
    operator = ExpireOperator(task_id="expire", plan=PLAN, approval=given)
    assert operator.execute(context) == {"raw": 1}
    done.assert_called_once_with(site, items, approved_by=who, run=run_of(context))
