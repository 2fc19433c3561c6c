"""The assets that tie the Dags together. One study is one partition of each.

``snapshots`` alone is not partitioned: a frozen training set is an event of its own.
"""

from airflow.sdk import Asset

__all__ = ["PREPARED", "RECEIVED", "REPORTED", "SNAPSHOTS"]

RECEIVED = Asset(name="received", uri="x-hounsfield://received", group="studies")
PREPARED = Asset(name="prepared", uri="x-hounsfield://prepared", group="studies")
REPORTED = Asset(name="reported", uri="x-hounsfield://reported", group="studies")
SNAPSHOTS = Asset(name="snapshots", uri="x-hounsfield://snapshots", group="datasets")
