"""Studies once more, through prepare or infer."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from operators.policy import DEFAULTS
from operators.reprocess import ASSETS, ReplayStudiesOperator, SelectStudiesOperator

DOC = """
## reprocess: studies once more

Announces studies of a window of study dates again, as partitions of `received` (through
`prepare`, then `infer`) or of `prepared` (through `infer` alone). Nothing is made twice: what
is there under the same code, profile and model version is found.

| to | do |
|---|---|
| apply a new profile or model to a month | trigger with `first` and `last` |
| the same, a run a day | `airflow backfill create --dag-id reprocess --from-date … --to-date …` |
| try quarantined studies again | trigger with `only` = `quarantined` |

**Switch it on**: the daily run is what finds again the studies whose event Airflow lost, for its
API server was away when a task ended, and those of a receiver that has no Airflow to tell. It
sweeps up studies of its day that never finished, whatever the cause. And, whatever their day,
those that were received `unheard_hours` ago and that `prepare` never began, or prepared and `infer`
never began, though it has begun another since. The log of `select` names them. One that only waits
for its turn is announced twice, which makes nothing twice.
"""

with DAG(
    dag_id="reprocess",
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2000, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=2,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    params={
        "first": Param(
            "",
            type="string",
            pattern=r"^(\d{4}-\d{2}-\d{2})?$",
            title="First study date",
            description="As 2026-03-01. Empty: the day of the run's data interval.",
        ),
        "last": Param(
            "",
            type="string",
            pattern=r"^(\d{4}-\d{2}-\d{2})?$",
            title="Last study date",
            description="Inclusive. Empty: the first study date.",
        ),
        "through": Param(
            "prepare",
            enum=["prepare", "infer"],
            title="Through",
            description="`prepare` and then `infer`, or `infer` alone.",
        ),
        "only": Param(
            "all",
            enum=["all", "unfinished", "quarantined"],
            title="Only",
            description="Which studies of the window.",
        ),
        "unheard_hours": Param(
            24,
            type="number",
            minimum=0,
            title="Unheard hours",
            description="Of the daily run: how long `prepare` and `infer` are waited for to begin.",
        ),
    },
    tags=["studies"],
    doc_md=DOC,
):
    select = SelectStudiesOperator(task_id="select")
    for through, asset in ASSETS.items():
        ReplayStudiesOperator(
            task_id=f"through_{through}",
            through=through,
            study_keys=select.output,
            outlets=[asset],
        )
