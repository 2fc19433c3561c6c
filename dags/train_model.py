"""A bundle trained on a snapshot, judged by subgroup, registered."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from operators.assets import SNAPSHOTS
from operators.datasets import ChooseSnapshotOperator, TrainModelOperator, trainable_bundles
from operators.policy import DEFAULTS, GPU_POOL, GPU_QUEUE

DOC = """
## train_model: from a snapshot to a registered version

Trains a bundle of `models/` on a frozen snapshot and registers the version in MLflow, with the
snapshot's digest, the code's version and metrics by subgroup. The first version of a model
becomes `champion`; a later one becomes `shadow`: it runs beside the champion on each study and
is only watched.

| to | do |
|---|---|
| train on a snapshot | trigger with its digest or name |
| train the demonstration's model | trigger with snapshot `phantoms` |
| roll back | point the alias `champion` in MLflow at the older version |

A new snapshot starts this Dag by itself; one without labels is skipped. At a site with several
regions it is one of the site's own; for another region, whose workers then train, name it.

Not for diagnostic use.
"""

with DAG(
    dag_id="train_model",
    schedule=[SNAPSHOTS],
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={**DEFAULTS, "retries": 1},
    params={
        "bundle": Param(
            "lung_nodule",
            enum=trainable_bundles(),
            title="Bundle",
            description="Of the folder models/: those with a configs/train.yaml.",
        ),
        "snapshot": Param(
            "",
            type="string",
            title="Snapshot",
            description="Digest or name; `phantoms` makes a generated one; empty: the newest.",
        ),
        "phantoms": Param(
            20, type="integer", minimum=4, maximum=500, title="Phantoms", description="How many."
        ),
        "epochs": Param(
            0, type="integer", minimum=0, title="Epochs", description="0: the bundle's own number."
        ),
        "seed": Param(
            1000,
            type="integer",
            minimum=0,
            title="Seed",
            description="Of the weights, and of the phantoms.",
        ),
    },
    tags=["models"],
    doc_md=DOC,
):
    choose = ChooseSnapshotOperator(task_id="choose_snapshot")
    TrainModelOperator(task_id="train", snapshot=choose.output, pool=GPU_POOL, queue=GPU_QUEUE)
