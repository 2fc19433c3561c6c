"""The audit trail: every access to PHI and every decision, hash-chained.

Each row's hash covers the row and the hash before it, so a changed, inserted or removed row
breaks the chain where it was touched. What a chain alone cannot show is a cut at its end;
so the head is anchored elsewhere each day (the Dag ``audit_access`` writes it to its log).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, insert, select, text

from hounsfield.catalog.models import AuditEvent
from hounsfield.errors import IntegrityError
from hounsfield.records import RunContext, canonical_json

__all__ = ["AuditEntry", "AuditLog"]

_GENESIS = "0" * 64
_TABLE = AuditEvent.__table__


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the trail. `object` is a pseudonym; nothing here identifies a patient."""

    seq: int
    at: str
    actor: str
    action: str
    object: str
    purpose: str
    run: str
    detail: str
    previous: str
    hash: str

    def computed_hash(self) -> str:
        body = {name: getattr(self, name) for name in self.__slots__ if name != "hash"}
        return hashlib.sha256(canonical_json(body)).hexdigest()


class AuditLog:
    """Appends to the trail and proves it whole."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(
        self, *, action: str, object: str, purpose: str, run: RunContext, detail: str = ""
    ) -> AuditEntry:
        """Writes one event; it is durable when this returns."""
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Readers go on; a second writer waits, so that no two rows share a predecessor.
                connection.execute(text("LOCK TABLE audit_events IN EXCLUSIVE MODE"))
            last = _head(connection)
            entry = AuditEntry(
                seq=last.seq + 1 if last else 1,
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                actor=run.actor,
                action=action,
                object=object,
                purpose=purpose,
                run="/".join(part for part in (run.dag_id, run.run_id, run.task_id) if part),
                detail=detail,
                previous=last.hash if last else _GENESIS,
                hash="",
            )
            values = {name: getattr(entry, name) for name in entry.__slots__}
            values["hash"] = entry.computed_hash()
            connection.execute(insert(AuditEvent).values(values))
        return AuditEntry(**values)

    def entries(self, object: str | None = None) -> Iterator[AuditEntry]:
        """The trail in order, all of it or what concerns one pseudonym."""
        query = select(_TABLE).order_by(_TABLE.c.seq)
        if object is not None:
            query = query.where(_TABLE.c.object == object)
        with self._engine.connect().execution_options(readonly=True, yield_per=1000) as connection:
            for row in connection.execute(query):
                yield AuditEntry(**row._mapping)

    def verify(self) -> AuditEntry | None:
        """Walks the whole chain and gives its head.

        Raises
        ------
        IntegrityError
            At the first row that was changed, or before which one is missing.
        """
        previous: AuditEntry | None = None
        for entry in self.entries():
            expected = (previous.seq + 1, previous.hash) if previous else (1, _GENESIS)
            if (entry.seq, entry.previous) != expected or entry.hash != entry.computed_hash():
                raise IntegrityError(
                    "the audit chain is broken: a row was changed or removed",
                    where=f"audit event {entry.seq}",
                    remedy="compare with a backup; rows before this one are whole",
                )
            previous = entry
        return previous


def _head(connection: Connection) -> AuditEntry | None:
    row = connection.execute(select(_TABLE).order_by(_TABLE.c.seq.desc()).limit(1)).first()
    return AuditEntry(**row._mapping) if row else None
