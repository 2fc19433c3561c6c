"""SQLite under Airflow: many processes read and write one file, and Airflow leaves it as it is.

A write-ahead log lets readers read while somebody writes; without it they wait for each other.

A savepoint begins a transaction, as Airflow takes for granted; Python's driver begins none. So
each run of a backfill, which Airflow makes under a savepoint, was committed alone, and where
another process wrote meanwhile SQLite refused it at once instead of waiting. Airflow then took
back what was there already, and the scheduler, which had begun to start it, ended over that.
"""

from __future__ import annotations

import sqlite3
from typing import Any

__all__ = ["CONNECT_ARGS"]


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith("SAVEPOINT") and not self.connection.in_transaction:
            super().execute("BEGIN IMMEDIATE")  # Waits till it may write, so that it may later.
        return super().execute(sql, parameters)


class _Connection(sqlite3.Connection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or _Cursor)


#: Of SQLAlchemy's engine. Seconds to wait for a writer: sqlite3's 5 are too few where two cores
#: serve all processes.
CONNECT_ARGS = {"timeout": 60, "factory": _Connection}
