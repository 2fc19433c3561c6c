"""The studies on disk: whole ones are whole, hard cases are what they say."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage

from hounsfield.errors import ConfigError, NotFound
from hounsfield.phantom import (
    GROUND_TRUTH,
    PhantomReport,
    PhantomSeries,
    PhantomStudy,
    write_phantoms,
)
from tests.phantom.conftest import SEED

CT_KINDS = ("whole", "truncated-file", "duplicate-instance", "dose-report")


def slices(report: PhantomReport, series: PhantomSeries, *, pixels: bool = False) -> list[Dataset]:
    """The series' distinct instances, feet first."""
    datasets = [
        dcmread(report.destination / name, stop_before_pixels=not pixels) for name in series.files
    ]
    distinct = {dataset.SOPInstanceUID: dataset for dataset in datasets}
    return sorted(distinct.values(), key=lambda dataset: dataset.ImagePositionPatient[2])


def volume(datasets: list[Dataset]) -> np.ndarray:
    """(z, y, x) HU."""
    return np.stack(
        [d.pixel_array.astype(float) * d.RescaleSlope + d.RescaleIntercept for d in datasets]
    )


def test_the_same_seed_writes_the_same_bytes_in_another_process(
    report: PhantomReport, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from hounsfield.phantom import write_phantoms;"
        f"write_phantoms(Path(sys.argv[1]), seed={SEED}, studies=1, hard_cases=False)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(tmp_path / "again")]
    subprocess.run(command, check=True, timeout=120, env=environment)
    again = PhantomReport.read(tmp_path / "again")
    assert again.studies[0].files == report.studies[0].files
    for name in again.studies[0].files:
        old, new = (
            hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for folder in (report.destination, again.destination)
        )
        assert old == new


def test_another_seed_is_another_hospital(report: PhantomReport, tmp_path: Path) -> None:
    other = write_phantoms(tmp_path / "other", seed=SEED + 1, studies=1, hard_cases=False)
    # Clinics and given names are few; identifiers never meet.
    unique = {"patient_id", "accession_number", "phone", "uid", "device_serial", "other_id"}
    mine = {canary.value for canary in report.canaries if canary.kind in unique}
    assert not mine & {canary.value for canary in other.canaries if canary.kind in unique}


def test_the_ground_truth_reads_back(report: PhantomReport) -> None:
    assert PhantomReport.read(report.destination) == report
    assert report.files and all(path.is_file() for path in report.files)
    found = {path for path in report.destination.rglob("*") if path.is_file()}
    assert found == {*report.files, report.destination / GROUND_TRUTH}
    with pytest.raises(NotFound):
        PhantomReport.read(report.destination / "DICOM")


def test_a_filled_folder_is_left_as_it_is(report: PhantomReport) -> None:
    before = {path: path.stat().st_mtime_ns for path in report.files}
    assert write_phantoms(report.destination, seed=SEED, studies=2) == report
    assert before == {path: path.stat().st_mtime_ns for path in report.files}


def test_a_folder_with_something_else_is_refused(report: PhantomReport, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("not ours")
    with pytest.raises(ConfigError, match="something else"):
        write_phantoms(tmp_path, studies=1)
    with pytest.raises(ConfigError, match="something else"):
        write_phantoms(report.destination, seed=SEED + 1, studies=2)
    with pytest.raises(ConfigError):
        write_phantoms(tmp_path / "new", studies=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_progress_is_told_and_no_study_is_too_few(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    report = write_phantoms(
        tmp_path / "new", studies=0, hard_cases=False, progress=lambda *call: calls.append(call)
    )
    assert calls == [(0, 0, "")]
    assert report.studies == () and report.canaries == ()


def test_dates_spread_over_the_days(report: PhantomReport) -> None:
    dates = [study.study_date for study in report.studies]
    assert dates == sorted(dates)
    assert (dates[0], dates[-1]) == ("20260302", "20260312")
    assert (report.first_date, report.last_date) == ("20260302", "20260312")
    assert len(set(dates)) == len(dates)


def test_every_slice_has_its_place(report: PhantomReport) -> None:
    for study in report.studies:
        if study.kind not in CT_KINDS:
            continue
        series = study.series[0]
        datasets = slices(report, series)
        assert len(datasets) == series.instances
        assert 60 <= len(datasets) <= 120
        z = np.array([dataset.ImagePositionPatient[2] for dataset in datasets], dtype=float)
        assert np.allclose(np.diff(z), datasets[0].SliceThickness, atol=1e-4)
        assert {tuple(d.ImageOrientationPatient) for d in datasets} == {(1, 0, 0, 0, 1, 0)}
        assert len({d.FrameOfReferenceUID for d in datasets}) == 1
        assert {d.StudyInstanceUID for d in datasets} == {study.study_instance_uid}
        assert {d.SeriesInstanceUID for d in datasets} == {series.series_instance_uid}
        numbers = [int(d.InstanceNumber) for d in datasets]
        assert numbers in (
            list(range(1, len(numbers) + 1)),
            list(range(len(numbers), 0, -1)),
        )


def test_makers_differ_in_direction_representation_and_syntax(report: PhantomReport) -> None:
    firsts = [slices(report, s.series[0])[0] for s in report.studies if s.kind in CT_KINDS]
    assert {int(d.PixelRepresentation) for d in firsts} == {0, 1}
    assert {int(d.RescaleIntercept) for d in firsts} == {0, -1024}
    assert {int(d.InstanceNumber) == 1 for d in firsts} == {True, False}
    assert len({d.Manufacturer for d in firsts}) == 4
    assert len({d.file_meta.TransferSyntaxUID for d in firsts}) == 2
    assert len({str(d.SpecificCharacterSet) for d in firsts}) >= 3


def test_lesions_lie_in_the_files_where_the_truth_says(report: PhantomReport) -> None:
    for kind in ("whole", "dose-report"):
        study = next(s for s in report.studies if s.kind == kind and s.lesions)
        datasets = slices(report, study.series[0], pixels=True)
        hu = volume(datasets)
        first = datasets[0]
        for lesion in study.lesions:
            offset = np.subtract(lesion.centre_lps, first.ImagePositionPatient)
            steps = (first.PixelSpacing[1], first.PixelSpacing[0], first.SliceThickness)
            x, y, z = np.rint(offset / np.array(steps, dtype=float)).astype(int)
            assert (z, y, x) == pytest.approx(lesion.centre_zyx, abs=0.51)
            assert hu[z, y - 1 : y + 2, x - 1 : x + 2].mean() > -200


def test_padding_is_outside_the_field_of_view_only(report: PhantomReport) -> None:
    signed = report.studies[0]
    dataset = slices(report, signed.series[0], pixels=True)[30]
    assert dataset.PixelPaddingValue == -2000
    stored = dataset.pixel_array
    assert stored[0, 0] == stored[-1, -1] == -2000
    assert stored[256, 256] > -1100
    assert stored[stored != -2000].min() >= -1024


def test_missing_slice_leaves_one_gap(
    report: PhantomReport, by_kind: dict[str, PhantomStudy]
) -> None:
    study = by_kind["missing-slice"]
    datasets = slices(report, study.series[0])
    gaps = np.diff([float(dataset.ImagePositionPatient[2]) for dataset in datasets])
    assert Counter(np.round(gaps, 3)) == {5.0: len(gaps) - 1, 10.0: 1}
    assert study.expected == "quarantined"
    assert study.series[0].instances == len(datasets) == 59


def test_truncated_file_parses_but_lacks_pixels(
    report: PhantomReport, by_kind: dict[str, PhantomStudy]
) -> None:
    study = by_kind["truncated-file"]
    lengths = Counter(
        len(dcmread(report.destination / name).PixelData) for name in study.series[0].files
    )
    full = 512 * 512 * 2
    assert lengths == {full: 59, full // 2: 1}
    assert study.expected == "quarantined"


def test_truncated_file_can_be_sent(
    report: PhantomReport, by_kind: dict[str, PhantomStudy], free_port: Callable[[], int]
) -> None:
    from pynetdicom import AE, evt

    study = by_kind["truncated-file"]
    path = min(
        (report.destination / name for name in study.series[0].files),
        key=lambda path: path.stat().st_size,
    )
    received: list[int] = []

    def store(event: evt.Event) -> int:
        received.append(len(event.dataset.PixelData))
        return 0x0000

    server = AE()
    server.add_supported_context(CTImageStorage)
    port = free_port()
    running = server.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    try:
        client = AE()
        client.add_requested_context(CTImageStorage)
        association = client.associate("127.0.0.1", port)
        assert association.is_established
        status = association.send_c_store(dcmread(path))
        association.release()
    finally:
        running.shutdown()
    assert status.Status == 0x0000
    assert received == [512 * 512]


def test_duplicate_is_one_instance_in_two_equal_files(
    report: PhantomReport, by_kind: dict[str, PhantomStudy]
) -> None:
    series = by_kind["duplicate-instance"].series[0]
    contents = Counter((report.destination / name).read_bytes() for name in series.files)
    assert sorted(contents.values())[-2:] == [1, 2]
    assert len(contents) == series.instances == len(series.files) - 1


def test_pictures_are_of_their_modality(
    report: PhantomReport, by_kind: dict[str, PhantomStudy]
) -> None:
    for kind, modality, burned in (
        ("dose-report", "CT", "YES"),
        ("ultrasound", "US", "YES"),
        ("radiograph", "CR", "NO"),
    ):
        series = by_kind[kind].series[-1]
        dataset = dcmread(report.destination / series.files[0])
        assert (dataset.Modality, dataset.BurnedInAnnotation) == (modality, burned)
        assert dataset.pixel_array.std() > 5
        assert series.sop_class_uid == dataset.SOPClassUID != CTImageStorage
    assert [series.modality for series in by_kind["dose-report"].series] == ["CT", "CT"]
    ultrasound = dcmread(report.destination / by_kind["ultrasound"].files[0])
    assert ultrasound.SequenceOfUltrasoundRegions[0].RegionLocationMinY0 > 0


def test_names_can_be_read_in_the_pixels(
    report: PhantomReport, by_kind: dict[str, PhantomStudy]
) -> None:
    from rapidocr import RapidOCR

    engine = RapidOCR()
    for kind in ("dose-report", "ultrasound"):
        study = by_kind[kind]
        dataset = dcmread(report.destination / study.series[-1].files[0])
        read = " ".join(engine(dataset.pixel_array).txts or ())
        drawn = [c.value for c in study.canaries if c.kind == "patient_name" and c.value.isupper()]
        assert len(drawn) == 2
        assert all(name in read for name in drawn)
        assert str(dataset.PatientID) in read


def test_every_canary_is_planted(report: PhantomReport) -> None:
    for study in report.studies:
        text = "\n".join(study.files)
        for series in study.series:
            dataset = dcmread(report.destination / series.files[0])
            text += "\n" + "\n".join(texts(dataset))
        burned = study.kind in ("dose-report", "ultrasound")
        for canary in study.canaries:
            # Names in capitals are in the pixels alone there: see the test before.
            assert canary.value in text or (burned and canary.value.isupper()), canary.kind


def test_identity_is_planted_deep(report: PhantomReport) -> None:
    for study in report.studies:
        dataset = dcmread(report.destination / study.files[0])
        canaries = [canary.value for canary in study.canaries]
        sequences = [element.value for element in dataset if element.VR == "SQ"]
        nested = "\n".join(text for items in sequences for item in items for text in texts(item))
        assert any(value in nested for value in canaries)
        if dataset.SOPClassUID == CTImageStorage:
            private = [str(element.value) for element in dataset if element.tag.is_private]
            assert any(value in "\n".join(private) for value in canaries)
        comments = str(dataset.PatientComments)
        assert sum(value in comments for value in canaries) >= 3


def test_study_dates_are_no_canaries(report: PhantomReport) -> None:
    values = {canary.value for canary in report.canaries}
    assert not values & {study.study_date for study in report.studies}


@pytest.mark.server
def test_dciodvfy_finds_no_error(report: PhantomReport, need_program: Callable[[str], str]) -> None:
    program = need_program("dciodvfy")
    for study in report.studies:
        for series in study.series:
            for name in (series.files[0], series.files[-1]):
                path = str(report.destination / name)
                result = subprocess.run(
                    [program, path], capture_output=True, text=True, errors="replace", timeout=60
                )
                errors = [line for line in result.stderr.splitlines() if "Error" in line]
                assert not errors, (study.kind, errors)


def texts(dataset: Dataset) -> list[str]:
    """Every value of `dataset` and of its sequences as text."""
    found = []
    for element in dataset.iterall():
        if element.VR == "SQ" or element.tag == 0x7FE00010:
            continue
        value = element.value
        found.append(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
    return found
