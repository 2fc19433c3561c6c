"""The audit trail: whole, or broken where it was touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, insert, update

from hounsfield.audit import AuditLog
from hounsfield.catalog import open_engine, upgrade
from hounsfield.catalog.models import AuditEvent
from hounsfield.errors import IntegrityError
from hounsfield.records import RunContext
from tests.processes import together

RUN = RunContext(actor="officer", dag_id="prepare", run_id="r1", task_id="validate")
TABLE = AuditEvent.__table__


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
def engine(url: str) -> Engine:
    engine = open_engine(url)
    upgrade(engine, "catalog")
    return engine


@pytest.fixture
def log(engine: Engine) -> AuditLog:
    """A trail of five events."""
    log = AuditLog(engine)
    for number in range(5):
        log.append(action="vault.open", object=f"st-{number % 2}", purpose="ingest", run=RUN)
    return log


def test_a_whole_trail_gives_its_head(log: AuditLog) -> None:
    head = log.verify()
    assert head is not None
    assert head.seq == 5
    entries = list(log.entries())
    assert head == entries[-1]
    assert [after.previous for after in entries[1:]] == [before.hash for before in entries[:-1]]


def test_an_empty_trail_is_whole(engine: Engine) -> None:
    assert AuditLog(engine).verify() is None


def test_an_event_says_who_what_for_which_run(log: AuditLog) -> None:
    entry = log.append(action="raw.read", object="st-x", purpose="review", run=RUN, detail="d")
    assert (entry.actor, entry.action, entry.object) == ("officer", "raw.read", "st-x")
    assert (entry.purpose, entry.run, entry.detail) == ("review", "prepare/r1/validate", "d")
    assert entry == list(log.entries())[-1]


def test_the_events_of_one_study(log: AuditLog) -> None:
    assert [entry.seq for entry in log.entries("st-0")] == [1, 3, 5]


@pytest.mark.parametrize("column", [c.name for c in TABLE.columns if c.name != "seq"])
def test_a_changed_row_is_found(log: AuditLog, engine: Engine, column: str) -> None:
    with engine.begin() as connection:
        connection.execute(update(TABLE).where(TABLE.c.seq == 3).values({column: "changed"}))
    with pytest.raises(IntegrityError, match="audit event 3"):
        log.verify()


def _remove(engine: Engine, seq: int) -> None:
    with engine.begin() as connection:
        connection.execute(delete(TABLE).where(TABLE.c.seq == seq))


def _renumber(engine: Engine, seq: int) -> None:
    """Removes a row and closes the gap in the numbers."""
    _remove(engine, seq)
    with engine.begin() as connection:
        for later in range(seq + 1, 6):
            connection.execute(update(TABLE).where(TABLE.c.seq == later).values(seq=later - 1))


def _insert(engine: Engine, seq: int) -> None:
    """Pushes a row in, with a hash that fits its own contents."""
    entries = list(AuditLog(engine).entries())
    with engine.begin() as connection:
        for later in range(5, seq - 1, -1):
            connection.execute(update(TABLE).where(TABLE.c.seq == later).values(seq=later + 1))
        before = entries[seq - 2]
        values = {name: getattr(before, name) for name in before.__slots__}
        values |= {"seq": seq, "previous": before.hash}
        forged = type(before)(**values)
        connection.execute(insert(TABLE).values({**values, "hash": forged.computed_hash()}))


@pytest.mark.parametrize("touch", [_remove, _renumber, _insert])
@pytest.mark.parametrize("seq", [2, 3, 4])
def test_a_row_too_few_or_too_many_is_found(
    log: AuditLog, engine: Engine, touch: Callable[[Engine, int], None], seq: int
) -> None:
    touch(engine, seq)
    with pytest.raises(IntegrityError, match="audit chain is broken"):
        log.verify()


def test_the_first_row_cannot_go(log: AuditLog, engine: Engine) -> None:
    _remove(engine, 1)
    with pytest.raises(IntegrityError):
        log.verify()


def test_processes_append_without_a_gap(engine: Engine, url: str) -> None:
    engine.dispose()
    together(append_twenty, (url,), (url,), (url,))
    head = AuditLog(engine).verify()
    assert head is not None
    assert head.seq == 60


def append_twenty(url: str) -> None:
    log = AuditLog(open_engine(url))
    for _ in range(20):
        log.append(action="raw.read", object="st-a", purpose="test", run=RUN)
