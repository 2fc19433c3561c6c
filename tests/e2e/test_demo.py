"""The main job, end to end, through the real scheduler."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from hounsfield.catalog.models import Delivery, Prediction, Product, Study
from hounsfield.dicom.reading import read_header
from hounsfield.phantom import PhantomReport
from tests.e2e.conftest import Demo, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(4800)]


def test_each_study_ends_as_the_generator_meant(demo: Demo) -> None:
    studies = demo.summary["studies"]
    assert len(studies) == 12
    told = ("study_key", "expected", "state", "reason")
    assert not [[s[name] for name in told] for s in studies if not s["good"]]
    assert demo.summary["good"]


def test_the_table_and_the_addresses_are_printed(demo: Demo) -> None:
    for study in demo.summary["studies"]:
        assert study["study_key"][:8] in demo.output
    assert "Airflow     http://127.0.0.1:" in demo.output
    assert "Not for diagnostic use" in demo.output
    assert (demo.installation.home / "demo" / "finding.png").stat().st_size > 10_000


def test_one_study_is_one_partition(demo: Demo) -> None:
    """Each received study has one run of prepare, and each prepared one of infer."""
    for dag_id, states in (
        ("prepare", {"reported", "no-model", "quarantined"}),
        ("infer", {"reported", "no-model"}),
    ):
        keys = [run["partition_key"] for run in demo.api.runs(dag_id)]
        expected = {s["study_key"] for s in demo.summary["studies"] if s["state"] in states}
        assert set(keys) >= expected


def test_a_refusal_is_red_where_it_was_refused_and_is_not_retried(demo: Demo) -> None:
    refused = {s["study_key"] for s in demo.summary["studies"] if s["state"] == "quarantined"}
    runs = [run for run in demo.api.runs("prepare") if run["partition_key"] in refused]
    assert runs
    for run in runs:
        instances = demo.api.task_instances("prepare", run["dag_run_id"])
        tasks = {task["task_id"]: task for task in instances}
        assert tasks["validate"]["state"] == "failed"
        assert tasks["validate"]["try_number"] == 1
        assert tasks["deidentify"]["state"] == "upstream_failed"


def test_results_belong_to_the_original_patient_and_are_valid(
    demo: Demo, need_program: Callable[[str], str]
) -> None:
    """SR and SEG bear the header of the study they came from; dciodvfy finds no error."""
    dciodvfy = need_program("dciodvfy")
    truth = PhantomReport.read(demo.installation.home / "input")
    identity = {}
    for study in truth.studies:
        header = read_header(truth.destination / study.files[0])
        identity[study.study_instance_uid] = (str(header.PatientID), str(header.PatientName))
    built = sorted((demo.installation.home / "zones" / "objects").glob("*/*/*.dcm"))
    assert {path.stem for path in built} == {"sr", "seg"}
    for path in built:
        header = read_header(path)
        found = (str(header.PatientID), str(header.PatientName))
        assert found == identity[str(header.StudyInstanceUID)], "another patient"
        told = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in told.stderr + told.stdout


def test_lesions_are_found_where_the_generator_put_them(demo: Demo) -> None:
    """Most planted nodules have a finding within 10 mm of their centre, in patient space."""
    truth = PhantomReport.read(demo.installation.home / "input")
    site, hits, planted = demo.site, 0, 0
    for study in truth.studies:
        if study.expected != "done" or not study.lesions:
            continue
        key = site.pseudonyms.study_key(study.study_instance_uid)
        centres = _finding_centres(demo.installation.home, key)
        for lesion in study.lesions:
            planted += 1
            hits += any(_distance(lesion.centre_lps, centre) < 10 for centre in centres)
    assert planted > 3
    assert hits / planted >= 0.6


def test_the_emphysema_index_is_near_the_truth(demo: Demo) -> None:
    truth = PhantomReport.read(demo.installation.home / "input")
    for study in truth.studies:
        if study.expected != "done" or study.emphysema_share is None:
            continue
        key = demo.site.pseudonyms.study_key(study.study_instance_uid)
        rows = [r for r in demo.site.catalog.predictions(key) if r.model == "lung_density"]
        assert rows, "lung_density did not run"
        index = next(v for k, v in rows[0].numbers.items() if "emphysema" in k or "950" in k)
        assert abs(index / 100 - study.emphysema_share) < 0.1


def test_lineage_goes_from_a_result_to_the_training_pixels(demo: Demo) -> None:
    site = demo.site
    rows = site.catalog.all(
        select(Delivery)
        .join(Prediction, Prediction.prediction_id == Delivery.prediction_id)
        .where(Prediction.model == "lung_nodule", Delivery.kind == "sr")
    )
    done = demo.hounsfield("lineage", rows[0].SOPInstanceUID, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    raw = site.catalog.latest(rows[0].study_key, "raw")
    text = json.dumps(told)
    assert raw.digest in text
    assert told["deid"]["detail"]["profile"] == "research"
    assert told["model"]["training_run"]
    assert told["snapshot"]["known"]
    assert told["gaps"] == []
    assert len(told["snapshot"]["members"]) >= 10


def test_lineage_of_a_stranger_is_refused_on_one_line(demo: Demo) -> None:
    done = demo.hounsfield("lineage", "1.2.3")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_cleared_partition_runs_again_and_makes_nothing_twice(demo: Demo) -> None:
    study = next(s for s in demo.summary["studies"] if s["state"] == "reported")
    before = _counts(demo)
    run = next(r for r in demo.api.runs("prepare") if r["partition_key"] == study["study_key"])
    demo.api.clear("prepare", run["dag_run_id"])
    wait_for(lambda: demo.api.run_state("prepare", run["dag_run_id"]) == "success")
    assert _counts(demo) == before


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("audit_access", {}),
        ("evaluate_drift", {}),
        ("snapshot_dataset", {"name": "demo chests", "modality": "CT"}),
        ("reprocess", {"first": "2026-03-02", "last": "2026-03-12", "through": "infer"}),
    ],
)
def test_the_other_dags_work(demo: Demo, dag_id: str, conf: dict[str, str]) -> None:
    demo.api.unpause(dag_id)
    run_id = demo.api.trigger(dag_id, conf)
    wait_for(lambda: demo.api.run_state(dag_id, run_id) in ("success", "failed"))
    assert demo.api.run_state(dag_id, run_id) == "success"


def test_a_snapshot_without_labels_trains_nothing(demo: Demo) -> None:
    """``snapshot_dataset`` above froze one: it starts ``train_model``, which then is skipped."""

    def started() -> list[str]:
        runs = [run for run in demo.api.runs("train_model") if run["run_type"] == "asset_triggered"]
        return [run["state"] for run in runs]

    wait_for(lambda: bool(started()) and set(started()) <= {"success", "failed"})
    assert set(started()) == {"success"}


def test_products_move_to_the_warm_tier_and_are_read_from_there(demo: Demo) -> None:
    demo.api.unpause("migrate_tiers")
    run_id = demo.api.trigger("migrate_tiers", {"as_of": "2027-12-31"})
    wait_for(lambda: demo.api.run_state("migrate_tiers", run_id) in ("success", "failed"))
    assert demo.api.run_state("migrate_tiers", run_id) == "success"
    moved = demo.site.catalog.all(select(Product).where(Product.tier == "warm"))
    assert {product.kind for product in moved} == {"raw", "volume"}
    hot = demo.installation.home / "zones" / "raw"
    assert not list(hot.glob("st-*/*/product.json"))


def test_the_demonstration_runs_again_without_duplicates(demo: Demo) -> None:
    before = _counts(demo)
    done = demo.again()
    assert done.returncode == 0, done.stdout[-3000:]
    assert _counts(demo) == before


def _counts(demo: Demo) -> dict[str, int]:
    with demo.site.catalog.read() as session:
        counts = {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in (Study, Product, Prediction, Delivery)
        }
    stored = demo.installation.pacs / "instances"
    return {**counts, "in the PACS": sum(1 for path in stored.rglob("*") if path.is_file())}


def _finding_centres(home: Path, study_key: str) -> list[tuple[float, float, float]]:
    centres = []
    for path in (home / "zones" / "results" / study_key / "predictions").rglob("prediction.json"):
        for finding in json.loads(path.read_text())["findings"]:
            if finding["centroid_lps"]:
                centres.append(tuple(finding["centroid_lps"]))
    return centres


def _distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
