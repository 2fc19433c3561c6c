"""The review as one of Airflow's required actions: asked without PHI, done with a name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from airflow.sdk.exceptions import TaskAwaitingInput

from hounsfield.errors import ConfigError, DeidentificationError
from hounsfield.stages import review as stages
from operators.keys import KEY, VARIABLE
from operators.review import AGAINST, DECISIONS, REASONS, ReviewStudyOperator
from operators.stage import run_of
from tests.operators.conftest import MakeContext

QUESTION = object()
Answer = dict[str, Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was written into Airflow's database as a question."""
    told: list[dict[str, Any]] = []
    module = "airflow.providers.standard.operators.hitl.upsert_hitl_detail"
    monkeypatch.setattr(module, lambda **detail: told.append(detail))
    return told


@pytest.fixture
def context(make_context: MakeContext) -> dict[str, Any]:
    made = make_context()
    made["task_instance"] = made["ti"]
    made["ti"].id = uuid4()  # a field of the model, which its spec does not show
    return made


def operator() -> ReviewStudyOperator:
    return ReviewStudyOperator(task_id="review", study_key="st-a")


def answer(decision: str = "Release", **fields: str) -> Answer:
    return {
        "chosen_options": [decision],
        "params_input": {"why": REASONS[0], "regions": "", **fields},
        "responded_by_user": {"id": "7", "name": "officer"},
        "responded_at": datetime(2026, 3, 2, tzinfo=UTC),
        "timedout": False,
    }


def test_what_is_offered_is_what_can_be_done() -> None:
    assert tuple(stages.DECISIONS) == DECISIONS
    assert (stages.REASONS, stages.AGAINST) == (REASONS, AGAINST)


def test_a_person_is_asked_and_no_worker_waits(
    context: dict[str, Any], stage: Callable[..., Any], asked: list[dict[str, Any]]
) -> None:
    stage("hounsfield.stages.review.open_review", QUESTION)
    with pytest.raises(TaskAwaitingInput) as waiting:
        operator().execute(context)
    assert waiting.value.method_name == "execute_complete"
    (question,) = asked
    assert question["options"] == list(DECISIONS) and not question["multiple"]
    why = question["params"]["why"]
    assert why["schema"]["enum"] == ["", *REASONS] and why["value"] == "", "no reason is picked yet"


def test_no_field_of_the_form_takes_a_name() -> None:
    """Airflow keeps what is written there."""
    form = operator().serialized_params
    assert form.keys() == {"why", "regions"}
    assert form["why"]["schema"]["enum"]
    assert form["regions"]["schema"]["pattern"] == "^[0-9:;, ]*$"
    assert "st-" not in json.dumps(form)


def test_without_a_question_nobody_is_asked(
    context: dict[str, Any], stage: Callable[..., Any], asked: list[dict[str, Any]]
) -> None:
    stage("hounsfield.stages.review.open_review", None)
    assert operator().execute(context)["decision"] == "none was needed"
    assert not asked


def test_a_decision_is_done_in_the_name_of_who_answered(
    context: dict[str, Any], stage: Callable[..., Any], site: Any
) -> None:
    done = {"study_key": "st-a", "decision": "Release", "verdict": "passed"}
    decide = stage("hounsfield.stages.review.decide", done)
    assert operator().execute_complete(context, answer()) == done
    told = {"decision": "Release", "why": REASONS[0], "regions": ""}
    decide.assert_called_once_with(site, "st-a", told, reviewer="officer", run=run_of(context))


def test_still_in_doubt_after_masking_it_is_asked_again(
    context: dict[str, Any], stage: Callable[..., Any], asked: list[dict[str, Any]]
) -> None:
    stage("hounsfield.stages.review.decide", {"verdict": "doubtful"})
    stage("hounsfield.stages.review.open_review", QUESTION)
    with pytest.raises(TaskAwaitingInput):
        operator().execute_complete(context, answer("Mask more", regions="1"))
    assert len(asked) == 1


def test_an_answer_that_cannot_be_done_is_asked_again(
    context: dict[str, Any], stage: Callable[..., Any], asked: list[dict[str, Any]]
) -> None:
    stage("hounsfield.stages.review.decide", None).side_effect = ConfigError("no region")
    stage("hounsfield.stages.review.open_review", QUESTION)
    with pytest.raises(TaskAwaitingInput):
        operator().execute_complete(context, answer("Mask more"))
    assert len(asked) == 1


def test_masking_more_has_the_key_that_airflow_keeps(
    context: dict[str, Any], stage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """De-identification and the gate want it, as in their own tasks."""
    monkeypatch.setenv(KEY, "")
    monkeypatch.setenv(VARIABLE, "project_key")
    monkeypatch.setattr("airflow.sdk.Variable.get", {"project_key": "1:ab"}.__getitem__)
    seen = []
    decide = stage("hounsfield.stages.review.decide", None)
    decide.side_effect = lambda *_, **__: seen.append(os.environ[KEY]) or {"verdict": "passed"}
    operator().execute_complete(context, answer("Mask more", regions="1"))
    assert seen == ["1:ab"]


def test_a_site_that_cannot_be_opened_is_no_fault_of_the_answer(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]
) -> None:
    broken = Mock(side_effect=ConfigError("not YAML", where="configs/site.yaml line 3"))
    monkeypatch.setattr("hounsfield.site.Site.open", broken)
    with pytest.raises(ConfigError, match="not YAML"):
        operator().execute_complete(context, answer())
    assert not asked


def test_a_rejection_turns_the_task_red(context: dict[str, Any], stage: Callable[..., Any]) -> None:
    stage("hounsfield.stages.review.decide", None).side_effect = DeidentificationError("rejected")
    with pytest.raises(DeidentificationError):
        operator().execute_complete(context, answer("Reject"))


def test_what_a_field_should_not_hold_is_not_quoted(
    context: dict[str, Any],
    stage: Callable[..., Any],
    asked: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage("hounsfield.stages.review.decide", None).side_effect = ConfigError("no region")
    stage("hounsfield.stages.review.open_review", QUESTION)
    with pytest.raises(TaskAwaitingInput):
        operator().execute_complete(context, answer("Mask more", regions="KANARIENVOGEL"))
    assert "KANARIENVOGEL" not in caplog.text
