"""Versions: one per content, found by alias, fetched whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.errors import IntegrityError, ModelError, NotFound
from hounsfield.tracking import CHAMPION, SHADOW, Tracker, folder_digest


def test_a_trained_version_points_at_its_run(tracker: Tracker, weights: Path) -> None:
    with tracker.training_run("nodule", "d4" * 32, {}) as run:
        pass
    tags = {"snapshot_digest": "d4" * 32, "code_version": "0.1+abc", "bundle_digest": "b"}
    made = tracker.register("nodule", weights, run.run_id, tags=tags, description="for tests")
    assert made.run_id == run.run_id
    assert made.trained
    assert made.tags["code_version"] == "0.1+abc"
    assert made.digest == folder_digest(weights)
    assert [a.path for a in tracker._client.list_artifacts(run.run_id)] == ["weights"]


def test_the_same_weights_are_the_same_version(tracker: Tracker, weights: Path) -> None:
    first = tracker.register("same", weights)
    assert tracker.register("same", weights) == first
    (weights / "model.pt").write_bytes(b"other")
    assert tracker.register("same", weights).version == "2"


def test_the_same_weights_in_another_bundle_are_another_version(
    tracker: Tracker, weights: Path
) -> None:
    first = tracker.register("bundled", weights, tags={"bundle_digest": "1"})
    second = tracker.register("bundled", weights, tags={"bundle_digest": "2"})
    assert (first.version, second.version) == ("1", "2")


def test_aliases_move_and_roll_back(tracker: Tracker, weights: Path) -> None:
    old = tracker.register("aliased", weights)
    (weights / "model.pt").write_bytes(b"newer")
    new = tracker.register("aliased", weights)
    tracker.set_alias("aliased", CHAMPION, old.version)
    tracker.set_alias("aliased", SHADOW, new.version)
    assert tracker.resolve("aliased") == old
    assert tracker.aliases("aliased") == {CHAMPION: "1", SHADOW: "2"}
    tracker.set_alias("aliased", CHAMPION, new.version)
    assert tracker.resolve("aliased") == new
    assert tracker.aliases("aliased") == {CHAMPION: "2", SHADOW: "2"}


def test_what_is_not_there_is_not_found(tracker: Tracker, weights: Path) -> None:
    tracker.register("lonely", weights)
    assert tracker.resolve("lonely") is None
    assert tracker.resolve("never registered") is None
    assert tracker.versions("never registered") == ()
    with pytest.raises(NotFound):
        tracker.version("lonely", "9")


def test_a_folder_without_weights_is_refused(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights"):
        tracker.register("empty", tmp_path)


def test_weights_are_fetched_once(tracker: Tracker, weights: Path, tmp_path: Path) -> None:
    version = tracker.register("fetched", weights)
    folder = tracker.weights(version, cache=tmp_path / "cache")
    before = (folder / "model.pt").stat()
    assert folder_digest(folder) == version.digest
    assert tracker.weights(version, cache=tmp_path / "cache") == folder
    assert (folder / "model.pt").stat() == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_changed_weights_are_refused(tracker: Tracker, weights: Path, tmp_path: Path) -> None:
    version = tracker.register("tampered", weights)
    (Path(version.weights_uri) / "model.pt").write_bytes(b"tampered with")
    with pytest.raises(IntegrityError):
        tracker.weights(version, cache=tmp_path / "cache")
    assert not any((tmp_path / "cache" / "tampered").iterdir())
