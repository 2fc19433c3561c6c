"""How much lies in each tier, day by day, and what nobody names."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from operators.policy import DEFAULTS
from operators.storage import FindOrphansOperator, MeasureStorageOperator

DOC = """
## measure_storage: what lies where, and what it costs

`measure` writes down the bytes of each tier, project and modality, once a day; with the prices of
`configs/tiers.yaml` that gives the costs by month on the Hounsfield page, under *Storage*. A tier
holds what the catalog names, all kinds of products; second copies have lines of their own at the
price of their tier, and so have `waiting` (landed or staged, no study yet) and `quarantine`, which
have no price. Not counted are old versions that a bucket keeps, databases and MLflow. `orphans`
looks through all zones and tiers for what no row of the catalog names, and through the catalog for
what is not where it says, and for what was to be deleted and is not gone: *going*. It deletes
nothing.

| to | do |
|---|---|
| see the costs | the Hounsfield page, *Storage* |
| see the orphans | the same, or `hounsfield orphans` |
| end what is *going* | of an erasure clear its red task; `expire` ends what its table says still |
| measure a day that was missed | it cannot be: the month's mean is that of the days that were |

**Red `orphans`**: a place cannot be listed; the log says which.
"""

with DAG(
    dag_id="measure_storage",
    schedule="0 3 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    tags=["storage"],
    doc_md=DOC,
):
    MeasureStorageOperator(task_id="measure")
    FindOrphansOperator(task_id="orphans")
