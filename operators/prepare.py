"""From the raw zone to volumes that models may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.skipmixin import SkipMixin

from operators.stage import StudyOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = [
    "ChunkStudyOperator",
    "DeidentifyStudyOperator",
    "GateStudyOperator",
    "ReleaseStudyOperator",
    "ValidateStudyOperator",
]


class ValidateStudyOperator(StudyOperator):
    """Runs the suites of configs/quality. An error fails the task and quarantines the study."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.validate import validate

        return validate(site, self.study_key, run=run)


class DeidentifyStudyOperator(StudyOperator):
    """Takes the patient out, under the profile of configs/site.yaml, within the PHI zone."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.deidentify import deidentify

        return deidentify(site, self.study_key, run=run)


class GateStudyOperator(StudyOperator, SkipMixin):
    """Looks at what de-identification gave. Where nothing is found, nobody is asked.

    Parameters
    ----------
    review
        Task that asks a person. It is skipped from here: to start it, only so that it can
        skip itself, would cost each study a second.
    """

    def __init__(self, *, review: str = "review", **kwargs: Any):
        super().__init__(**kwargs)
        self.review = review

    def execute(self, context: Context) -> Any:
        found = super().execute(context)
        if found["verdict"] == "passed":
            context["ti"].xcom_push(key="return_value", value=found)  # skip() does not return
            self.skip(context["ti"], [context["task"].dag.get_task(self.review)])
        return found

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.gate import gate

        return gate(site, self.study_key, run=run)


class ReleaseStudyOperator(StudyOperator):
    """Publishes what the gate or a person let pass, with its certificate."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.release import release

        return release(site, self.study_key, run=run)


class ChunkStudyOperator(StudyOperator):
    """Lays each series that is a volume out as OME-Zarr."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.chunk import chunk

        return chunk(site, self.study_key, run=run)
