"""From volumes to results that the PACS confirms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.stage import StudyOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = [
    "BuildResultsOperator",
    "ConfirmDeliveryOperator",
    "ReportStudyOperator",
    "RouteStudyOperator",
    "RunModelOperator",
    "WriteBackOperator",
]


class RouteStudyOperator(StudyOperator):
    """Decides which models want which series; none is a good answer too."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> list[dict[str, Any]]:
        from hounsfield.stages.infer import route_study

        return route_study(site, self.study_key, run=run)


class JobOperator(StudyOperator):
    """The base of what is done once for each job that ``route`` gave.

    Parameters
    ----------
    job
        What the task before gave: ``route``'s job, then the prediction's reference.
    """

    template_fields = ("study_key", "job")

    def __init__(self, *, job: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.job = job


class RunModelOperator(JobOperator):
    """Runs one model version on one volume, on the GPU where there is one."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.infer import run_model

        return run_model(site, self.study_key, self.job, run=run)


class BuildResultsOperator(JobOperator):
    """Builds the SR and the SEG. A shadow model's prediction is kept, and not shown to anyone."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.build_results import build_results

        if self.job["role"] != "champion":
            raise AirflowSkipException("A shadow prediction is compared, never written back.")
        return build_results(site, self.study_key, self.job["prediction_id"], run=run)


class WriteBackOperator(JobOperator):
    """Stores the results in the PACS, under the original patient and study.

    Where the PACS is down or busy the task waits deferred, for days if need be.
    """

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.deliver import deliver

        return deliver(site, self.study_key, self.job["product_id"], run=run)


class ConfirmDeliveryOperator(JobOperator):
    """Has the PACS prove that it has what it was sent; what it has not is sent again.

    Waits deferred, too.
    """

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.confirm import confirm

        return confirm(site, self.study_key, self.job["product_id"], run=run)


class ReportStudyOperator(StudyOperator):
    """Closes the study: all results are delivered, or no model wanted it."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.infer import close_study

        return close_study(site, self.study_key, run=run)
