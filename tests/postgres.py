"""A PostgreSQL server of the tests' own, as production has one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError

__all__ = ["bin_folder", "new_database", "postgres"]

_USER = "hounsfield"


def bin_folder() -> Path | None:
    """Where Debian puts the newest server; None where there is none."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(found, key=lambda path: float(path.parts[-3]), default=None)
    return newest and newest.parent


@contextmanager
def postgres(programs: Path, port: int) -> Iterator[URL]:
    """A server while the block lasts, and the address of a database in it."""
    # It refuses to run as root, and under a folder that only root may enter.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="hounsfield-postgres-"))
    shutil.chown(folder, user)
    data = folder / "data"
    initdb = [programs / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run(initdb, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    # No fsync; connections, since engines keep theirs.
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F", "-N", "300"]
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *options],
        user=user,
        cwd=folder,
        stderr=(folder / "log").open("wb"),
    )
    url = URL.create("postgresql+psycopg2", _USER, host="127.0.0.1", port=port, database="postgres")
    try:
        _wait(url, server)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # which waits for nobody who is still connected
        server.wait(timeout=60)
        shutil.rmtree(folder)


def new_database(server: URL) -> str:
    """Address of an empty database on a server."""
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.set(database=name).render_as_string()


def _wait(url: URL, server: subprocess.Popen[bytes]) -> None:
    engine, end = create_engine(url), time.monotonic() + 60
    while True:
        try:
            engine.connect().close()
            break
        except OperationalError:
            assert server.poll() is None and time.monotonic() < end, "PostgreSQL does not start"
            time.sleep(0.1)
    engine.dispose()
