"""Whole studies pass, broken ones are refused with a reason, and nobody is named."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from hounsfield.dicom.reading import find_files
from hounsfield.quality.report import ValidationReport
from hounsfield.quality.validation import NO_STUDY, validate_folder, validate_study
from tests.quality.conftest import CANARIES, SUITES, MakeCt, another_series, ct_slice, save


def validate(paths: list[Path], docs: Path | None = None) -> ValidationReport:
    return validate_study(paths, suites=SUITES, study_key="st-test", docs=docs)


def codes(report: ValidationReport) -> tuple[set[str], set[str]]:
    return {p.code for p in report.errors}, {p.code for p in report.warnings}


def test_a_whole_ct_passes(make_ct: MakeCt) -> None:
    report = validate(make_ct(8))
    assert report.outcome == "passed" and codes(report) == (set(), set())
    assert (report.instances, report.series) == (8, 1) and report.checks > 40


def test_a_missing_slice_is_refused_where_it_is(make_ct: MakeCt) -> None:
    report = validate(make_ct(12, skip=(5, 6)))
    assert report.outcome == "refused" and codes(report)[0] == {"missing-slice"}
    problem = report.errors[0]
    assert problem.where == "series 1 of 1 (CT), slice 5 of 10, at 10.0 mm"
    assert "(2)" in problem.reason and "fetch" in problem.remedy
    assert problem.series == 1 and problem.modality == "CT" and problem.count == 1
    assert report.reason == str(problem) and "\n" not in report.reason


def blank(dataset: Dataset, index: int) -> None:
    if index == 3:
        dataset.PixelData = bytes(len(dataset.PixelData))


def second_patient(dataset: Dataset, index: int) -> None:
    if index == 3:
        dataset.PatientID = "CNRY-4712"


def second_study(dataset: Dataset, index: int) -> None:
    if index == 3:
        dataset.StudyInstanceUID += ".8"


def no_position(dataset: Dataset, index: int) -> None:
    if index == 3:
        del dataset.ImagePositionPatient


def no_rescale(dataset: Dataset, index: int) -> None:
    if index == 3:
        del dataset.RescaleSlope


def no_pixels(dataset: Dataset, index: int) -> None:
    if index == 3:
        del dataset.PixelData


def no_rows(dataset: Dataset, index: int) -> None:
    if index == 3:
        del dataset.Rows


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (blank, "constant-pixels"),
        (second_patient, "several-patients"),
        (second_study, "several-studies"),
        (no_position, "no-geometry"),
        (no_rescale, "missing-rescale"),
        (no_pixels, "missing-pixels"),
        (no_rows, "missing-image-attribute"),
    ],
)
def test_each_fault_has_its_code(
    make_ct: MakeCt, edit: Callable[[Dataset, int], None], code: str
) -> None:
    report = validate(make_ct(8, edit=edit))
    assert report.outcome == "refused"
    assert code in codes(report)[0]
    assert code not in codes(report)[1]


@pytest.mark.parametrize(("kept", "code"), [(-100, "truncated-pixels"), (700, "unreadable-file")])
def test_a_truncated_file_is_refused(make_ct: MakeCt, kept: int, code: str) -> None:
    paths = make_ct(8)
    paths[4].write_bytes(paths[4].read_bytes()[:kept])
    report = validate(paths)
    assert code in codes(report)[0]
    problem = next(p for p in report.errors if p.code == code)
    assert problem.count == 1


def test_a_copy_is_a_warning_and_a_collision_an_error(make_ct: MakeCt, tmp_path: Path) -> None:
    paths = make_ct(8)
    copy = Path(shutil.copy(paths[0], tmp_path / "copy.dcm"))
    assert codes(validate([*paths, copy])) == (set(), {"duplicate-instance"})
    other = ct_slice(0)
    other.RescaleIntercept = -1000
    report = validate([*paths, save(other, tmp_path / "other.dcm")])
    assert "content-collision" in codes(report)[0]
    assert next(p for p in report.errors if p.code == "content-collision").count == 2


def test_tilt_is_a_warning_that_says_how_much(make_ct: MakeCt) -> None:
    report = validate(make_ct(8, tilt=15))
    assert report.outcome == "warned" and codes(report)[1] == {"gantry-tilt"}
    assert "15 degrees" in report.warnings[0].reason


def test_a_localizer_does_not_refuse_a_study(make_ct: MakeCt, tmp_path: Path) -> None:
    scouts = []
    for index, orientation in enumerate([[1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]]):
        scout = ct_slice(40 + index)
        another_series(scout)
        scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"] if index else ["ORIGINAL"]
        scout.ImageOrientationPatient = orientation
        scouts.append(save(scout, tmp_path / f"scout{index}.dcm"))
    report = validate([*scouts, *make_ct(8)])
    assert report.errors == () and report.series == 2


def test_an_object_without_pixels_is_judged_as_one(make_ct: MakeCt, tmp_path: Path) -> None:
    document = ct_slice(50)
    another_series(document)
    document.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.Modality = "SR"
    for name in ("PixelData", "Rows", "Columns", "ImagePositionPatient"):
        delattr(document, name)
    report = validate([*make_ct(8), save(document, tmp_path / "sr.dcm")])
    assert report.outcome == "passed"


def test_no_files_is_no_study() -> None:
    report = validate([])
    assert report.outcome == "refused" and codes(report)[0] == {"empty-study"}


def test_a_report_survives_json(make_ct: MakeCt) -> None:
    report = validate(make_ct(5, skip=(2,)))
    assert ValidationReport.from_dict(report.to_dict()) == report
    assert report.to_dict()["outcome"] == "refused"


def test_a_folder_is_split_into_studies(make_ct: MakeCt, tmp_path: Path) -> None:
    def other(dataset: Dataset, index: int) -> None:
        dataset.StudyInstanceUID += ".8"
        dataset.SeriesInstanceUID += ".8"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = (
            f"{dataset.SOPInstanceUID}.8"
        )

    make_ct(5, folder="in/a/b")
    make_ct(5, folder="in/c", edit=other, skip=(2,))
    (tmp_path / "in" / "readme.txt").write_text("hello")
    keys = {f"{CANARIES[-1]}.1": "st-a", f"{CANARIES[-1]}.1.8": "st-b"}
    reports = {
        report.study_key: report
        for report in validate_folder(
            tmp_path / "in", suites=SUITES, study_key=keys.__getitem__, docs=tmp_path / "docs"
        )
    }
    assert {key: report.outcome for key, report in reports.items()} == {
        "st-a": "passed",
        "st-b": "refused",
        NO_STUDY: "warned",
    }
    assert codes(reports[NO_STUDY])[1] == {"not-dicom"}


def test_files_that_name_no_study_are_refused_together(make_ct: MakeCt, tmp_path: Path) -> None:
    def nameless(dataset: Dataset, index: int) -> None:
        del dataset.StudyInstanceUID

    make_ct(2, folder="in", edit=nameless)
    (tmp_path / "in" / "readme.txt").write_text("hello")
    (report,) = validate_folder(tmp_path / "in", suites=SUITES, study_key=str)
    assert (report.study_key, report.outcome, report.instances) == (NO_STUDY, "refused", 2)
    assert "missing-identity" in codes(report)[0] and "not-dicom" in codes(report)[1]


def test_nobody_is_named_anywhere(
    make_ct: MakeCt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def everything_wrong(dataset: Dataset, index: int) -> None:
        dataset.Modality = CANARIES[0] if index == 1 else "CT"
        dataset.PhotometricInterpretation = CANARIES[1] if index == 2 else "MONOCHROME2"
        dataset.PatientID = CANARIES[2] if index else "CNRY-4711-ID-B"
        if index == 4:
            dataset.PixelData = bytes(len(dataset.PixelData))
        if index == 5:
            dataset.SOPClassUID = f"{CANARIES[-1]}.77"

    paths = make_ct(9, skip=(7,), edit=everything_wrong)
    paths[3].write_bytes(paths[3].read_bytes()[:-90])
    docs = tmp_path / "docs"
    with caplog.at_level(logging.DEBUG):
        report = validate(paths, docs)
    assert len(report.errors) >= 4
    told = [str(report.to_dict()), caplog.text]
    told += [path.read_text() for path in docs.rglob("*") if path.is_file()]
    for text in told:
        for canary in CANARIES:
            assert canary.casefold() not in text.casefold()
        assert str(tmp_path / "study") not in text and "0003.dcm" not in text


def test_validation_needs_no_network(make_ct: MakeCt, tmp_path: Path) -> None:
    paths = make_ct(4)
    script = (
        "import socket, sys, pathlib\n"
        "def refuse(*_, **__): raise SystemExit('network use')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
        "from hounsfield.quality.validation import validate_study\n"
        "docs, suites, *paths = map(pathlib.Path, sys.argv[1:])\n"
        "report = validate_study(paths, suites=suites, study_key='st-x', docs=docs)\n"
        "assert report.outcome == 'passed' and pathlib.Path(report.docs).exists()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "docs"), str(SUITES), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


WHOLE = [
    "ct_dose_sc_burned",
    "ct_head_phantom",
    "mr_brain_flair",
    "mr_fruit_ge",
    "mr_knee_t1",
    "pt_nema_phantom_1",
    "enh_mr_xa10",
    "us_ge_cine_burned",
    "obj_ecg",
]


@pytest.mark.data
@pytest.mark.parametrize("folder", WHOLE)
def test_whole_real_series_are_not_refused(real_data: Path, folder: str) -> None:
    report = validate(list(find_files(real_data / folder)))
    assert report.errors == ()


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "drop", "code"),
    [
        ("ct_head_phantom", 20, "missing-slice"),
        ("mr_brain_flair", 9, "missing-slice"),
        ("pt_nema_phantom_1", 40, "missing-slice"),
    ],
)
def test_a_real_series_with_a_hole_is_refused(
    real_data: Path, folder: str, drop: int, code: str
) -> None:
    from hounsfield.dicom.table import instance_table

    files = list(find_files(real_data / folder))
    table = instance_table(files, decode=False)
    gone = table.loc[table["slice"] == drop, "ordinal"].item()
    report = validate([path for number, path in enumerate(files, 1) if number != gone])
    assert codes(report)[0] == {code}
    assert f"slice {drop - 1} of {len(files) - 1}" in report.errors[0].where


@pytest.mark.data
@pytest.mark.parametrize("folder", ["bad_pydicom", "bad_orthanc"])
def test_malformed_real_files_get_a_reason(real_data: Path, folder: str) -> None:
    reports = list(validate_folder(real_data / folder, suites=SUITES, study_key=lambda uid: "st-x"))
    left_out = sum(p.count for r in reports for p in r.warnings if p.code == "not-dicom")
    files = len(list(find_files(real_data / folder)))
    assert sum(report.instances for report in reports) + left_out == files
    refused = [report for report in reports if report.outcome == "refused"]
    assert refused and all(report.reason for report in refused)
    found = {problem.code for report in refused for problem in report.errors}
    assert {"truncated-pixels", "unreadable-file"} <= found
