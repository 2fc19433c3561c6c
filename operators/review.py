"""A person decides: the release gate's doubts as one of Airflow's required actions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from operators.decision import Answer, DecisionOperator, reason
from operators.stage import discreet, run_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.site import Site

__all__ = ["ReviewStudyOperator"]

log = logging.getLogger(__name__)

# As hounsfield.stages.review has them; a test holds both together. Airflow keeps all of this in
# its database, so nobody can write a text of their own into it.
DECISIONS = ("Release", "Mask more", "Reject")
REASONS = (
    "no text of any patient: the finding is a false alarm",
    "a word of the examination, not a name",
    "a marker, a scale or a device, nothing of a patient",
    "nothing that the profile has to remove",
    "text of the patient is left",
    "what is shown cannot be judged with certainty",
    "not to be used, by the site's own rules",
)
AGAINST = REASONS[4:]
#: Characters of regions that an answer has room for.
ROOM = 500
_SUBJECT = "Release study {{ dag_run.partition_key or '' }}?"
_BODY = """
The release gate is in doubt. Look at the findings, and at the pictures before and after, on the
[Hounsfield page](/plugin/hounsfield) of the study: *Review*. Looking is written to the audit
trail as an access to PHI.

**Release** publishes the study as it is. **Mask more** masks the regions, and the gate looks
again. **Reject** puts the study into quarantine.
"""


class ReviewStudyOperator(DecisionOperator):
    """Has a person decide on a study that the gate is in doubt about.

    After more was masked, the gate looks again, and asks again where it still is in doubt.

    Parameters
    ----------
    study_key
        By default the partition key of the Dag run.
    """

    template_fields = ("study_key", "subject", "body")

    def __init__(
        self, *, study_key: str = "{{ dag_run.partition_key or '' }}", **kwargs: Any
    ) -> None:
        super().__init__(
            subject=_SUBJECT, body=_BODY, options=list(DECISIONS), form=_form(), **kwargs
        )
        self.study_key = study_key

    def execute(self, context: Context) -> Any:
        from hounsfield.site import Site
        from hounsfield.stages.review import open_review

        with discreet():
            question = open_review(Site.open(), self.study_key)
        if question is None:
            log.info("Study %s: no question is open.", self.study_key)
            return {"study_key": self.study_key, "decision": "none was needed"}
        return super().execute(context)

    def decide(self, site: Site, answer: Answer, context: Context) -> Any:
        from hounsfield.stages.review import decide

        told = {**answer.form, "decision": answer.decision}
        done = decide(site, self.study_key, told, reviewer=answer.by, run=run_of(context))
        return done if done["verdict"] == "passed" else self.execute(context)


def _form() -> dict[str, Param]:
    return {
        "why": reason(
            REASONS,
            title="Why",
            description="Goes into the audit trail and the certificate, with your name.",
        ),
        "regions": Param(
            "",
            type=["null", "string"],  # Else Airflow's buttons wait for regions, to release, too.
            pattern=r"^[0-9:;, ]*$",
            maxLength=ROOM,
            title="Regions to mask",
            description=(
                "3 is region 3 of the review; 3: 40 20 200 32 a rectangle in its picture "
                "(x, y, width, height in pixels). Several by a semicolon. Only to mask more."
            ),
        ),
    }
