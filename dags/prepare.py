"""A received study → a de-identified volume: validate, de-identify, chunk."""

from __future__ import annotations

from airflow.sdk import DAG, PartitionedAssetTimetable

from operators.assets import PREPARED, RECEIVED
from operators.policy import DEFAULTS
from operators.prepare import ChunkStudyOperator, DeidentifyStudyOperator, ValidateStudyOperator

DOC = """
## prepare: from received to ready for models

One run is one study: the partition key is its study key. `validate` proves it whole and sound,
`deidentify` takes the patient out, `chunk` lays it out as OME-Zarr. Each finds its product
where it exists already, so clearing a task, or the whole run, is always safe. A study to which
images came later has a run for each of its revisions; a run works on the newest.

| to | do |
|---|---|
| run a study again | clear the run, or trigger with its study key as the partition key |
| run many again | the Dag `reprocess` |
| see why a study was refused | the red task's last line; the validation report; the Hounsfield page |

**Red `validate`**: the study is in quarantine with its reason. If it was mended at the PACS,
`ingest` its day again. **Red `deidentify`**: the patient could not be taken out with certainty;
nothing left the raw zone.
"""

with DAG(
    dag_id="prepare",
    schedule=PartitionedAssetTimetable(assets=RECEIVED),
    catchup=False,
    max_active_runs=4,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["studies", "de-identification"],
    doc_md=DOC,
):
    (
        ValidateStudyOperator(task_id="validate")
        >> DeidentifyStudyOperator(task_id="deidentify")
        >> ChunkStudyOperator(task_id="chunk", outlets=[PREPARED])
    )
