"""The digest of the de-identification profile is in every product behind which it stands."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hounsfield.catalog.models import Product, Snapshot
from hounsfield.datasets.freeze import MANIFEST_NAME
from hounsfield.dicom.reading import read_header
from hounsfield.evidence import Certificate
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.stages.build_results import build_results
from hounsfield.stages.candidate import INSTANCES, profile_of, under_review
from hounsfield.stages.chunk import VOLUME, chunk
from hounsfield.stages.deidentify import deidentify
from hounsfield.stages.export import export_volumes_of
from hounsfield.stages.gate import gate
from hounsfield.stages.infer import run_model
from hounsfield.stages.infer_folder import infer_folder
from hounsfield.stages.produce import open_product
from hounsfield.stages.release import release
from hounsfield.stages.snapshot import snapshot
from hounsfield.stages.train import train
from hounsfield.store.product import read_product
from hounsfield.tracking import ModelVersion, Tracker
from hounsfield.volume import Volume
from tests.stages.received import RUN, receive, write_slices
from tests.stages.test_concurrency import run_bundle, tracker_of
from tests.stages.test_gate import leave_a_name, spoil


@dataclass(frozen=True)
class Made:
    """A study that was prepared and read, and the digest of the site's profile."""

    site: Site
    study_key: str
    digest: str

    def newest(self, kind: str) -> Product:
        return self.site.catalog.latest(self.study_key, kind)

    def sealed(self, kind: str) -> dict[str, Any]:
        """What the manifest beside the data says."""
        with open_product(self.site, self.newest(kind)) as folder:
            return read_product(folder).detail

    def methods(self, path: Path) -> list[str]:
        return list(read_header(path).DeidentificationMethod)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("profile")
    site = Site(Settings.load({"HOUNSFIELD_HOME": str(folder / "home")}))
    site.set_up()
    key = receive(site, write_slices(folder / "in", 6))
    for stage in (deidentify, gate, release, chunk):
        stage(site, key, run=RUN)
    volume = site.catalog.latest(key, "volume")
    job = {"model": "lung_nodule", "version": "1", "role": "champion"}
    job |= {"volume": volume.product_id, "series_key": volume.series_key}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hounsfield.stages.infer.tracker_of", tracker_of)
        patch.setattr("hounsfield.stages.infer.prediction_lineage", lambda *_, **__: None)
        patch.setattr("hounsfield.stages.infer.run_bundle", run_bundle)
        prediction = run_model(site, key, job, run=RUN)
    build_results(site, key, prediction["prediction_id"], run=RUN)
    return Made(site, key, profile_of(site).digest)


@pytest.fixture(scope="module")
def frozen(made: Made) -> dict[str, Any]:
    """A snapshot that the study is in."""
    return snapshot(made.site, name="chests", cohort={"modality": "CT"}, run=RUN)


@pytest.mark.parametrize("kind", ["deid", "volume", "prediction", "objects"])
def test_in_the_manifest_and_the_catalog(made: Made, kind: str) -> None:
    assert made.sealed(kind)["profile_digest"] == made.digest
    assert made.newest(kind).detail["profile_digest"] == made.digest


def test_in_the_candidate_and_what_its_reviewer_sees(site: Site, tmp_path: Path) -> None:
    key = receive(site, write_slices(tmp_path / "in"))
    deidentify(site, key, run=RUN)
    spoil(site, key, leave_a_name)
    gate(site, key, run=RUN)
    digest = profile_of(site).digest
    assert under_review(site, key).detail["profile_digest"] == digest
    assert site.catalog.latest(key, "review").detail["profile_digest"] == digest


def test_in_each_released_object(made: Made) -> None:
    with open_product(made.site, made.newest("deid")) as folder:
        paths = list((folder / INSTANCES).rglob("*.dcm"))
        assert len(paths) == 6
        for path in paths:
            assert f"Profile digest {made.digest[:16]}" in made.methods(path)


def test_in_the_certificate(made: Made) -> None:
    with open_product(made.site, made.newest("deid")) as folder:
        assert Certificate.read(folder).profile_digest == made.digest


def test_in_the_volume(made: Made) -> None:
    with open_product(made.site, made.newest("volume")) as folder:
        volume = Volume.open(folder / VOLUME)
        assert volume.metadata["provenance"]["profile_digest"] == made.digest
        methods = volume.attributes.dataset(0).DeidentificationMethod
        assert f"Profile digest {made.digest[:16]}" in methods


def test_in_what_a_volume_is_exported_to(made: Made, tmp_path: Path) -> None:
    assert export_volumes_of(made.site, made.study_key, tmp_path / "out") == 6
    for path in (tmp_path / "out").rglob("*.dcm"):
        assert f"Profile digest {made.digest[:16]}" in made.methods(path)


@pytest.mark.parametrize("kind", ["sr", "seg"])
def test_in_a_result_whose_patient_is_known(made: Made, kind: str) -> None:
    with open_product(made.site, made.newest("objects")) as folder:
        result = read_header(folder / f"{kind}.dcm")
    equipment = {
        item.PurposeOfReferenceCodeSequence[0].CodeValue: item.get("ContributionDescription", "")
        for item in result.ContributingEquipmentSequence
        if "PurposeOfReferenceCodeSequence" in item
    }
    assert equipment["109104"].endswith(f"Profile digest {made.digest}")
    assert "PatientIdentityRemoved" not in result


def test_in_a_result_that_a_folder_of_released_objects_gives(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``hounsfield infer`` knows no catalog: the objects themselves tell."""
    version = ModelVersion("lung_nodule", "1", "run", "", "", "w" * 64)
    tracker = SimpleNamespace(resolve=lambda *_: version, weights=lambda *_, cache: cache)
    monkeypatch.setattr("hounsfield.stages.infer_folder.tracker_of", lambda _: tracker)
    monkeypatch.setattr("hounsfield.stages.infer_folder.run_bundle", run_bundle)
    with open_product(made.site, made.newest("deid")) as folder:
        source, out = folder / INSTANCES, tmp_path / "out"
        infer_folder(made.site, source, out, model="lung_nodule", alias="champion")
    results = list(out.rglob("*.dcm"))
    assert {path.name for path in results} == {"sr.dcm", "seg.dcm"}
    for path in results:
        assert f"Profile digest {made.digest[:16]}" in made.methods(path)


def test_in_a_snapshot(made: Made, frozen: dict[str, Any]) -> None:
    with made.site.catalog.read() as session:
        row = session.get_one(Snapshot, frozen["digest"])
    zone, place = made.site.locate(row.uri)
    with zone.open(place) as folder:
        (member,) = json.loads((folder / MANIFEST_NAME).read_bytes())["members"]
        assert member["profile_digest"] == made.digest
        assert read_product(folder).detail["profile_digests"] == [made.digest]


def mlflow(made: Made) -> Tracker:
    settings = made.site.settings.site.mlflow
    return Tracker(settings.uri, settings.artifacts)


def test_in_the_dataset_that_mlflow_shows(made: Made, frozen: dict[str, Any]) -> None:
    (run,) = mlflow(made)._runs_with("snapshots", "snapshot_digest", frozen["digest"])
    assert run.data.tags["deid_profile_digest"] == made.digest


def test_in_the_version_of_a_model(
    made: Made, frozen: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is a stand-in, which learns nothing."""
    weights = tmp_path / "model" / "model.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    outcome = SimpleNamespace(weights=weights, flat_metrics=dict, to_dict=dict)
    monkeypatch.setattr("hounsfield.stages.train.train_bundle", lambda *_, **__: outcome)
    items = [{"image": "a", "label": "b"}]
    lists = nullcontext({"training": items, "validation": items})
    monkeypatch.setattr("hounsfield.stages.train.datalist", lambda *_, **__: lists)
    done = train(made.site, bundle="lung_nodule", snapshot=frozen["digest"], run=RUN)
    version = mlflow(made).version("lung_nodule", done["version"])
    assert version.tags["deid_profile_digest"] == made.digest
