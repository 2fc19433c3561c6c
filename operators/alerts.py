"""What happens when a deadline is missed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.definitions.deadline import BaseDeadlineReference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["DeadlinePlugin", "FirstQueued", "deadline_missed"]

log = logging.getLogger(__name__)


class FirstQueued(BaseDeadlineReference):
    """When a run was queued at first, whatever of it is cleared afterwards.

    Airflow 3.3's own ``DAGRUN_QUEUED_AT`` is set anew when a task is cleared, and fails at that:
    nobody could clear a task of a run that is not late yet.
    """

    required_kwargs = ("dag_id", "run_id")

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """Airflow's scheduler asks, once a run."""
        from airflow.models import DagRun
        from sqlalchemy import select

        query = select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        return session.scalar(query)


class DeadlinePlugin(AirflowPlugin):
    """Tells the scheduler of `FirstQueued`; an entry point of this package, so wherever it is."""

    name = "hounsfield_deadlines"
    deadline_references = [FirstQueued]  # noqa: RUF012 - Airflow's own form


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
    from hounsfield.errors import NotFound
    from hounsfield.site import Site

    # Of a patient who was erased meanwhile nothing is told.
    with suppress(NotFound), Site.open().catalog.write(study_key) as session:
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
