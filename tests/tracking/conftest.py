"""One MLflow store for the whole module: its tables take seconds to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.tracking import Tracker


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    root = tmp_path_factory.mktemp("mlflow")
    made = Tracker(f"sqlite:///{root}/mlflow.db", str(root / "artifacts"))
    made.prepare()
    return made


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.pt").write_bytes(tmp_path.name.encode())
    (folder / "configs").mkdir()
    (folder / "configs" / "metadata.json").write_text("{}")
    return folder
