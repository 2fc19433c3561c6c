"""Retention and the end of projects, by policy, with an approval where the policy says so."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from operators.expiry import ApproveExpiryOperator, ExpireOperator, PlanExpiryOperator
from operators.policy import DEFAULTS

DOC = """
## expire: what need not be kept any more

`plan` reads the table of `configs/retention.yaml` and lists what its time is over for: by project,
jurisdiction, modality and kind, counted from the day it was made or from the end of its project.
`expire` deletes what the policy wants no approval for; for the rest `approve` asks a person, and
`expire_approved` deletes exactly what was on the list. Each deletion leaves a tombstone: what, why,
by which rule, who approved it. Killed at any point, a task can be cleared and goes on.

What is on legal hold stays, and so do the volumes and labels of a frozen snapshot.

| to | do |
|---|---|
| see what would go | trigger with `dry_run`; the log of `plan` lists it |
| see what will go by a certain day | trigger with `as_of`: of a day to come it is a dry run |
| keep something | `hounsfield hold KEY --why MATTER`, or a rule before the others |

**`approve` waits**: it holds no worker; the nights after it are not begun till it is answered.
**Skipped `approve`**: nothing wanted an approval, or a person said *Keep*. **Red `plan`**: the
table is not right; the log names the row. **Red `expire` with a hold**: it keeps what the log
names; all else is deleted. What an object lock keeps is hidden, and goes the night after its end,
which the timeline of its study says, once; nobody is asked again. **Red `expire` with an object lock**:
its end is not told, or a right to delete versions is missing. **Red `expire` with another list**:
`plan` ran again since the approval; clear `plan`, and what follows.
"""

with DAG(
    dag_id="expire",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Plan, print, delete nothing."
        ),
        "as_of": Param(
            "",
            type="string",
            pattern=r"^(\d{4}-\d{2}-\d{2})?$",
            title="As of",
            description="The day that retention is measured at, as 2026-12-31. Empty: today. "
            "Of a day to come, nothing is deleted.",
        ),
    },
    tags=["storage", "compliance"],
    doc_md=DOC,
):
    plan = PlanExpiryOperator(task_id="plan")
    approve = ApproveExpiryOperator(task_id="approve", plan=plan.output)
    ExpireOperator(task_id="expire", plan=plan.output)
    ExpireOperator(task_id="expire_approved", plan=plan.output, approval=approve.output)
