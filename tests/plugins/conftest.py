"""The page over a catalog of its own; and one running Airflow for the tests that need it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

import tests.airflow_home  # noqa: F401 - before Airflow
from hounsfield.catalog import open_engine, upgrade
from hounsfield.records import RunContext
from hounsfield.settings import Settings
from hounsfield.site import Site
from operators.local.api import AirflowApi
from operators.local.installation import ROOT, Installation
from operators.local.services import Services
from tests.plugins import made_up

PLUGINS = ROOT / "plugins"
if str(PLUGINS) not in sys.path:
    sys.path.append(str(PLUGINS))  # as Airflow does when it starts

RUN = RunContext(actor="admin", dag_id="prepare", run_id="asset__1", task_id="validate")


def open_site(home: Path) -> Site:
    """A catalog without a vault and without a key: the page must need neither."""
    environ = {**os.environ, "HOUNSFIELD_ROOT": str(ROOT), "HOUNSFIELD_HOME": str(home)}
    site = Site(Settings.load(environ))
    upgrade(open_engine(site.settings.site.databases.catalog), "catalog")
    return site


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The studies of ``made_up``."""
    site = open_site(tmp_path_factory.mktemp("filled"))
    made_up.fill(site, RUN)
    return site


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return open_site(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def auth_manager(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What Airflow asks for permissions; it grants all until a test says otherwise."""
    from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
    from airflow.models.dag import DagModel
    from hounsfield_page import access

    manager = create_autospec(BaseAuthManager, instance=True)
    manager.batch_is_authorized_dag.return_value = True
    monkeypatch.setattr(access, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(DagModel, "get_dag_id_to_team_name_mapping", lambda dag_ids: {})
    return manager


@pytest.fixture
def open_page(auth_manager: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Gives a client of the page over a site, mounted as Airflow mounts it."""
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from hounsfield_page import app as page

    def mount(site: Site, *, session: bool = True, prefix: str = "") -> TestClient:
        monkeypatch.setattr(page, "site", lambda: site)
        if session:
            user = create_autospec(BaseUser, instance=True)
            user.get_name.return_value = "officer"
            page.app.dependency_overrides[get_user] = lambda: user
        airflow = FastAPI(root_path=prefix)
        airflow.mount("/hounsfield", page.app)
        return TestClient(airflow, follow_redirects=False)

    yield mount
    page.app.dependency_overrides.clear()


@dataclass(frozen=True)
class Running:
    """A whole local Airflow, and a run of a Dag whose task has a log."""

    installation: Installation
    run: RunContext

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.installation.ports.airflow}"


@pytest.fixture(scope="package")  # an idle Airflow takes a third of a core from the other tests
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Airflow as ``make up`` starts it, with the studies of ``made_up``."""
    installation = Installation(tmp_path_factory.mktemp("running"))
    services = Services(installation)
    try:
        services.set_up(print)
        services.start(print)
        run_id = _run_quick_dag(AirflowApi(installation))
        run = RunContext("admin", "audit_access", run_id, "verify")
        made_up.fill(Site(Settings.load(installation.environment)), run)
        yield Running(installation, run)
    finally:
        services.stop()


def _run_quick_dag(api: AirflowApi, dag_id: str = "audit_access") -> str:
    deadline = time.monotonic() + 600
    while dag_id not in api.dag_ids():
        _sleep_until(deadline)
    api.unpause(dag_id)
    run_id = api.trigger(dag_id)
    while (state := api.run_state(dag_id, run_id)) != "success":
        assert state != "failed"
        _sleep_until(deadline)
    return run_id


def _sleep_until(deadline: float) -> None:
    assert time.monotonic() < deadline, "Airflow did not run a Dag in time"
    time.sleep(1)
