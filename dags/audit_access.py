"""The audit chain, verified each day and anchored in this Dag's logs."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from operators.lifecycle import VerifyAuditOperator
from operators.policy import DEFAULTS

DOC = """
## audit_access: is the trail whole?

Walks the hash chain of every access to PHI from its first event, and logs the head: the number
of events and the last hash. A later cut at the end of the trail shows, because an older run's
head is then missing from it.

**Red `verify`**: a row was changed or removed; the log names the event. Keep the database as it
is and compare it with a backup.
"""

with DAG(
    dag_id="audit_access",
    schedule="0 5 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULTS,
    tags=["compliance"],
    doc_md=DOC,
):
    VerifyAuditOperator(task_id="verify")
