"""A prepared study → results that the PACS confirms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    AsyncCallback,
    DeadlineAlert,
    PartitionedAssetTimetable,
    task_group,
)

from operators.alerts import FirstQueued, deadline_missed
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
patient and study), `write_back` (C-STORE or STOW-RS to the source's destination), `confirm`
(the destination proves that it has them: Storage Commitment, else C-FIND or QIDO-RS). `report`
closes the study.

| to | do |
|---|---|
| run a study again | clear the run: the same question gives the same answer, and no second object |
| see why no model ran | the log of `route` gives the reason for each model |
| see what became of a result | the study's page: state, attempts, proof and reason of each delivery |
| try at once instead of waiting | clear the deferred task: its tries go on, and one is made now |

**Deferred `write_back`**: the PACS is down or busy. It is tried again after 15 s, 30 s, … up to
every 15 minutes, by default for two days; what it took already is not sent again. Nothing is
to be done but to see to the PACS. **Deferred `confirm`**: the PACS took a result and has not
proven it yet. One that is not there at the second look is sent again.

| red `write_back` | what to do |
|---|---|
| the PACS refused a result | its own words (PHI) and the object are in the quarantine zone, at the address on the study's page; mend the cause, clear `write_back` |
| given up | see that the PACS works, clear `write_back`: it begins anew |
| the PACS rejected the association | `configs/sources.yaml`: AE titles, host, port, TLS; or its administrator; then clear `write_back` |

**Red `confirm`**: the PACS said that it took a result and does not have it, even after it was
sent again; ask its administrator, then clear `confirm`.

**Skipped after `route`**: no model wanted the study; that is a good end. **Skipped `build`**: a
shadow model, compared and never shown. **Late**: a run that is not done 30 minutes after it was
queued is written down as an alert in the study's timeline; a waiting delivery goes on trying.

Not for diagnostic use.
"""

with DAG(
    dag_id="infer",
    schedule=PartitionedAssetTimetable(assets=PREPARED),
    catchup=False,
    # A run that waits for a PACS stays active: few of them would keep all other studies out.
    max_active_runs=64,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    deadline=DeadlineAlert(
        reference=FirstQueued(),
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
        build = BuildResultsOperator(task_id="build", job=run.output, max_active_tis_per_dag=4)
        write_back = WriteBackOperator(task_id="write_back", job=build.output, pool=PACS_POOL)
        ConfirmDeliveryOperator(task_id="confirm", job=write_back.output, pool=PACS_POOL)

    route = RouteStudyOperator(task_id="route")
    models = model.expand(job=route.output)
    models >> ReportStudyOperator(
        task_id="report", outlets=[REPORTED], trigger_rule="none_failed_min_one_success"
    )
