"""How tasks retry, and where they run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, TaskGroup
from airflow.sdk.bases.operator import DEFAULT_QUEUE

from hounsfield.errors import PermanentError

__all__ = [
    "DEFAULTS",
    "GPU_POOL",
    "GPU_QUEUE",
    "PACS_POOL",
    "POOLS",
    "STUDY_POOL",
    "queue_in",
    "region_queues",
    "source_queues",
]

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


def queue_in(region: str, queue: str = DEFAULT_QUEUE) -> str:
    """The queue of another region beside one of the site's own: ``default-us``, ``gpu-us``."""
    return queue if queue.endswith(f"-{region}") else f"{queue}-{region}"


def source_queues() -> dict[str, str]:
    """The sources of configs/sources.yaml, and the queue of each, so that a Dag has a group each.

    Those of the site's own region are on the default queue.
    """
    from hounsfield.settings import Settings

    settings = Settings.load()
    home = ("", settings.site.region)
    return {
        name: DEFAULT_QUEUE if source.region in home else queue_in(source.region)
        for name, source in sorted(settings.sources.items())
    }


def region_queues() -> Iterator[tuple[str, str]]:
    """The regions of the site, and the queue of each.

    What a Dag declares in the loop over them is declared once for each: in a group of its name
    for each region but the site's own, so that a site with one has tasks without a group.
    """
    from hounsfield.settings import Settings

    home, *others = Settings.load().site.every_region
    yield home, DEFAULT_QUEUE
    for region in others:
        with TaskGroup(group_id=region):
            yield region, queue_in(region)
