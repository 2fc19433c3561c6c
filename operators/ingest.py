"""From the PACS to the raw zone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.assets import RECEIVED
from operators.stage import StageOperator, StudyOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = ["FindStudiesOperator", "RetrieveStudyOperator"]


class FindStudiesOperator(StageOperator):
    """Asks one PACS for the studies of the data interval and gives their keys.

    A scheduled run asks for the ``lookback_days`` before it, too, for images that came late; who
    asks for a window by hand or by a backfill gets the window.

    Parameters
    ----------
    source
        A name in configs/sources.yaml.
    """

    def __init__(self, *, source: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.source = source

    def run_stage(self, site: Site, run: RunContext, context: Context) -> list[str]:
        from hounsfield.errors import ConfigError
        from hounsfield.stages.ingest import find_studies

        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None:
            raise ConfigError("the run has no window of dates", remedy="trigger it with a date")
        scheduled = context["dag_run"].run_type == "scheduled"
        return find_studies(site, self.source, start, end, run=run, looks_back=scheduled)


class RetrieveStudyOperator(StudyOperator):
    """Brings one study into the raw zone, and announces it as a partition of ``received``.

    Deferred while the study is not whole, or not confirmed to be. Skipped, without an
    announcement, where the PACS has nothing that is not here. The Dag must name ``RECEIVED``
    among the task's outlets.

    Parameters
    ----------
    source
        Who is asked, by its name in configs/sources.yaml; empty: whom the study came from first.
    """

    def __init__(self, *, source: str = "", **kwargs: Any):
        super().__init__(**kwargs)
        self.source = source

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.ingest import retrieve_study

        # Airflow counts the tries of a task that is cleared on, and raises their limit.
        first_try = context["ti"].max_tries - self.retries + 1
        result = retrieve_study(site, self.study_key, self.source, run=run, first_try=first_try)
        if result["status"] == "unchanged":
            raise AirflowSkipException(f"Study {self.study_key} has nothing new.")
        context["outlet_events"][RECEIVED].add_partitions(self.study_key)
        return result
