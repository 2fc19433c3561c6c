"""Opening the catalog's and the vault's databases, and bringing them up to date."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from hounsfield.errors import ConfigError, DatabaseUnavailable

__all__ = ["open_engine", "up_to_date", "upgrade"]

_SETTINGS = "configs/site.yaml: databases"
_OURS = "SQLITE_ERROR"  # what is asked wrongly, such as of a table that is not there


def open_engine(url: str) -> Engine:
    """An engine for SQLite or PostgreSQL.

    SQLite gets a write-ahead log and patience, since the tasks of many studies write at
    once, and real transactions: ``BEGIN IMMEDIATE``, so that two writers queue instead of
    one of them failing when it comes to write. Connections with the execution option
    ``readonly`` begin without that lock.

    Raises
    ------
    ConfigError
        If the address is none, or of a database that nothing here speaks with.
    DatabaseUnavailable
        Whatever is asked of it: if it does not answer, is busy for long, or its disk is full.
    """
    try:
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        how = {"connect_args": {"timeout": 60}} if is_sqlite else {"pool_pre_ping": True}
        engine = create_engine(parsed, **how)
    except (ArgumentError, ImportError):
        raise ConfigError(
            "the address of a database is none that can be used",
            where=_SETTINGS,
            remedy="see HOUNSFIELD_CATALOG_URL and HOUNSFIELD_VAULT_URL",
        ) from None
    event.listen(engine, "handle_error", _tell_whether_it_answers)
    if is_sqlite:
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def upgrade(engine: Engine, branch: str) -> None:
    """Runs the migrations of `branch` (``catalog`` or ``vault``) up to the newest."""
    config = _config(branch)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, f"{branch}@head")


def up_to_date(engine: Engine, branch: str) -> Engine:
    """The engine, once it is sure that all migrations of `branch` have been run.

    Raises
    ------
    ConfigError
        If there are no tables yet, or those of another release.
    """
    scripts = ScriptDirectory.from_config(_config(branch))
    newest = {script.revision for script in scripts.get_revisions(f"{branch}@head")}
    options = {"version_table": f"alembic_version_{branch}"}
    with engine.connect().execution_options(readonly=True) as connection:
        context = MigrationContext.configure(connection, opts=options)
        if set(context.get_current_heads()) != newest:
            raise ConfigError(
                "the database is not set up for this release",
                where=branch,
                remedy="run hounsfield setup",
            )
    return engine


def _config(branch: str) -> Config:
    config = Config()
    folder = str(files("hounsfield.catalog") / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["branch"] = branch
    return config


def _tell_whether_it_answers(context: ExceptionContext) -> None:
    """Else whoever asks would take it for a fault of ours; its text quotes what was asked.

    The pool replaces by itself a connection that was closed meanwhile.
    """
    original = context.original_exception
    codes = (getattr(original, name, None) for name in ("sqlite_errorname", "pgcode"))
    code = next(filter(None, codes), "it does not answer")
    is_silent = isinstance(context.sqlalchemy_exception, OperationalError) and code != _OURS
    if not context.is_pre_ping and (context.is_disconnect or is_silent):
        raise DatabaseUnavailable(
            f"a database cannot be used ({code})",
            where=_SETTINGS,
            remedy="see that it runs, its disk, HOUNSFIELD_CATALOG_URL and HOUNSFIELD_VAULT_URL",
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten, not only unlisted
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    readonly = connection.get_execution_options().get("readonly", False)
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
