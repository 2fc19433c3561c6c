"""Makes a run of `prepare` and one of `infer` for each study that is named, as Airflow's scheduler
does, then clears them, as its API server does; prints which queue each task has each time.

A process of its own: Airflow loads its policies once, when it is imported.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow import settings
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.base import Base
from airflow.models.dagbag import DBDagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.sdk import timezone
from airflow.utils.db import import_all_models, synchronize_log_template
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

from tests.dags.conftest import FOLDER

DAGS = ("prepare", "infer")


def make_runs(studies: list[str], session: Any) -> None:
    session.merge(DagBundleModel(name="hounsfield"))
    session.flush()
    for dag_id in DAGS:
        bag = DagBag(FOLDER / f"{dag_id}.py", load_op_links=False)
        sync_bag_to_db(bag, "hounsfield", None, session=session)
        dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
        for study in studies:
            dag.create_dagrun(
                run_id=study,
                logical_date=None,
                run_after=timezone.utcnow(),
                run_type=DagRunType.ASSET_TRIGGERED,
                triggered_by=DagRunTriggeredByType.ASSET,
                state=DagRunState.QUEUED,
                partition_key=study,
                session=session,
            )
    session.commit()


def queues(session: Any) -> dict[str, dict[str, str]]:
    """Study → task → queue, as the executor reads it."""
    session.expire_all()
    found: dict[str, dict[str, str]] = {}
    for task in session.scalars(select(TaskInstance).order_by(TaskInstance.task_id)):
        found.setdefault(task.run_id, {})[f"{task.dag_id}.{task.task_id}"] = task.queue
    return found


def main(studies: list[str]) -> None:
    import_all_models()
    Base.metadata.create_all(settings.engine)
    synchronize_log_template()
    with create_session() as session:
        make_runs(studies, session)
        made = queues(session)
        tasks = list(session.scalars(select(TaskInstance)))
        for task in tasks:
            task.state = TaskInstanceState.FAILED
        clear_task_instances(tasks, session)
        session.commit()
        cleared = queues(session)
    told = {
        "asks": not settings.task_instance_mutation_hook.is_noop,
        "made": made,
        "cleared": cleared,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
