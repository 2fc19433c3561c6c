"""What is tried again, and what is not."""

from __future__ import annotations

import pytest
from airflow.sdk import ExceptionRetryPolicy, RetryAction

from hounsfield import errors
from operators.policy import DEFAULTS, POOLS

KINDS = [
    kind
    for kind in (getattr(errors, name) for name in errors.__all__)
    if kind is not errors.HounsfieldError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_tree_of_errors_decides(kind: type[errors.HounsfieldError]) -> None:
    decision = DEFAULTS["retry_policy"].evaluate(kind("it went wrong"), 1, 4)
    if issubclass(kind, errors.PermanentError):
        assert decision.action is RetryAction.FAIL
        assert decision.reason
    else:
        assert decision.action is RetryAction.DEFAULT
        assert decision.retry_delay is None  # Airflow's own backoff


def test_an_error_from_elsewhere_comes_back() -> None:
    assert DEFAULTS["retry_policy"].evaluate(KeyError("x"), 1, 4).action is RetryAction.DEFAULT


def test_the_policy_survives_the_dags_serialization() -> None:
    again = ExceptionRetryPolicy.deserialize(DEFAULTS["retry_policy"].serialize())
    assert again.evaluate(errors.InvalidStudy("x"), 1, 4).action is RetryAction.FAIL


def test_pools_have_slots_and_a_sentence() -> None:
    assert all(slots >= 1 and text.endswith(".") for slots, text in POOLS.values())
