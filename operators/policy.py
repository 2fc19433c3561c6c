"""How tasks retry, and where they run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from hounsfield.errors import PermanentError

__all__ = ["DEFAULTS", "GPU_POOL", "GPU_QUEUE", "PACS_POOL", "POOLS", "STUDY_POOL"]

PACS_POOL = "pacs"
GPU_POOL = "gpu"
GPU_QUEUE = "gpu"
STUDY_POOL = "studies"

#: Name → (slots, what it guards). Made at set-up.
POOLS = {
    PACS_POOL: (2, "Associations with the PACS at one time."),
    STUDY_POOL: (4, "Studies that are prepared at one time; those that wait for a person not."),
    GPU_POOL: (1, "Models in memory at one time; one slot a GPU, or one on the CPU."),
}

#: What cannot succeed is not tried again; the rest comes back, later each time.
DEFAULTS: dict[str, Any] = {
    "owner": "hounsfield",
    "retries": 4,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=15),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=PermanentError,
                action=RetryAction.FAIL,
                reason="A permanent error: trying again cannot help.",
            )
        ]
    ),
}
