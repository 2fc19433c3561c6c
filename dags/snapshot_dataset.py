"""A frozen training set: cohort, split by patient, one digest."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from operators.assets import SNAPSHOTS
from operators.datasets import SnapshotDatasetOperator
from operators.policy import DEFAULTS

DOC = """
## snapshot_dataset: freeze a training set

Asks the catalog for the volumes of a cohort, splits them **by patient**, and freezes the list
under one digest: in the zone `datasets`, in the catalog, and in MLflow as a dataset. The same
cohort on the same data is the same snapshot. `train_model` starts on it.

Fill in the form; what is empty does not restrict. **Red `freeze`**: nothing fits, or a pattern
is not one; the log says which.
"""

_TEXT = {"type": "string"}

with DAG(
    dag_id="snapshot_dataset",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    params={
        "name": Param(
            "chest CT",
            type="string",
            minLength=1,
            maxLength=100,
            title="Name",
            description="By which it is found again.",
        ),
        "modality": Param("CT", **_TEXT, title="Modality", description="Such as CT or MR."),
        "body_part": Param("", **_TEXT, title="Body part", description="Such as CHEST."),
        "manufacturer": Param("", **_TEXT, title="Manufacturer", description="As its header says."),
        "description": Param(
            "",
            **_TEXT,
            title="Series description",
            description="A regular expression, found somewhere in it.",
        ),
        "label": Param(
            "",
            **_TEXT,
            title="Label",
            description="Kind of reference label that each series must have, as lung-nodule.",
        ),
        "region": Param(
            "",
            **_TEXT,
            title="Region",
            description="Of the studies, such as eu; a snapshot is of one. Empty: any.",
        ),
        "min_slices": Param(
            1, type="integer", minimum=1, title="Slices, at least", description="Of each series."
        ),
        "seed": Param(
            0,
            type="integer",
            minimum=0,
            title="Seed of the split",
            description="Which patient falls where.",
        ),
    },
    tags=["datasets", "models"],
    doc_md=DOC,
):
    SnapshotDatasetOperator(task_id="freeze", outlets=[SNAPSHOTS])
