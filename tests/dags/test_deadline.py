"""A run that is late is written down, the way that Airflow itself does it: its scheduler's and
its triggerer's own code, from the Dag file to the study's timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import Tombstone, utc_now
from hounsfield.settings import DestinationSettings, Settings
from hounsfield.site import Site
from tests.dags.conftest import FOLDER

STUDY = "st-a"
RUN_ID = "asset_triggered__late"


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Airflow's database with the Dag `infer`, as the Dag processor writes it."""
    from airflow import settings
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.base import Base
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.db import import_all_models, synchronize_log_template
    from airflow.utils.session import create_session

    import_all_models()
    Base.metadata.create_all(settings.engine)
    synchronize_log_template()
    with create_session() as session:
        session.merge(DagBundleModel(name="hounsfield"))
        session.flush()
        bag = DagBag(FOLDER / "infer.py", load_op_links=False)
        sync_bag_to_db(bag, "hounsfield", None, session=session)
        yield session
        session.rollback()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """What the triggerer opens: the catalog, but no key and no vault."""
    monkeypatch.setenv("HOUNSFIELD_HOME", str(tmp_path))
    site = Site(Settings.load())
    site.set_up()
    site.settings.site.key_file.unlink()
    return site


def queued_run(session: Any, run_id: str) -> Any:
    """A run of a study's partition."""
    from airflow.models.dagbag import DBDagBag
    from airflow.sdk import timezone
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    dag = DBDagBag().get_latest_version_of_dag("infer", session=session)
    run = dag.create_dagrun(
        run_id=run_id,
        logical_date=None,
        run_after=timezone.utcnow(),
        run_type=DagRunType.ASSET_TRIGGERED,
        triggered_by=DagRunTriggeredByType.ASSET,
        state=DagRunState.QUEUED,
        partition_key=STUDY,
        session=session,
    )
    session.flush()
    return run


def deadline_of(session: Any, run: Any) -> Any:
    from airflow.models.deadline import Deadline

    return session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).one()


def late_run(session: Any, run_id: str = RUN_ID) -> Any:
    """One whose deadline the scheduler finds to be over."""
    run = queued_run(session, run_id)
    deadline = deadline_of(session, run)
    assert deadline.deadline_time - run.queued_at == timedelta(minutes=30)
    deadline.handle_miss(session)
    session.flush()
    return deadline


async def run_as_the_triggerer_does(trigger: Any) -> list[Any]:
    """The events of a trigger that is made from its row."""
    from airflow.executors.workloads import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner

    runner = TriggerRunner()
    runner.to_create.append(
        RunTrigger(
            id=trigger.id, classpath=trigger.classpath, encrypted_kwargs=trigger.encrypted_kwargs
        )
    )
    await runner.create_triggers()
    await runner.triggers[trigger.id]["task"]
    return [event for _, event, *_ in runner.events]


def test_a_late_run_is_in_the_timeline_of_its_study(session: Any, site: Site) -> None:
    from airflow.models.trigger import Trigger

    callback = late_run(session).callback
    events = asyncio.run(run_as_the_triggerer_does(callback.trigger))
    for event in events:
        Trigger.submit_event(callback.trigger_id, event, session=session)
        session.flush()
    assert (callback.state, callback.output) == ("success", None)
    (told,) = site.catalog.timeline(STUDY)
    assert (told.stage, told.state) == ("deadline", "late")
    assert (told.dag_id, told.run_id) == ("infer", RUN_ID)


def test_of_a_patient_who_was_erased_meanwhile_nothing_is_told(session: Any, site: Site) -> None:
    stone = {"product_id": "", "kind": "study", "uri": "catalog", "rule": "r", "why": "w"}
    site.catalog.put(Tombstone(study_key=STUDY, deleted_at=utc_now(), **stone))
    callback = late_run(session, "asset_triggered__erased").callback
    assert (
        asyncio.run(run_as_the_triggerer_does(callback.trigger))[-1].payload["state"] == "success"
    )
    assert not site.catalog.timeline(STUDY)


def test_a_task_can_be_cleared_and_the_deadline_stays(session: Any) -> None:
    """It is about the study, which waits since its run was queued at first."""
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.state import DagRunState

    run = queued_run(session, "asset_triggered__cleared")
    before, due = run.queued_at, deadline_of(session, run).deadline_time
    for task in run.task_instances:
        task.state = "failed"
    run.state = DagRunState.FAILED
    session.flush()
    clear_task_instances(list(run.task_instances), session)
    session.flush()
    assert run.queued_at > before and run.state == DagRunState.QUEUED
    assert deadline_of(session, run).deadline_time == due


def test_a_waiting_delivery_is_tried_again_before_the_alert(bag: Any) -> None:
    (alert,) = bag.dags["infer"].deadline
    peer = {"ae_title": "A", "host": "127.0.0.1", "port": 104}
    longest = DestinationSettings(peer=peer).longest_retry_seconds
    assert alert.interval >= 2 * timedelta(seconds=longest)
