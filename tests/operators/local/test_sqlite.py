"""What is made under a savepoint is there as a whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from operators.local.sqlite import CONNECT_ARGS


@pytest.fixture
def engines(tmp_path: Path) -> list[Engine]:
    """Two processes' views of one database."""
    url = f"sqlite:///{tmp_path / 'airflow.db'}"
    made = [create_engine(url, connect_args={**CONNECT_ARGS, "timeout": 0.1}) for _ in range(2)]
    with made[0].begin() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER)"))
    return made


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM runs")))


def make_runs(session: Session) -> None:
    for number in range(3):
        with session.begin_nested():
            session.execute(text("SELECT count(*) FROM runs"))
            session.execute(text("INSERT INTO runs VALUES (:number)"), {"number": number})


def test_who_reads_does_not_wait_for_who_writes(engines: list[Engine]) -> None:
    with engines[0].begin() as connection:
        connection.execute(text("INSERT INTO runs VALUES (1)"))
        assert count(engines[1]) == 0
    assert count(engines[1]) == 1


def test_nobody_sees_half_of_it(engines: list[Engine]) -> None:
    with Session(engines[0]) as session:
        make_runs(session)
        assert count(engines[1]) == 0
        session.commit()
    assert count(engines[1]) == 3


def test_what_is_taken_back_never_was(engines: list[Engine]) -> None:
    with Session(engines[0]) as session:
        make_runs(session)
        session.rollback()
    assert count(engines[1]) == 0


def test_a_savepoint_that_fails_takes_only_itself_back(engines: list[Engine]) -> None:
    with Session(engines[0]) as session:
        make_runs(session)
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            session.execute(text("INSERT INTO runs VALUES (9)"))
            raise ZeroDivisionError
        session.commit()
    assert count(engines[1]) == 3
