"""The base of all operators here: one stage, with its settings, its run and its errors."""

from __future__ import annotations

import logging
import time
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from hounsfield.records import RunContext
from operators.keys import lend_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.errors import NotYet
    from hounsfield.site import Site

__all__ = ["StageOperator", "StudyOperator", "discreet", "run_of"]


#: Seconds that a task waits by itself: a deferral costs as much, since it starts a new process.
_SHORT = 5.0


def run_of(context: Context) -> RunContext:
    """Who acts, in which run: what every event, product and audit entry names."""
    instance = context["ti"]
    dag_run = context["dag_run"]
    return RunContext(
        actor=getattr(dag_run, "triggering_user_name", None) or "airflow",
        dag_id=instance.dag_id,
        run_id=instance.run_id,
        task_id=instance.task_id,
        try_number=instance.try_number,
        map_index=instance.map_index if instance.map_index is not None else -1,
    )


@contextmanager
def discreet() -> Iterator[None]:
    """Lets nothing of a patient out of a task but by what our own sentences say.

    Airflow logs an exception with all that led to it, and every warning; libraries quote in
    both the values that they were given. So of an error that nobody expected its type and
    place go on, of ours what it says, and of its causes nothing.
    """
    # Imported here: a Dag file only declares.
    import hounsfield.dicom  # noqa: F401 - pydicom quotes values in its log till then
    from hounsfield.errors import HounsfieldError, InternalError

    warnings.simplefilter("ignore")
    try:
        yield
    except (HounsfieldError, AirflowException) as error:
        raise error from None
    except Exception as error:
        raise InternalError.of(error) from None


class StageOperator(BaseOperator):
    """Runs one domain call on the site that the environment describes.

    Where the call says `NotYet`, the task waits in the triggerer, without a slot, and calls
    again. What must be remembered meanwhile the domain has written down: a restart of Airflow
    changes nothing.
    """

    @abstractmethod
    def run_stage(self, site: Site, run: RunContext, context: Context) -> Any:
        """The domain call. What it gives goes to XCom: small and without PHI."""

    def execute(self, context: Context) -> Any:
        with discreet():
            lend_key()
            return self._run_when_due(context)

    def _run_when_due(self, context: Context) -> Any:
        from hounsfield.errors import NotYet
        from hounsfield.site import Site

        patience = _SHORT
        while True:
            try:
                return self.run_stage(Site.open(), run_of(context), context)
            except NotYet as wait:
                if wait.seconds > patience:
                    self._wait(wait)
                patience -= wait.seconds
                time.sleep(wait.seconds)

    def resume(self, context: Context, event: Any = None) -> Any:
        """What the triggerer calls when the wait is over."""
        return self.execute(context)

    def _wait(self, wait: NotYet) -> NoReturn:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger
        from airflow.sdk import timezone

        log = logging.getLogger(__name__)
        log.info("Not yet: %s; once more in %.0f s.", wait, wait.seconds)
        until = timezone.utcnow() + timedelta(seconds=wait.seconds)
        self.defer(trigger=DateTimeTrigger(moment=until), method_name="resume")


class StudyOperator(StageOperator):
    """Runs a stage on the study of this partition.

    Parameters
    ----------
    study_key
        For a mapped task; by default the partition key of the Dag run.
    """

    template_fields = ("study_key",)

    def __init__(self, *, study_key: str = "{{ dag_run.partition_key or '' }}", **kwargs: Any):
        super().__init__(**kwargs)
        self.study_key = study_key

    def execute(self, context: Context) -> Any:
        if not self.study_key:
            from hounsfield.errors import ConfigError

            raise ConfigError(
                "this run has no partition key",
                remedy="trigger the Dag with a study key as the partition key",
            )
        logging.getLogger(__name__).info("Study %s", self.study_key)
        return super().execute(context)
