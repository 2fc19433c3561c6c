"""Which study an instance belongs to, for a while after it left the landing folder.

A Storage Commitment request names instances and no study (PS3.4 Table J.3.2-1), and the catalog
knows studies and no instances. What is lost here is answered with "failed", never with "held".
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hounsfield.errors import StoreUnavailable

__all__ = ["Known"]

_DAY = 86_400  # seconds
_AT_ONCE = 500  # UIDs in one question
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_PRIMARY = 0xFF  # of SQLite's result codes
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS instance "
    "(uid TEXT PRIMARY KEY, study_key TEXT NOT NULL, seen REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_age ON instance (seen)",
)


class Known:
    """A small database beside the landed instances. PHI.

    Raises
    ------
    StoreUnavailable
        In all that it does: if the database cannot be read or written. One that is damaged is
        removed, and the next call begins another: a copy for later would be one that nobody
        erases a patient from.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, study_key: str, uids: Iterable[str]) -> None:
        """Remembers instances of a study."""
        now = time.time()
        with self._database() as database:
            database.executemany(
                "INSERT OR REPLACE INTO instance VALUES (?, ?, ?)",
                [(uid, study_key, now) for uid in uids],
            )

    def forget(self, days: float) -> None:
        """Drops what was noted longer ago."""
        with self._database() as database:
            database.execute("DELETE FROM instance WHERE seen < ?", (time.time() - days * _DAY,))

    def forget_study(self, study_key: str) -> None:
        """Drops what was noted of a study."""
        with self._database() as database:
            database.execute("DELETE FROM instance WHERE study_key = ?", (study_key,))

    def instances_of(self, study_key: str) -> set[str]:
        """SOPInstanceUIDs of what was noted of a study."""
        query = "SELECT uid FROM instance WHERE study_key = ?"
        with self._database() as database:
            return {uid for (uid,) in database.execute(query, (study_key,))}

    def studies_of(self, uids: Collection[str]) -> set[str]:
        """Keys of the studies that some of these instances belong to."""
        asked, found = list(uids), set()
        with self._database() as database:
            for start in range(0, len(asked), _AT_ONCE):
                some = asked[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = database.execute(
                    f"SELECT DISTINCT study_key FROM instance WHERE uid IN ({marks})",  # noqa: S608
                    some,
                )
                found |= {key for (key,) in rows}
        return found

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=30)) as database, database:
                database.execute("PRAGMA secure_delete=ON")  # not every SQLite has it by itself
                for statement in _SCHEMA:
                    database.execute(statement)
                yield database
        except sqlite3.Error as error:
            if error.sqlite_errorcode & _PRIMARY in _DAMAGED:
                self._remove()
                raise StoreUnavailable(
                    "the list of known instances was damaged, and is begun anew",
                    remedy="look at the disk; for what came before, commitment is refused",
                ) from None
            raise StoreUnavailable(
                f"the list of known instances cannot be used ({error.sqlite_errorname})",
                remedy="see the space and the permissions of the landing folder",
            ) from None

    def _remove(self) -> None:
        journal = self._path.with_name(f"{self._path.name}-journal")
        for path in (self._path, journal):  # Another database must not be rolled back by it.
            path.unlink(missing_ok=True)
