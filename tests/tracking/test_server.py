"""The same against a real MLflow server, as in production: artefacts go through it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hounsfield.errors import StoreUnavailable
from hounsfield.tracking import CHAMPION, Tracker

SNAPSHOT = "e5" * 32


@pytest.fixture
def server(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(
        command, stdout=log, stderr=log, env=environment, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
        log.close()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert process.poll() is None, "the MLflow server ended"
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=20):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the MLflow server does not answer")


@pytest.mark.server
def test_a_version_goes_to_the_server_and_comes_back(
    server: str, tmp_path: Path, weights: Path
) -> None:
    tracker = Tracker(server, "/must/not/be/used")
    tracker.prepare()
    manifest = tmp_path / "snapshot.json"
    manifest.write_text("{}")
    said = {"members": 1, "cohort": {"modality": "CT"}, "counts": {"training": 1}}
    first = tracker.log_snapshot("chest", SNAPSHOT, manifest, **said)
    assert tracker.log_snapshot("chest", SNAPSHOT, manifest, **said) == first
    with tracker.training_run("nodule", SNAPSHOT, {"epochs": 1}) as run:
        run.metric("loss", 0.5)
    version = tracker.register("nodule", weights, run.run_id, tags={"snapshot_digest": SNAPSHOT})
    tracker.set_alias("nodule", CHAMPION, version.version)
    assert tracker.register("nodule", weights, run.run_id) == version
    assert tracker.resolve("nodule") == version
    assert str(tmp_path) not in version.weights_uri
    folder = tracker.weights(version, cache=tmp_path / "cache")
    assert (folder / "model.pt").read_bytes() == (weights / "model.pt").read_bytes()


def test_a_server_that_is_down_is_a_transient_error(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        Tracker(f"http://127.0.0.1:{free_port()}").prepare()
