"""The databases: migrations that make what the models say, and writers that wait."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import BigInteger, event, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from hounsfield.catalog import Catalog, database, open_engine, upgrade
from hounsfield.catalog.models import Base, Delivery, Event, Product, QuarantineItem, Study
from hounsfield.errors import ConfigError, DatabaseUnavailable
from hounsfield.vault import VaultBase
from tests.postgres import new_database
from tests.processes import together

STATES = [(1, "confirmed"), (2, "sent")]
BRANCHES = [("catalog", Base.metadata), ("vault", VaultBase.metadata)]


@pytest.mark.parametrize(("branch", "metadata"), BRANCHES, ids=["catalog", "vault"])
def test_the_migrations_make_what_the_models_say(url: str, branch: str, metadata: object) -> None:
    engine = open_engine(url)
    upgrade(engine, branch)
    with engine.connect() as connection:
        options = {
            "version_table": f"alembic_version_{branch}",
            "compare_type": True,
            "compare_server_default": True,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("branch", ["catalog", "vault"])
def test_upgrading_again_changes_nothing(url: str, branch: str) -> None:
    engine = open_engine(url)
    upgrade(engine, branch)
    tables = inspect(engine).get_table_names()
    upgrade(engine, branch)
    assert inspect(engine).get_table_names() == tables
    assert f"alembic_version_{branch}" in tables


def test_what_was_confirmed_before_was_proven_by_query(url: str) -> None:
    engine = open_engine(url)
    config = database._config("catalog")
    columns = '"SOPInstanceUID", "SOPClassUID", kind, study_key, prediction_id, destination, sha256'
    rows = ", ".join(f"('{n}', '1', 'sr', 's', 'p', 'd', '0', '{s}', '', 1)" for n, s in STATES)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "catalog_0001")
        insert = f"INSERT INTO deliveries ({columns}, state, reason, attempts) VALUES {rows}"
        connection.exec_driver_sql(insert)
    upgrade(engine, "catalog")
    proofs = {row.state: row.proof for row in Catalog(engine).all(select(Delivery))}
    assert proofs == {"confirmed": "query", "sent": None}


def test_refusals_from_before_sources_were_named_are_of_none(url: str) -> None:
    engine = open_engine(url)
    config = database._config("catalog")
    columns = "study_key, stage, code, reason, digest, uri, resolved, at"
    row = "'s', 'ingest', 'c', 'r', 'd', '', false, '2026-03-01 00:00:00+00:00'"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "catalog_0009")
        connection.exec_driver_sql(f"INSERT INTO quarantine ({columns}) VALUES ({row})")
    upgrade(engine, "catalog")
    catalog = Catalog(engine)
    catalog.quarantine("s", stage="ingest", code="none", reason="")
    for source in ("", "pacs", "pacs"):
        catalog.quarantine("s", stage="ingest", code="c", reason=source, digest="d", source=source)
    items = catalog.all(select(QuarantineItem).filter_by(code="c").order_by(QuarantineItem.id))
    assert [(item.source, item.reason) for item in items] == [("", ""), ("pacs", "pacs")]
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "catalog_0009")
        found = connection.exec_driver_sql("SELECT code, source FROM quarantine").all()
    assert set(found) == {("c", "pacs"), ("none", None)}, "as one, as it was said last"


def test_the_catalog_has_nothing_of_the_vault(url: str) -> None:
    engine = open_engine(url)
    upgrade(engine, "catalog")
    assert not set(VaultBase.metadata.tables) & set(inspect(engine).get_table_names())


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'a 100% folder' / 'catalog.db'}")
    upgrade(engine, "catalog")
    assert inspect(engine).has_table("studies")


@pytest.mark.parametrize("table", [Study, Product])
def test_sizes_may_pass_two_gigabytes(table: type[Base]) -> None:
    """PostgreSQL's INTEGER ends there; a CT of the whole body does not."""
    assert isinstance(table.__table__.c.bytes.type, BigInteger)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlite_keeps_a_write_ahead_log(fresh: Catalog, url: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_reader_does_not_wait_for_a_writer(fresh: Catalog) -> None:
    fresh.put(Study(study_key="st-a", patient_key="pt-a"))
    with fresh.write() as session:
        session.add(Study(study_key="st-b", patient_key="pt-a"))
        session.flush()
        assert [row.study_key for row in fresh.all(select(Study))] == ["st-a"]
    assert len(fresh.all(select(Study))) == 2


def test_writers_of_several_processes_queue(fresh: Catalog, url: str) -> None:
    fresh.put(Study(study_key="st-a", patient_key="pt-a"))
    fresh.engine.dispose()
    together(write_as_tasks_do, (url, "one"), (url, "two"), (url, "three"))
    with fresh.read() as session:
        assert session.scalar(select(func.count()).select_from(Event)) == 60
        assert session.scalar(select(func.count()).select_from(Study)) == 21


def write_as_tasks_do(url: str, name: str) -> None:
    """Events, rows that others write too, and a study's state."""
    catalog = Catalog(open_engine(url))
    for number in range(20):
        with catalog.write() as session:
            session.add(Event(study_key="st-a", stage=name, state="done"))
        catalog.put(Study(study_key=f"st-{number}", patient_key="pt-a", revision=name))
        catalog.set_state("st-a", f"{name}-{number}")


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg2://u:SECRET@127.0.0.1:1/x", "sqlite:////proc/SECRET.db"]
)
def test_a_database_that_does_not_answer_may_do_so_later(url: str) -> None:
    """Which no retry would know of a fault of ours."""
    with pytest.raises(DatabaseUnavailable) as caught:
        Catalog(open_engine(url)).all(select(Study))
    assert "HOUNSFIELD_CATALOG_URL" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_database_that_is_held_for_long_is_told_of(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    upgrade(engine, "catalog")
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=50"))
    engine.dispose()
    with sqlite3.connect(tmp_path / "catalog.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="SQLITE_BUSY"):
            Catalog(engine).put(Study(study_key="st-1"))


@pytest.mark.parametrize("url", ["", "SECRET", "nonsense://SECRET", "mysql://u:SECRET@h/x"])
def test_an_address_of_no_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_engine(url)
    assert "SECRET" not in str(caught.value)


@pytest.mark.server
def test_a_database_that_was_started_anew_is_asked_again(postgres_server: str) -> None:
    """Connections that it closed are replaced, and nobody hears of it."""
    url = new_database(postgres_server)
    ours, other = open_engine(url), open_engine(url)
    with ours.connect() as connection:
        backend = connection.scalar(select(func.pg_backend_pid()))
    with other.connect() as connection:
        assert connection.scalar(select(func.pg_terminate_backend(backend)))
    with ours.connect() as connection:
        assert connection.scalar(select(func.pg_backend_pid())) != backend


def test_what_we_ask_wrongly_is_no_silence(url: str) -> None:
    """Though SQLite has one error for both, and trying again helps against one alone."""
    with pytest.raises(DBAPIError), open_engine(url).connect() as connection:
        connection.execute(text("SELECT 1 FROM nowhere"))
