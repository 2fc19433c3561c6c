"""A catalog of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.catalog import Catalog, open_engine, upgrade


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'databases' / 'catalog.db'}"


@pytest.fixture
def fresh(url: str) -> Catalog:
    """Empty, with all its tables."""
    engine = open_engine(url)
    upgrade(engine, "catalog")
    return Catalog(engine)
