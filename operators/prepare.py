"""From the raw zone to volumes that models may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.stage import StudyOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = ["ChunkStudyOperator", "DeidentifyStudyOperator", "ValidateStudyOperator"]


class ValidateStudyOperator(StudyOperator):
    """Runs the suites of configs/quality. An error fails the task and quarantines the study."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.validate import validate

        return validate(site, self.study_key, run=run)


class DeidentifyStudyOperator(StudyOperator):
    """Takes the patient out, under the profile of configs/site.yaml."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.deidentify import deidentify

        return deidentify(site, self.study_key, run=run)


class ChunkStudyOperator(StudyOperator):
    """Lays each series that is a volume out as OME-Zarr."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.chunk import chunk

        return chunk(site, self.study_key, run=run)
