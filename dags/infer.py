"""A prepared study → results that the PACS confirms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    PartitionedAssetTimetable,
    task_group,
)

from operators.alerts import deadline_missed
from operators.assets import PREPARED, REPORTED
from operators.infer import (
    BuildResultsOperator,
    ConfirmDeliveryOperator,
    ReportStudyOperator,
    RouteStudyOperator,
    RunModelOperator,
    WriteBackOperator,
)
from operators.policy import DEFAULTS, GPU_POOL, GPU_QUEUE, PACS_POOL

DOC = """
## infer: what the models say, back where the radiologist reads

One run is one study. `route` decides by `configs/routing.yaml` which models want which of its
series; then, for each model: `run` (pool `gpu`), `build` (SR and SEG, under the original
patient and study), `write_back` (C-STORE), `confirm` (C-FIND). `report` closes the study.

| to | do |
|---|---|
| run a study again | clear the run: the same question gives the same answer, and no second object |
| see why no model ran | the log of `route` gives the reason for each model |
| send a refused result again | mend the cause, clear `write_back` |

**Skipped after `route`**: no model wanted the study; that is a good end. **Skipped `build`**: a
shadow model, compared and never shown. **Late**: a run that is not done 30 minutes after it was
queued is written down as an alert in the study's timeline.

Not for diagnostic use.
"""

with DAG(
    dag_id="infer",
    schedule=PartitionedAssetTimetable(assets=PREPARED),
    catchup=False,
    max_active_runs=4,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=30),
        callback=AsyncCallback(deadline_missed),
        name="results within 30 minutes",
    ),
    tags=["studies", "models"],
    doc_md=DOC,
):

    @task_group(group_id="model")
    def model(job: dict[str, Any]) -> None:
        run = RunModelOperator(task_id="run", job=job, pool=GPU_POOL, queue=GPU_QUEUE)
        build = BuildResultsOperator(task_id="build", job=run.output)
        write_back = WriteBackOperator(task_id="write_back", job=build.output, pool=PACS_POOL)
        ConfirmDeliveryOperator(task_id="confirm", job=write_back.output, pool=PACS_POOL)

    route = RouteStudyOperator(task_id="route")
    models = model.expand(job=route.output)
    models >> ReportStudyOperator(
        task_id="report", outlets=[REPORTED], trigger_rule="none_failed_min_one_success"
    )
