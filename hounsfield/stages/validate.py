"""validate: prove that a study is whole and sound, before anything is built on it."""

from __future__ import annotations

from typing import Any

from hounsfield.errors import InvalidStudy
from hounsfield.quality.validation import validate_study
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.produce import open_raw
from hounsfield.stages.step import step

__all__ = ["validate"]


def validate(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """Runs the suites of configs/quality on the newest revision.

    Returns
    -------
    dict
        ``study_key``, ``digest`` of the revision, ``warnings``.

    Raises
    ------
    InvalidStudy
        If a suite found an error; the study is in quarantine with the reason.
    """
    with (
        step(site, study_key, "validate", run) as record,
        open_raw(site, study_key, purpose="validate", run=run) as (folder, manifest),
    ):
        record.digest = manifest.digest
        report = validate_study(
            [folder / entry.path for entry in manifest.instances],
            suites=site.settings.configs / "quality",
            study_key=study_key,
            docs=site.settings.site.docs,
        )
        if report.errors:
            raise InvalidStudy(
                report.reason, where=study_key, remedy="see the study's validation report"
            )
        warnings = [f"{problem.where}: {problem.reason}" for problem in report.warnings]
        record.say(
            f"Valid, with warnings: {'; '.join(warnings)}." if warnings else "Valid.",
            version=report.suites_digest[:12],
        )
        return {"study_key": study_key, "digest": manifest.digest, "warnings": warnings}
