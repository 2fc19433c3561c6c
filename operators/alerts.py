"""What happens when a deadline is missed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

__all__ = ["deadline_missed"]

log = logging.getLogger(__name__)


async def deadline_missed(context: dict[str, Any] | None = None, **_: Any) -> None:
    """Writes the alert into the study's timeline and the log."""
    dag_run = (context or {}).get("dag_run", {})
    study_key = dag_run.get("partition_key") or ""
    log.error("Study %s is late: its results were due.", study_key)
    await asyncio.to_thread(_write, study_key, dag_run.get("dag_id", ""), dag_run.get("run_id", ""))


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
