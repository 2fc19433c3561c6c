"""``phantom``, ``validate``, ``chunk`` and ``infer``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from tests.cli.running import Run, digests, refusal, shell
from tests.quality.conftest import ct_slice
from tests.stages.received import write_slices


def test_phantoms_are_the_same_by_seed(tmp_path: Path, run: Run) -> None:
    arguments = ("--studies", "1", "--no-hard-cases", "--seed")
    told = run("phantom", tmp_path / "a", *arguments, "3", "--json")
    assert (told.exit_code, told.stderr) == (0, "")
    assert len(json.loads(told.stdout)["studies"]) == 1
    first = digests(tmp_path / "a")
    assert run("phantom", tmp_path / "b", *arguments, "3").exit_code == 0
    assert digests(tmp_path / "b") == first
    assert len(first) >= 60
    # Again into the same folder it finds them; another seed does not write over them.
    assert run("phantom", tmp_path / "a", *arguments, "3").exit_code == 0
    assert "holds something else" in refusal(run("phantom", tmp_path / "a", *arguments, "4"))
    assert digests(tmp_path / "a") == first


def test_a_sound_study_is_valid(study: Path, run: Run, tmp_path: Path) -> None:
    result = run("validate", study, "--docs", tmp_path / "docs", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (report,) = json.loads(result.stdout)
    assert report["errors"] == []
    assert Path(report["docs"]).is_file()
    assert "st-" in run("validate", study).stdout


def test_a_broken_study_is_refused_with_its_reason(study: Path, run: Run) -> None:
    (study / "1.dcm").unlink()
    result = run("validate", study, "--json")
    assert "slice" in refusal(result)
    (report,) = json.loads(result.stdout)
    assert report["outcome"] == "refused"


def test_files_that_name_no_study_are_refused(study: Path, run: Run) -> None:
    for index, path in enumerate(sorted(study.iterdir())):
        dataset = ct_slice(index)
        dataset.StudyInstanceUID = ""
        if index % 2:
            del dataset.StudyInstanceUID
        write_dataset(dataset, path)
    result = run("validate", study, "--json")
    assert "without StudyInstanceUID" in refusal(result)
    (report,) = json.loads(result.stdout)
    assert report["study_key"] == "no-study"


@pytest.mark.parametrize("files", [[], ["notes.txt"]])
def test_nothing_to_validate_is_refused(files: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in files:
        (tmp_path / "in" / name).write_text("no DICOM")
    result = run("validate", tmp_path / "in", "--json")
    assert refusal(result) == "there is no DICOM file to validate"
    json.loads(result.stdout)


def test_volumes_are_laid_out(study: Path, tmp_path: Path, run: Run) -> None:
    result = run("chunk", study, tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("1 volume of 1 series")
    told = run("chunk", study, tmp_path / "again", "--json")
    (entry,) = json.loads(told.stdout)["series"].values()
    assert entry["shape"] == {"z": 4, "y": 16, "x": 16}
    assert (tmp_path / "again" / entry["volume"] / "zarr.json").is_file()


def test_a_series_that_is_none_does_not_stop_the_others(
    study: Path, tmp_path: Path, run: Run
) -> None:
    series = generate_uid()
    for index in (0, 1, 3, 4):
        dataset = ct_slice(index)
        dataset.SeriesInstanceUID = series
        write_dataset(dataset, study / "gap" / f"{index}.dcm")
    assert run("chunk", study, tmp_path / "out").stdout.startswith("1 volume of 2 series")


def test_a_model_runs_on_a_folder(tmp_path: Path) -> None:
    """As a person starts it: MLflow and MONAI talk, and must not talk here."""
    home = {"HOUNSFIELD_HOME": str(tmp_path / "home")}
    made = shell("phantom", tmp_path / "in", "--studies", "1", "--no-hard-cases", "--json", **home)
    assert (made.returncode, made.stderr) == (0, "")
    write_slices(tmp_path / "in" / "tiny")  # no lungs in it: a reason, and no end to the others
    ready = shell("setup", "--json", **home)
    assert (ready.returncode, ready.stderr) == (0, "")
    assert json.loads(ready.stdout) == {"registered": ["lung_density v1"]}

    (tmp_path / "out" / f".se-killed.{'0' * 32}.part").mkdir(parents=True)
    done = shell("infer", tmp_path / "in", tmp_path / "out", "--json", **home)

    assert (done.returncode, done.stderr) == (0, "")
    series = json.loads(done.stdout)["series"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["series"] == series
    (key,) = [key for key, told in series.items() if told["summary"]]
    assert "Emphysema index" in series[key]["summary"]
    assert [told["reason"] for told in series.values() if not told["summary"]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {key, "report.json"}
    files = {path.name for path in (tmp_path / "out" / key).iterdir()}
    assert files >= {"prediction.json", "mask.npz", "sr.dcm", "seg.dcm"}

    report = read_header(tmp_path / "out" / key / "sr.dcm")
    (study,) = json.loads(made.stdout)["studies"]
    assert report.StudyInstanceUID == study["study_instance_uid"]
    asked = shell("lineage", report.SOPInstanceUID, **home)
    assert (asked.returncode, asked.stdout, asked.stderr.count("\n")) == (1, "", 1)
    assert "no result of this installation" in asked.stderr
