"""Where data lies as it ages, and the proof that the trail is whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = [
    "MoveProductOperator",
    "PickDueOperator",
    "PlanMigrationOperator",
    "ScrubOperator",
    "VerifyAuditOperator",
]


class PlanMigrationOperator(StageOperator):
    """Lists what the policy would move, and what it comes to; a dry run stops there.

    Parameters
    ----------
    region
        Whose studies; None: those of all.
    """

    def __init__(self, *, region: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.region = region

    def run_stage(self, site: Site, run: RunContext, context: Context) -> list[dict[str, Any]]:
        from hounsfield.stages.migrate import forecast, plan

        as_of = context["params"]["as_of"]
        now = datetime.fromisoformat(as_of).replace(tzinfo=UTC) if as_of else None
        moves = plan(site, region=self.region, now=now, run=run)
        for planned in moves:
            self.log.info("%s", planned)
        self.log.info("%s.", forecast(site, moves))
        return [] if context["params"]["dry_run"] else [planned.to_dict() for planned in moves]


class MoveProductOperator(StageOperator):
    """Moves one product: copy, verify, switch, delete."""

    template_fields = ("planned",)

    def __init__(self, *, planned: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.planned = planned

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.migrate import Move, move

        return move(site, Move(**self.planned), run=run)


class PickDueOperator(StageOperator):
    """Lists what was verified least lately, in batches: a task each.

    Parameters
    ----------
    share
        Of all bytes.
    region
        Whose products; None: those of all.
    """

    template_fields = ("share",)

    def __init__(self, *, share: float | str, region: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.share = share
        self.region = region

    def run_stage(self, site: Site, run: RunContext, context: Context) -> list[list[str]]:
        from hounsfield.stages.scrub import due

        batches = due(site, float(self.share), region=self.region)
        self.log.info("%d products are due.", sum(map(len, batches)))
        return batches


class ScrubOperator(StageOperator):
    """Verifies products where they lie, and heals what is damaged from a copy."""

    template_fields = ("product_ids",)

    def __init__(self, *, product_ids: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.product_ids = product_ids

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, int]:
        from hounsfield.stages.scrub import scrub

        return scrub(site, self.product_ids, run=run)


class VerifyAuditOperator(StageOperator):
    """Walks the audit chain, and writes its head where the chain's own database cannot reach."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        head = site.audit.verify()
        if head is None:
            self.log.info("The audit trail is empty.")
            return {"seq": 0, "hash": ""}
        self.log.info("The audit trail is whole: %d events, head %s.", head.seq, head.hash)
        return {"seq": head.seq, "hash": head.hash}
