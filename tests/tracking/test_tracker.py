"""Runs: each identity one, each complete, none with a name of a person or a machine."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hounsfield.errors import ModelError, StoreUnavailable
from hounsfield.tracking import Tracker
from hounsfield.tracking.client import translated


def snapshot(tracker: Tracker, tmp_path: Path, digest: str) -> str:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"digest": digest}))
    return tracker.log_snapshot(
        "chest",
        digest,
        manifest,
        members=3,
        cohort={"modality": "CT", "slice_thickness_mm": [0.5, 3.0]},
        counts={"train": 2, "test": 1},
    )


def test_a_snapshot_is_logged_once_as_a_dataset(tracker: Tracker, tmp_path: Path) -> None:
    digest = "a1" * 32
    first, second = snapshot(tracker, tmp_path, digest), snapshot(tracker, tmp_path, digest)
    run = tracker._client.get_run(first)
    (dataset,) = run.inputs.dataset_inputs
    assert first == second
    assert run.info.status == "FINISHED"
    assert run.data.tags["snapshot_digest"] == digest
    assert digest.startswith(dataset.dataset.digest)
    assert run.data.params["cohort.slice_thickness_mm"] == "[0.5,3.0]"
    assert [a.path for a in tracker._client.list_artifacts(first)] == ["manifest.json"]


def test_a_half_written_run_is_completed(tracker: Tracker, tmp_path: Path) -> None:
    digest = "b2" * 32
    from mlflow.utils.file_utils import local_file_uri_to_path

    half = tracker._start("snapshots", "chest", {"snapshot_digest": digest})
    artifacts = Path(local_file_uri_to_path(half.info.artifact_uri))
    artifacts.mkdir(parents=True)
    (artifacts / ".artifact.uploading.x").write_text("half a manifest")  # as MLflow names them
    assert snapshot(tracker, tmp_path, digest) == half.info.run_id
    assert tracker._client.get_run(half.info.run_id).info.status == "FINISHED"
    assert [path.name for path in artifacts.iterdir()] == ["manifest.json"]


def test_a_training_inherits_the_dataset_of_its_snapshot(tracker: Tracker, tmp_path: Path) -> None:
    digest = "c3" * 32
    snapshot(tracker, tmp_path, digest)
    (tmp_path / "curve.txt").write_text("down")
    with tracker.training_run("lung_nodule", digest, {"epochs": 3, "roi": [64, 64, 64]}) as run:
        for epoch in range(3):
            run.metrics({"loss": 1.0 / (epoch + 1), "dice": None}, epoch)
        run.artifact(tmp_path / "curve.txt", "plots")
        run.json("evaluation", {"all": 0.9})
    found = tracker._client.get_run(run.run_id)
    history = tracker._client.get_metric_history(run.run_id, "loss")
    assert found.info.status == "FINISHED"
    assert [m.step for m in history] == [0, 1, 2]
    assert found.inputs.dataset_inputs[0].dataset.name == "chest"
    assert {a.path for a in tracker._client.list_artifacts(run.run_id)} == {
        "plots",
        "evaluation.json",
    }


def test_a_training_that_breaks_is_marked_failed(tracker: Tracker) -> None:
    with pytest.raises(ZeroDivisionError), tracker.training_run("m", "", {}) as run:
        raise ZeroDivisionError
    assert tracker._client.get_run(run.run_id).info.status == "FAILED"


def test_more_params_than_one_batch_takes(tracker: Tracker) -> None:
    with tracker.training_run("m", "", {f"p{i}": i for i in range(150)}) as run:
        pass
    assert len(tracker._client.get_run(run.run_id).data.params) == 150


def test_a_report_of_the_same_window_is_one_run(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>")
    first = tracker.log_report("day", "2026-11-20", tmp_path, metrics={"share": 0.1})
    second = tracker.log_report("day", "2026-11-20", tmp_path, metrics={"share": 0.4})
    assert first == second
    assert tracker._client.get_run(first).data.metrics["share"] == 0.4


def test_runs_name_neither_the_account_nor_the_host(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.training_run("m", "", {}) as run:
        pass
    tags = tracker._client.get_run(run.run_id).data.tags
    said = json.dumps(tags)
    assert tags["mlflow.user"] == "hounsfield"
    assert getpass.getuser() not in said.replace("mlflow.", "")
    assert socket.gethostname() not in said
    assert sys.executable not in said


def test_an_identity_with_a_quotation_mark_is_refused(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match="quotation"):
        tracker._run_with("drift", "report", "x' OR 'a' = 'a")


def test_errors_are_of_our_tree_and_quote_nothing() -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE

    with pytest.raises(StoreUnavailable) as busy, translated("x"):
        raise MlflowException("Doe^Jane", TEMPORARILY_UNAVAILABLE)
    with pytest.raises(ModelError) as bad, translated("x"):
        raise MlflowException("Doe^Jane", BAD_REQUEST)
    assert "Doe" not in f"{busy.value} {bad.value}"


_FIRST_USE = """
import sys
from pathlib import Path
from hounsfield.tracking import Tracker
tracker = Tracker(sys.argv[1], sys.argv[2])
tracker.prepare()
tracker.log_report("day", "the-window", Path(sys.argv[3]))
tracker.register("lung_density", Path(sys.argv[3]))
from mlflow.telemetry import get_telemetry_client
assert get_telemetry_client() is None, "MLflow would call home"
"""


def test_processes_that_come_at_once_make_one_of_each(tmp_path: Path) -> None:
    """First use too: nobody made the tables before them."""
    uri, artifacts, folder = f"sqlite:///{tmp_path}/m.db", str(tmp_path / "a"), tmp_path / "f"
    folder.mkdir()
    (folder / "weights.txt").write_text("none needed")
    hushed = {"MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "CI", "PYTEST_CURRENT_TEST"}
    environment = {name: value for name, value in os.environ.items() if name not in hushed}
    arguments = [sys.executable, "-c", _FIRST_USE, uri, artifacts, str(folder)]
    processes = [
        subprocess.Popen(arguments, stderr=subprocess.PIPE, env=environment) for _ in range(2)
    ]
    outcomes = [(p.communicate(timeout=300)[1].decode(), p.returncode) for p in processes]
    assert [code for _, code in outcomes] == [0, 0], outcomes
    assert not any(" INFO " in said for said, _ in outcomes), outcomes
    tracker = Tracker(uri, artifacts)
    assert len(tracker._runs_with("drift", "report", "the-window")) == 1
    assert len(tracker.versions("lung_density")) == 1
