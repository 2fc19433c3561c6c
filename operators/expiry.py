"""Retention: what is over is planned, asked for where the policy says so, and deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from operators.decision import Answer, DecisionOperator, reason
from operators.stage import StageOperator, run_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = ["ApproveExpiryOperator", "ExpireOperator", "PlanExpiryOperator"]

# As hounsfield.stages.expire has them; a test holds both together.
DECISIONS = ("Delete", "Keep")
APPROVALS = (
    "the retention is over, and nothing obliges us to keep it",
    "it is needed for longer: the policy is to be changed",
    "the list has to be looked into first",
)
_SUBJECT = "Delete what its retention is over for?"
_BODY = """
{{ ti.xcom_pull(task_ids='plan')['summary'] }}

The log of `plan` lists each product. **Delete** deletes exactly these, for good; what is put on
legal hold meanwhile stays. **Keep** deletes none of them; the next night asks again.
"""


class PlanExpiryOperator(StageOperator):
    """Lists what the policy would delete, and logs it; of a day to come, nothing more."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.expire import plan_expiry, to_be_asked

        moment, present = _moment(context), datetime.now(UTC)
        found = plan_expiry(site, now=moment)
        for item in found:
            self.log.info(
                "Study %s: %s of %d bytes, by “%s”%s",
                item.study_key,
                item.kind,
                item.bytes,
                item.rule,
                ", wants an approval" if item.approval else "",
            )
        summary = to_be_asked(found)
        self.log.info("%d products in all; with an approval: %s", len(found), summary)
        is_dry = context["params"]["dry_run"] or (moment or present) > present
        planned = [] if is_dry else [item.to_dict() for item in found]
        return {"summary": summary, "planned": planned}


class ApproveExpiryOperator(DecisionOperator):
    """Asks a person about what the policy wants an approval for; where that is nothing, nobody."""

    template_fields = ("plan", "subject", "body")

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(
            subject=_SUBJECT, body=_BODY, options=list(DECISIONS), form=_form(), **kwargs
        )
        self.plan = plan

    def execute(self, context: Context) -> Any:
        if not _asked(self.plan):
            raise AirflowSkipException("Nothing wants an approval.")
        return super().execute(context)

    def decide(self, site: Site, answer: Answer, context: Context) -> dict[str, Any]:
        from hounsfield.records import digest_of
        from hounsfield.stages.expire import Expired, decide_expiry

        asked, why = _asked(self.plan), answer.form.get("reason", "")
        planned, run = [Expired(**item) for item in asked], run_of(context)
        if not decide_expiry(site, planned, answer.decision, why, approver=answer.by, run=run):
            raise AirflowSkipException("Kept: nothing of it is deleted.")
        return {"approved_by": answer.by, "list": digest_of(asked)}


class ExpireOperator(StageOperator):
    """Deletes of the plan what wants no approval, or what was approved.

    Parameters
    ----------
    plan
        As `PlanExpiryOperator` gives it.
    approval
        What `ApproveExpiryOperator` gives; None: only what wants none.
    """

    template_fields = ("plan", "approval")

    def __init__(self, *, plan: Any, approval: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.approval = approval

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, int]:
        from hounsfield.errors import ConfigError
        from hounsfield.records import digest_of
        from hounsfield.stages.expire import Expired, expire

        who = self.approval["approved_by"] if self.approval else ""
        if who and self.approval.get("list") != digest_of(_asked(self.plan)):
            raise ConfigError(
                "the approval is of another list", remedy="clear plan, and what follows"
            )
        mine = [Expired(**item) for item in self.plan["planned"] if item["approval"] == bool(who)]
        return expire(site, mine, approved_by=who, run=run)


def _asked(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """What of a plan wants an approval."""
    return [item for item in plan["planned"] if item["approval"]]


def _moment(context: Context) -> datetime | None:
    as_of = context["params"]["as_of"]
    return datetime.fromisoformat(as_of).replace(tzinfo=UTC) if as_of else None


def _form() -> dict[str, Param]:
    return {
        "reason": reason(
            APPROVALS,
            title="Reason",
            description="Goes into the audit trail, with your name.",
        )
    }
