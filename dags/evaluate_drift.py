"""Every night: are the studies, and what the models say of them, what they were?"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable

from operators.monitoring import EvaluateDriftOperator
from operators.policy import DEFAULTS

DOC = """
## evaluate_drift: is a model going bad?

Compares the inputs (slice thickness, manufacturer, …) and outputs (findings, confidence,
emphysema index) of the last window with the days before it, over all and by manufacturer:
an Evidently report, logged to MLflow in the experiment `drift`. The windows, the columns and
the threshold are in `configs/drift.yaml`.

| the log says | means |
|---|---|
| not judged | too few studies in a window: drift is neither claimed nor denied |
| drift (a warning) | more columns than `drift_share` differ: look at the report, by subgroup |
"""

with DAG(
    dag_id="evaluate_drift",
    schedule=CronDataIntervalTimetable("0 4 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    tags=["models", "monitoring"],
    doc_md=DOC,
):
    EvaluateDriftOperator(task_id="evaluate")
