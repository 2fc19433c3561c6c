"""From a result back to the pixels, on made-up rows: nothing skipped, and gaps are said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hounsfield.catalog.models import (
    Delivery,
    Prediction,
    Product,
    Snapshot,
    SnapshotMember,
)
from hounsfield.errors import NotFound
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.tracking import Tracker
from hounsfield.tracking.lineage import lineage, prediction_lineage
from hounsfield.tracking.tree import as_text, render

STUDY, SR, SEG = "st-abc", "2.25.111", "2.25.222"
RAW, DEID, VOLUME, SNAPSHOT = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(Settings.load({"HOUNSFIELD_HOME": str(tmp_path / "home")}))
    made.set_up()
    return made


def product(kind: str, digest: str, source: str, **detail: object) -> Product:
    return Product(
        product_id=f"{kind}-{digest[:4]}",
        study_key=STUDY,
        kind=kind,
        digest=digest,
        input_digest=source,
        uri=f"/nowhere/{kind}",
        code="0.1+abc",
        detail=detail,
    )


def delivery(uid: str, kind: str, prediction_id: str) -> Delivery:
    return Delivery(
        SOPInstanceUID=uid,
        SOPClassUID="1.2.3",
        kind=kind,
        study_key=STUDY,
        prediction_id=prediction_id,
        destination="pacs",
        sha256="5" * 64,
        state="confirmed",
    )


@pytest.fixture
def told(site: Site, tracker: Tracker, weights: Path) -> Site:
    """A study that went all the way, of a model that was trained."""
    with tracker.training_run("traced", SNAPSHOT, {}) as run:
        pass
    tags = {"snapshot_digest": SNAPSHOT, "bundle_digest": "6" * 64}
    version = tracker.register("traced", weights, run.run_id, tags=tags)
    site.catalog.put(
        product("raw", RAW, RAW),
        product("deid", DEID, RAW, profile="research", profile_digest="7" * 64, secret="no"),
        product("volume", VOLUME, DEID, shape=[80, 512, 512], spacing_zyx=[1.0, 0.7, 0.7]),
        Prediction(
            prediction_id=version.digest,
            study_key=STUDY,
            series_key="2.25.9",
            model="traced",
            version=version.version,
            volume_digest=VOLUME,
            product_id="p",
            findings=1,
            numbers={"confidence": 0.9, "note": "text", "flag": True},
        ),
        Snapshot(digest=SNAPSHOT, name="chest", uri="/nowhere", members=12),
    )
    site.catalog.put(
        *(
            SnapshotMember(
                snapshot=SNAPSHOT,
                volume_digest=f"{n:064}",
                study_key=f"st-{n}",
                series_key=f"2.25.{n}",
                split="testing" if n < 3 else "training",
            )
            for n in range(12)
        ),
        delivery(SR, "SR", version.digest),
        delivery(SEG, "SEG", version.digest),
    )
    return site


def test_from_the_result_to_the_pixels(told: Site, tracker: Tracker) -> None:
    found = lineage(told, f" {SR} ", tracker=tracker)
    assert [node.digest for node in (found.volume, found.deid, found.raw)] == [VOLUME, DEID, RAW]
    assert found.deid.detail == {"profile": "research", "profile_digest": "7" * 64}
    assert found.model.training_run
    assert found.snapshot is not None
    assert found.snapshot.counts == {"testing": 3, "training": 9}
    assert {result.SOPInstanceUID for result in found.results} == {SR, SEG}
    assert found.gaps == ()


def test_the_tree_says_it_all(told: Site, tracker: Tracker) -> None:
    found = lineage(told, SEG, tracker=tracker)
    text = as_text(found)
    for said in (RAW, DEID, VOLUME, SNAPSHOT, "research", found.model.training_run, "and 2 more"):
        assert said in text
    assert "this object: SEG" in text
    assert "also made: SR" in text


def test_json_holds_the_members(told: Site, tracker: Tracker) -> None:
    found = lineage(told, SR, tracker=tracker)
    data = json.loads(json.dumps(found.to_dict()))
    assert len(data["snapshot"]["members"]) == 12
    assert "members" not in found.to_dict(members=False)["snapshot"]


def test_the_same_is_in_mlflow_once(told: Site, tracker: Tracker) -> None:
    found = lineage(told, SR, tracker=tracker)
    first, second = tracker.log_prediction(found), tracker.log_prediction(found)
    run = tracker._client.get_run(first)
    assert first == second
    assert run.data.tags["raw_manifest_digest"] == RAW
    assert run.data.tags["deid_profile_digest"] == "7" * 64
    assert run.data.tags["snapshot_digest"] == SNAPSHOT
    assert run.data.tags["training_run"] == found.model.training_run
    assert run.data.tags["results"] == f"{SR} {SEG}"
    assert run.data.metrics == {"findings": 1.0, "confidence": 0.9}
    assert RAW in run.data.tags["mlflow.note.content"]
    path = tracker._client.download_artifacts(first, "lineage.json")
    assert json.loads(Path(path).read_text())["prediction"]["study_key"] == STUDY


def test_results_are_added_once_they_are_delivered(told: Site, tracker: Tracker) -> None:
    before = lineage(told, SR, tracker=tracker)
    with told.catalog.write() as session:
        for row in session.query(Delivery):
            session.delete(row)
    undelivered = prediction_lineage(told, before.prediction.prediction_id, tracker=tracker)
    assert undelivered.results == ()
    assert undelivered.asked == ""
    run_id = tracker.log_prediction(undelivered)
    assert "results" not in tracker._client.get_run(run_id).data.tags
    assert tracker.log_prediction(before) == run_id
    assert tracker._client.get_run(run_id).data.tags["results"] == f"{SR} {SEG}"


def test_what_is_gone_is_said_to_be_gone(told: Site, tracker: Tracker) -> None:
    with told.catalog.write() as session:
        for kind in ("raw", "deid"):
            session.delete(session.get(Product, f"{kind}-{(RAW if kind == 'raw' else DEID)[:4]}"))
    found = lineage(told, SR, tracker=tracker)
    assert found.deid.digest == DEID
    assert found.gaps == ("de-identified study", "raw study")


def test_a_model_without_training_has_no_snapshot(
    site: Site, tracker: Tracker, weights: Path
) -> None:
    version = tracker.register("untrained", weights)
    row = Prediction(
        prediction_id="8" * 64,
        study_key=STUDY,
        model="untrained",
        version=version.version,
        volume_digest=VOLUME,
        product_id="p",
    )
    site.catalog.put(row, delivery(SR, "SR", "8" * 64))
    found = lineage(site, SR, tracker=tracker)
    assert found.snapshot is None
    assert found.model.training_run == ""
    assert "needed no training" in str([node.label for node in _walk(render(found))])


def _walk(tree: object) -> list[object]:
    children = tree.children  # type: ignore[attr-defined]
    return [tree, *(node for child in children for node in _walk(child))]


def test_an_unknown_object_is_not_found(site: Site, tracker: Tracker) -> None:
    with pytest.raises(NotFound, match="SOPInstanceUID"):
        lineage(site, "1.2.3.4", tracker=tracker)
    with pytest.raises(NotFound):
        prediction_lineage(site, "9" * 64, tracker=tracker)


def test_an_unregistered_version_is_a_gap(told: Site, tracker: Tracker, tmp_path: Path) -> None:
    elsewhere = Tracker(f"sqlite:///{tmp_path}/empty.db", str(tmp_path / "a"))
    assert "model version" in lineage(told, SR, tracker=elsewhere).gaps
