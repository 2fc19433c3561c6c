"""A catalog of its own for each test, in each database that an installation may have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hounsfield.catalog import Catalog, open_engine, upgrade
from tests.postgres import new_database

DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.server))


def database_of(request: pytest.FixtureRequest, folder: Path) -> str:
    """Address of an empty database of the kind that a fixture's parameter names."""
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'databases' / 'catalog.db'}"
    return new_database(request.getfixturevalue("postgres_server"))


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_of(request, tmp_path)


@pytest.fixture
def fresh(url: str) -> Iterator[Catalog]:
    """Empty, with all its tables."""
    engine = open_engine(url)
    upgrade(engine, "catalog")
    yield Catalog(engine)
    engine.dispose()
