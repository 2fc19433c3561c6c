"""A share of all checksums each night: what has changed is found, and healed where it can be."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Param

from operators.lifecycle import PickDueOperator, ScrubOperator
from operators.policy import DEFAULTS, region_queues

DOC = """
## scrub: are the bytes what they were?

`pick` lists the products that had their turn least lately, up to `share` of all bytes; `verify`
reads every byte of each where it lies (files, Zarr, packed objects) and compares it with the
checksums of its manifest. Where a tier of `configs/tiers.yaml` has `copies`, the copy is verified
too, or made if there is none yet; what is damaged is healed from what is whole, also from the
source of a move that was not finished. What lies in an archive is left to its store; what a move
or a deletion works on has its turn the next night. What a deletion hid and could not end is passed
over; what it had not come to is verified as all else. Files within a product that its manifest does
not name stay, and the timeline says how many, and where: what they are, a person finds out.

Each region of `configs/site.yaml` but the site's own has its two tasks in a group, on its queue.

| to | do |
|---|---|
| verify all, once | trigger with `share` 1 |
| see what was found | *scrub* in the timeline of the study, on its Hounsfield page |

**Red `verify`**: products are damaged and no whole copy is here. The others of the batch were
verified; the log names what is damaged and where. Restore it from a backup, or make it again
(`reprocess`), then clear the task: else its next turn comes when all others had theirs. **Red
`verify` with a store**: it does not answer, refuses, or cannot be written; the log names what was
not read. When the store does what it should, clear the task: the next night is of others, so that
one place which refuses for good does not keep all others from their turn.
"""

with DAG(
    dag_id="scrub",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    params={
        "share": Param(
            0.035,
            type="number",
            minimum=0,
            maximum=1,
            title="Share",
            description="Of all bytes; 0.035 is all of them in a month.",
        ),
    },
    tags=["storage"],
    doc_md=DOC,
):
    for region, queue in region_queues():
        pick = PickDueOperator(
            task_id="pick", share="{{ params.share }}", region=region, queue=queue
        )
        ScrubOperator.partial(task_id="verify", queue=queue, max_active_tis_per_dagrun=2).expand(
            product_ids=pick.output
        )
