"""Tasks of a study run where its data may be: on the queue of its region.

Airflow loads this as a cluster policy, by the entry point ``airflow.policy`` of this package, in
each of its processes. A site with one region is left alone: nothing is asked, and nothing is set.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Final

from airflow import settings as airflow_settings
from airflow.policies import hookimpl

if TYPE_CHECKING:
    from airflow.models import DagRun, TaskInstance

    from hounsfield.site import Site

__all__ = ["NOWHERE", "task_instance_mutation_hook"]

#: The queue of tasks whose region cannot be told: no worker serves it, so that no data leave
#: their region by mistake. Clear them when the catalog can be asked again.
NOWHERE: Final = "region-unknown"

log = logging.getLogger(__name__)


@hookimpl
def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None) -> None:
    """Puts a task on the queue of the region that its run is about.

    That of the study which is the run's partition, of the snapshot to train on, or of the cohort
    to freeze. Raises nothing: an error here would end the scheduler.
    """
    if dag_run is None or not _has_regions() or task_instance.queue == NOWHERE:
        return
    try:
        home = _site().regions[0]
        region = _region(_site(), dag_run)
    except Exception as error:
        log.error("The region of run %s cannot be told: %s", dag_run.run_id, type(error).__name__)
        task_instance.queue = NOWHERE
        return
    if region != home:
        from operators.policy import queue_in

        task_instance.queue = queue_in(region, task_instance.queue)


def _region(site: Site, dag_run: DagRun) -> str:
    from operators.datasets import PHANTOMS  # Airflow is not whole yet when it loads this.

    home, asked = site.regions[0], dag_run.conf or {}
    if dag_run.partition_key:
        return site.region_of(dag_run.partition_key)
    if dag_run.dag_id == "snapshot_dataset":
        return str(asked.get("region") or home)
    named = asked.get("snapshot")
    if dag_run.dag_id == "train_model" and named and named != PHANTOMS:
        from hounsfield.errors import NotFound
        from hounsfield.stages.train import region_of_snapshot

        try:
            return region_of_snapshot(site, named)
        except NotFound:  # The task says so.
            return home
    return home


@cache
def _site() -> Site:
    """Opened once: the scheduler asks for each task."""
    from hounsfield.site import Site

    return Site.open()


@cache
def _has_regions() -> bool:
    """Whether configs/ names several; what cannot be read may."""
    from hounsfield.settings import Settings

    try:
        return len(Settings.load().site.every_region) > 1
    except Exception:  # Airflow does not start where this raises; the tasks say what is wrong.
        return True


# Airflow 3.3 asks policies for the tasks of a new run only where it is told that there are any; it
# sees to that itself for airflow_local_settings, and not for an entry point.
if _has_regions():
    airflow_settings.task_instance_mutation_hook.is_noop = False  # type: ignore[attr-defined]
