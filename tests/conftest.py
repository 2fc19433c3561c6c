"""What every test may ask for: real data, real programs, free ports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from sqlalchemy import URL
from xdist.scheduler import LoadScopeScheduling

from tests import ports
from tests.postgres import bin_folder, postgres
from tests.s3 import (  # noqa: F401
    ceph_url,
    make_bucket,
    moto_url,
    s3_client,
    s3_options,
    s3_server,
    s3_store,
    s3_url,
)

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    # The names in shared data and phantoms are made up, but pynetdicom's habit is not.
    os.environ.setdefault("TCP_NODELAY", "1")
    # Others work on the cores, too: threads that spin take half of what these need.
    os.environ.setdefault("HOUNSFIELD_OCR_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Other work shares the cores: how long an example takes is no property.
    settings.register_profile("hounsfield", deadline=None)
    settings.load_profile("hounsfield")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, and the second that fills both cores when the first is done."""
    turn = {"e2e": 0, "plugins": 1, "review": 2, "backfill": 4}
    items.sort(key=lambda item: turn.get(_folder(item.nodeid), 3))


class _ByFolder(LoadScopeScheduling):
    """A folder stays on one worker, so that its servers and its Airflow are started once.

    ``--dist loadgroup`` would do, but xdist 3.8 does not see its own groups under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _folder(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFolder:
    return _ByFolder(config, log)


def _folder(nodeid: str) -> str:
    """Below tests/; a file that lies there itself is its own."""
    return nodeid.removeprefix("tests/").split("/")[0].split("::")[0]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real DICOM, or a skip that says where it was looked for."""
    root = Path(os.environ.get("HOUNSFIELD_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (root / "MANIFEST.csv").is_file():
        pytest.skip(
            f"no real DICOM: HOUNSFIELD_TEST_DATA names no folder with MANIFEST.csv ({root.name})"
        )
    return root


@pytest.fixture(scope="session")
def need_program() -> Callable[[str], str]:
    """Gives the path of a program; skips without it, or fails where skipping is forbidden."""

    def find(name: str) -> str:
        # pynetdicom puts its own storescp and storescu first on PATH: Debian's are meant.
        debian = f"/usr/bin/{name}"
        path = debian if os.access(debian, os.X_OK) else shutil.which(name)
        if path is None:
            path = shutil.which(name, path="/usr/sbin:/sbin")
        if path is None:
            missing(f"{name} is not installed")
        return str(path)

    return find


def missing(reason: str) -> NoReturn:
    """Skips, or fails where HOUNSFIELD_NO_SKIP is set, as .ci/run does."""
    if os.environ.get("HOUNSFIELD_NO_SKIP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Ports that nothing listens on."""
    return ports.free_port


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """Of PostgreSQL, for databases of a test's own."""
    programs = bin_folder()
    if programs is None:
        missing("PostgreSQL is not installed")
    with postgres(programs, ports.free_port()) as url:
        yield url
