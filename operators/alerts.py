"""What happens when a deadline is missed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

__all__ = ["deadline_missed"]

log = logging.getLogger(__name__)


async def deadline_missed(context: dict[str, Any]) -> None:
    """Writes the alert into the study's timeline and the log.

    Airflow's triggerer calls it, among its triggers, with what the scheduler knew: no task, no
    template, and a Dag run as the REST API gives it (``dag_run_id``, not ``run_id``). The
    triggerer may open the catalog, and nothing else of a study.
    """
    dag_run = context["dag_run"]
    study_key = dag_run["partition_key"]
    if not study_key:
        log.error("A run of %s is late, and names no study.", dag_run["dag_id"])
        return
    log.error("Study %s is late: its results were due.", study_key)
    await asyncio.to_thread(_write, study_key, dag_run["dag_id"], dag_run["dag_run_id"])


def _write(study_key: str, dag_id: str, run_id: str) -> None:
    from hounsfield.catalog.models import Event
    from hounsfield.site import Site

    with Site.open().catalog.write() as session:
        session.add(
            Event(
                study_key=study_key,
                stage="deadline",
                state="late",
                sentence="The results are not delivered in the time that was set.",
                dag_id=dag_id,
                run_id=run_id,
                actor="airflow",
            )
        )
