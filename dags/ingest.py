"""PACS → raw zone: one partition of `received` for each whole study."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup

from operators.assets import RECEIVED
from operators.ingest import FindStudiesOperator, RetrieveStudyOperator
from operators.policy import DEFAULTS, PACS_POOL, source_queues

DOC = """
## ingest: studies come in

Asks each source of `configs/sources.yaml` for the studies **acquired in the data interval**,
and brings those that are new, or that have grown, into the raw zone, byte for byte. A study is
whole when the PACS lists and counts no more than is here, and says so twice,
`confirm_after_seconds` apart; then it becomes a partition of the asset `received`, and
`prepare` starts for it. Images that come later make a new revision, `prepare` and `infer` run
again for that study, and its new report names the one before it: a scheduled run asks for the
`lookback_days` before its interval, too; for what is older, ask for the day again.

| to | do |
|---|---|
| bring in the past | `airflow backfill create --dag-id ingest --from-date 2026-03-01 --to-date 2026-03-31` |
| ask again for a day | the same with `--reprocess-behavior completed`: what is here is not fetched twice |
| see whether one study has grown | clear its mapped `retrieve` task |
| let on a study that will never be whole | `accept_incomplete: true` for its source, clear its `retrieve`; the manifest and the timeline then say `incomplete`, and what is missing |
| spare the PACS | `working_hours`, `pause_seconds` for its source; fewer slots in the pool `pacs` |

**Deferred `retrieve`**: it waits, without a slot, for the second asking; or because the PACS
lists or counts more than it gives; or for the working hours; or for another run that has the study;
or, by C-MOVE, for the retrieval that has the port of `move`. The log says which, and the study's
timeline has it as `waiting`. What came is kept in the raw zone (`.staging`), and only what is
missing is fetched, also after a retry or a restart. **Skipped `retrieve`**: nothing new at the
PACS. **Green `retrieve`, and no `prepare`**: Airflow lost its event, as where the API server was
away just then; the daily run of `reprocess`, once that is switched on, announces such studies again.

**Red `retrieve`**, by the last line of its log: *the PACS counts 60 instances, lists 57 and gave
57*: it did not become whole within `give_up_after_seconds` of the last instance that came. The
study is in quarantine with what is missing by series, and nothing of it went on. See that the
PACS has all of it, then clear the task, which starts with what came. *PACS unavailable*: it broke
off five times; clear the task when it is back. **Red `find`**: no association; see the source's
address in `configs/sources.yaml`. Or more studies at once than the PACS lists, and nothing to tell
them apart by: raise its cap, and `max_results`. Where that is so but for studies that may not be
there, as one without StudyTime, of which none was seen, the log of `find` warns of it.

`pause_seconds` is a rest after each fetch in which the task keeps its slot of the pool `pacs`:
with one slot it lies between any two studies, with more each slot rests for itself.

A source of another region than the site's has its tasks on that region's queue, `default-us`, and
its studies in that region's roots. What two sources have of a study is brought from both, and its
results go where those of the first go. What the second counts and does not give is in quarantine,
and the study goes on as the first has it. A study that came from a source of another region first stays
of that region: the log of `find` names it.

**What a PACS corrects under the same SOPInstanceUID is not seen here**: its list names instances,
and not what is in them. `confirmed` says that all of them are here, each as it was when it came.
Where it is pushed to `hounsfield receive`, other content of a UID that is here goes to quarantine,
with an alert, for a person to compare; the study keeps the first. A correction under new UIDs is a
late image like any other.
To have the correction in place of the first, trigger `erase_patient` with the patient's pseudonym,
and let the PACS send the patient's studies to `hounsfield receive` when that is green. All that was
made of them is made anew; from then on what is late to them has to be pushed, too.

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
    for source, queue in source_queues().items():
        with TaskGroup(group_id=source):
            find = FindStudiesOperator(task_id="find", source=source, pool=PACS_POOL, queue=queue)
            RetrieveStudyOperator.partial(
                task_id="retrieve", source=source, pool=PACS_POOL, queue=queue, outlets=[RECEIVED]
            ).expand(study_key=find.output)
