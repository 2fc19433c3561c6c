"""A patient's erasure: found, approved by a person, deleted, proven and certified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from operators.decision import Answer, DecisionOperator, reason
from operators.stage import StageOperator, run_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = [
    "ApproveErasureOperator",
    "CertifyErasureOperator",
    "EraseOperator",
    "PlanErasureOperator",
]

# As hounsfield.stages.erase has them; a test holds both together.
DECISIONS = ("Erase", "Reject")
APPROVALS = (
    "the request is valid, and nothing obliges us to keep the data",
    "the data were never ours to have",
    "the law obliges us to keep the data",
    "the request is not proven to be the patient's",
)
_PLAN = "ti.xcom_pull(task_ids='plan')"
_SUBJECT = "Erase all that is here of patient {{ params.patient }}?"
_BODY = f"""
{{{{ {_PLAN}['summary'] }}}}

Asked for by {{{{ params.requested_by }}}}: {{{{ params.why }}}}.

**Erase** deletes all of it, in every zone and tier, for good; the snapshots get successors without
the patient. **Reject** deletes nothing. Your name and your reason go into the audit trail and the
certificate.
"""


class PlanErasureOperator(StageOperator):
    """Finds what is here of the patient of the run's form. A legal hold stops it."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.erase import plan_erasure

        params = context["params"]
        return plan_erasure(
            site,
            params["patient"],
            why=params["why"],
            requested_by=params["requested_by"],
            run=run,
        )


class ApproveErasureOperator(DecisionOperator):
    """Asks a person whether it shall be done; where it shall not, the run ends skipped."""

    template_fields = ("erasure_id", "plan", "subject", "body")

    def __init__(
        self,
        *,
        erasure_id: str = f"{{{{ {_PLAN}['erasure_id'] }}}}",
        plan: str = f"{{{{ {_PLAN}.get('plan', '') }}}}",  # An earlier release gave none.
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject=_SUBJECT, body=_BODY, options=list(DECISIONS), form=_form(), **kwargs
        )
        self.erasure_id = erasure_id
        self.plan = plan

    def decide(self, site: Site, answer: Answer, context: Context) -> dict[str, Any]:
        from hounsfield.stages.erase import decide_erasure

        done = decide_erasure(
            site,
            self.erasure_id,
            answer.decision,
            answer.form.get("reason", ""),
            plan=self.plan,
            approver=answer.by,
            run=run_of(context),
        )
        if done["state"] != "approved":
            raise AirflowSkipException("Rejected: nothing is deleted.")
        return done


class EraseOperator(StageOperator):
    """Deletes what was approved; killed, it goes on where it was."""

    template_fields = ("erasure_id",)

    def __init__(self, *, erasure_id: str = f"{{{{ {_PLAN}['erasure_id'] }}}}", **kwargs: Any):
        super().__init__(**kwargs)
        self.erasure_id = erasure_id

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.erase import erase

        return erase(site, self.erasure_id, run=run)


class CertifyErasureOperator(EraseOperator):
    """Looks everywhere again, and writes the certificate."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.erase import certify_erasure

        return certify_erasure(site, self.erasure_id, run=run)


def _form() -> dict[str, Param]:
    return {
        # Not "why": a field takes the place of the Dag's param of the same name.
        "reason": reason(
            APPROVALS,
            title="Reason",
            description="Goes into the audit trail and the certificate, with your name.",
        )
    }
