"""The Dags, parsed once as Airflow's own Dag processor parses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tests.airflow_home  # noqa: F401 - before Airflow

FOLDER = Path(__file__).resolve().parents[2] / "dags"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.fixture(scope="session")
def bag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(FOLDER, load_op_links=False)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def file(request: pytest.FixtureRequest) -> Path:
    """Each file of dags/."""
    return request.param


@pytest.fixture
def dag(bag: Any, file: Path) -> Any:
    """The Dag of each file of dags/."""
    return bag.dags[file.stem]
