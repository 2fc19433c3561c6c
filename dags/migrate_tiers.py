"""Hot → warm → cold by policy, verified before anything is deleted."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from operators.lifecycle import MoveProductOperator, PlanMigrationOperator
from operators.policy import DEFAULTS, region_queues

DOC = """
## migrate_tiers: cost down as data ages

`plan` reads the policy of `configs/tiers.yaml` against the facts: when a study was acquired, when
it was last opened (audit trail), its modality, project, jurisdiction, retention and legal hold. It
lists what should lie elsewhere, with what all of it costs a month before and after. `move` does one
product at a time: copy, verify by checksum at the target, switch the catalog, then delete. Killed
at any point, a `move` can be cleared and goes on at the file where it was; what nobody cleared is
first in the next plan. Studies on legal hold stay, but for rules that name them.

Each region of `configs/site.yaml` but the site's own has its two tasks in a group, on its queue;
what a tier has no root for in its region stays where it is.

| to | do |
|---|---|
| see what would move, and the cost | trigger with `dry_run`; the log of `plan` has it |
| move at once what a policy will move later | trigger with `as_of` in the future |

**Red `move`**: a checksum differs. Nothing was deleted; the log names the product. *There is no
space left*: the tier is full, or the worker's folder for temporary files, where it is packed;
nothing of the product was left in the tier. **Deferred `move`**: the product comes back from an
archive first.
"""

with DAG(
    dag_id="migrate_tiers",
    schedule="0 1 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Plan, print, move nothing."
        ),
        "as_of": Param(
            "",
            type="string",
            pattern=r"^(\d{4}-\d{2}-\d{2})?$",
            title="As of",
            description="The day that ages are measured at, as 2026-12-31. Empty: today.",
        ),
    },
    tags=["storage"],
    doc_md=DOC,
):
    for region, queue in region_queues():
        plan = PlanMigrationOperator(task_id="plan", region=region, queue=queue)
        MoveProductOperator.partial(
            task_id="move", queue=queue, max_active_tis_per_dagrun=2
        ).expand(planned=plan.output)
