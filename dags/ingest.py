"""PACS → raw zone: one partition of `received` for each whole study."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup

from operators.assets import RECEIVED
from operators.ingest import FindStudiesOperator, RetrieveStudyOperator, source_names
from operators.policy import DEFAULTS, PACS_POOL

DOC = """
## ingest: studies come in

Asks each source of `configs/sources.yaml` for the studies **acquired in the data interval**,
and brings those that are new, or that have grown, into the raw zone, byte for byte. A study is
whole when what arrived equals what the PACS lists; then it becomes a partition of the asset
`received`, and `prepare` starts for it.

| to | do |
|---|---|
| bring in the past | `airflow backfill create --dag-id ingest --from-date 2026-03-01 --to-date 2026-03-31` |
| ask again for a day | the same with `--reprocess-behavior completed`: what is here is not fetched twice |
| bring in one study again | clear its mapped `retrieve` task |

**Skipped `retrieve`**: nothing new at the PACS. **Red `retrieve`**: the PACS did not give what it
lists, after five tries; the log says how many are missing. **Red `find`**: no association; see
the source's address in `configs/sources.yaml`.

No PHI is here: studies are named by their keys; the UIDs are in the vault.
"""

with DAG(
    dag_id="ingest",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2000, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=4,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    tags=["studies", "pacs"],
    doc_md=DOC,
):
    for source in source_names():
        with TaskGroup(group_id=source):
            find = FindStudiesOperator(task_id="find", source=source, pool=PACS_POOL)
            RetrieveStudyOperator.partial(
                task_id="retrieve", pool=PACS_POOL, outlets=[RECEIVED]
            ).expand(study_key=find.output)
