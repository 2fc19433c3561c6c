"""A received study → a de-identified volume: validate, de-identify, gate, release, chunk."""

from __future__ import annotations

from airflow.sdk import DAG, PartitionedAssetTimetable

from operators.assets import PREPARED, RECEIVED
from operators.policy import DEFAULTS, STUDY_POOL
from operators.prepare import (
    ChunkStudyOperator,
    DeidentifyStudyOperator,
    GateStudyOperator,
    ReleaseStudyOperator,
    ValidateStudyOperator,
)
from operators.review import ReviewStudyOperator

DOC = """
## prepare: from received to ready for models

One run is one study: the partition key is its study key. `validate` proves it whole and sound,
`deidentify` takes the patient out, `gate` looks at the outcome a second time, `release` lets it
out of the protected zone, `chunk` lays it out as OME-Zarr. Each finds its product where it
exists already, so clearing a task, or the whole run, is always safe; the gate looks each time. A
study to which images came later has a run for each of its revisions; a run works on the newest.

| to | do |
|---|---|
| run a study again | clear the run, or trigger with its study key as the partition key |
| run many again | the Dag `reprocess` |
| see why a study was refused | the red task's last line; the validation report; the Hounsfield page |
| decide on a study that waits | Required actions, or *Review* on its Hounsfield page |
| decide anew | clear `gate` |
| see what was removed, and who released it | `hounsfield certificate STUDY_KEY`, or docs/certificates |

**`review` waits**: the gate found something, or `deidentify` could not mask text away, and the
study is not released. It holds no worker.
**Skipped `review`**: the gate found nothing; that is how it should be. **Red `validate`**: the
study is in quarantine with its reason. If it was mended at the PACS, `ingest` its day again.
**Red `deidentify`**: the patient could not be taken out with certainty; nothing left the
protected zone. **Red `review`**: a person rejected the study. **Red `release`**: neither the
gate nor a person let exactly this content pass; clear `gate`.
"""

with DAG(
    dag_id="prepare",
    schedule=PartitionedAssetTimetable(assets=RECEIVED),
    catchup=False,
    # A study that waits for a person holds its run, but no slot of the pool: many may wait while
    # few are worked on. The last steps come first, so that studies get done.
    max_active_runs=100,
    is_paused_upon_creation=False,
    default_args={**DEFAULTS, "pool": STUDY_POOL, "weight_rule": "upstream"},
    tags=["studies", "de-identification"],
    doc_md=DOC,
):
    gate = GateStudyOperator(task_id="gate")
    review = ReviewStudyOperator(task_id="review")
    release = ReleaseStudyOperator(task_id="release", trigger_rule="none_failed_min_one_success")
    (
        ValidateStudyOperator(task_id="validate")
        >> DeidentifyStudyOperator(task_id="deidentify")
        >> gate
        >> [review, release]
    )
    review >> release >> ChunkStudyOperator(task_id="chunk", outlets=[PREPARED])
