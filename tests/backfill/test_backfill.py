"""Airflow's own backfill over thirty days brings every study of a PACS once, and only once."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from hounsfield.catalog.models import Product, Study
from hounsfield.pacs import DimsePeer, send_folder
from hounsfield.settings import Settings
from hounsfield.site import Site
from operators.local.api import AirflowApi
from operators.local.installation import Installation
from operators.local.services import Service, Services
from tests.pacs.studies import write_study

DAYS, STUDIES, SLICES = 30, 60, 2
FIRST = date(2026, 3, 1)
LAST = FIRST + timedelta(days=DAYS - 1)
PATIENCE_S = 2400


class IngestOnly(Services):
    """Without what only models need."""

    def _services(self) -> Iterator[Service]:
        return (service for service in super()._services() if service.name != "mlflow")


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Airflow, and a PACS with two studies a day."""
    monkeypatch.setenv("HOUNSFIELD_PARALLELISM", "4")
    monkeypatch.setenv("HOUNSFIELD_CONFIRM_SECONDS", "0")  # Twice the tasks else.
    made = Installation(tmp_path / "home")
    for name, value in made.environment.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    services = IngestOnly(made)
    try:
        services.set_up(lambda _: None)
        services.start(lambda _: None)
        yield made
    finally:
        services.stop()


def test_thirty_days_of_sixty_studies_come_once(installation: Installation, tmp_path: Path) -> None:
    site = Site(Settings.load(installation.environment))
    keys = fill(site, tmp_path / "input")
    api = AirflowApi(installation)
    until(lambda: api.dag_ids() >= {"ingest", "prepare"}, "the Dags were not parsed")
    api.pause("prepare")  # What is received only has to be announced.
    api.unpause("ingest")

    assert backfill(api) == Counter(success=STUDIES)
    assert held(site) == dict.fromkeys(keys, "confirmed")
    assert api.partitions("received") == Counter(keys)
    files = written(site)
    assert len(files) == STUDIES * (SLICES + 2)  # manifest.json and product.json

    assert backfill(api) == Counter(skipped=STUDIES)
    assert held(site) == dict.fromkeys(keys, "confirmed")
    assert api.partitions("received") == Counter(keys), "nothing is announced again"
    assert written(site) == files, "nothing is written again"


def fill(site: Site, folder: Path) -> set[str]:
    """Keys of the studies that the PACS then has."""
    uids = []
    for number in range(STUDIES):
        day = FIRST + timedelta(days=number % DAYS)
        uids.append(write_study(folder, slices=SLICES, date=f"{day:%Y%m%d}")[0])
    peer = site.settings.sources["pacs"].peer
    assert peer is not None
    assert send_folder(DimsePeer.from_dict(peer), folder).sent == STUDIES * SLICES
    return {site.pseudonyms.study_key(uid) for uid in uids}


def backfill(api: AirflowApi) -> Counter[str]:
    """Runs one; how its `retrieve` tasks ended."""
    number = api.backfill("ingest", FIRST.isoformat(), LAST.isoformat())
    until(lambda: api.backfill_is_done(number), "the backfill did not end")
    runs = [run for run in api.runs("ingest") if run["run_type"] == "backfill"]
    assert Counter(run["state"] for run in runs) == {"success": DAYS}
    tasks = [task for run in runs for task in api.task_instances("ingest", run["dag_run_id"])]
    return Counter(task["state"] for task in tasks if task["task_id"] == "pacs.retrieve")


def held(site: Site) -> dict[str, Any]:
    """Study key → how it is known to be whole, of every revision."""
    rows = site.catalog.all(select(Product).where(Product.kind == "raw"))
    assert len(rows) == site.catalog.all(select(func.count()).select_from(Study))[0]
    return {row.study_key: row.detail["completeness"] for row in rows}


def written(site: Site) -> dict[str, int]:
    """Each file of the raw zone, and when it was written."""
    root = Path(site.settings.site.zones["raw"])
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in files}


def until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(2)
