"""A training while it runs: what it logs, and where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hounsfield.tracking.client import Store, translated

__all__ = ["TrainingRun"]


class TrainingRun:
    """Handed out by ``Tracker.training_run``; its run ends with the block."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.run_id = run_id
        self._store = store

    def metric(self, name: str, value: float, step: int = 0) -> None:
        self.metrics({name: value}, step)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers of one step (an epoch, unless the bundle counts otherwise)."""
        with translated(f"training run {self.run_id}"):
            self._store._fill(self.run_id, metrics=values, step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        with translated(f"training run {self.run_id}"):
            self._store._fill(self.run_id, tags=values)

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file, or a folder with all in it, as artefacts of the run."""
        log = (
            self._store._client.log_artifacts if path.is_dir() else self._store._client.log_artifact
        )
        with translated(f"training run {self.run_id}"):
            log(self.run_id, str(path), folder or None)

    def json(self, name: str, data: Mapping[str, Any]) -> None:
        """A dictionary as the artefact ``NAME.json``."""
        with translated(f"training run {self.run_id}"):
            self._store._client.log_dict(self.run_id, dict(data), f"{name}.json")
