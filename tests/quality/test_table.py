"""The table tells what is wrong, and not whose it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from hounsfield.dicom.reading import find_files
from hounsfield.dicom.table import COLUMNS, instance_table
from tests.quality.conftest import CANARIES, MakeCt, another_series, ct_slice, save


def test_a_whole_series_shows_nothing_odd(make_ct: MakeCt) -> None:
    table = instance_table(make_ct(6))
    assert tuple(table.columns) == COLUMNS
    assert list(table["ordinal"]) == [1, 2, 3, 4, 5, 6]
    assert table["readable"].all() and table["decodes"].all() and table["pixels_whole"].all()
    assert not table["constant"].any() and not table["duplicate"].any()
    assert set(table["kind"]) == {"slice"} and set(table["SOPClassUID"]) == {"CTImageStorage"}
    assert table["spacing_mm"].dropna().eq(2.5).all()
    assert not table["gap"].dropna().any()
    assert table["gantry_tilt_degrees"].eq(0).all()
    assert table["min_rescaled"].min() >= -1024 and table["max_rescaled"].max() < 2000 - 1024


def test_slices_are_numbered_along_the_stack_whatever_the_file_order(make_ct: MakeCt) -> None:
    paths = make_ct(6)
    table = instance_table([paths[i] for i in (3, 0, 5, 1, 4, 2)])
    assert list(table["slice"]) == [4, 1, 6, 2, 5, 3]


def test_no_cell_holds_an_identity(make_ct: MakeCt) -> None:
    def stray(dataset: Dataset, index: int) -> None:
        # A name may sit where a code belongs, and in places of any kind.
        dataset.Modality = CANARIES[0] if index == 0 else "CT"
        dataset.PhotometricInterpretation = CANARIES[1] if index == 1 else "MONOCHROME2"
        dataset.ImageType = [CANARIES[0], "PRIMARY"]
        dataset.BurnedInAnnotation = CANARIES[1]
        dataset.InstanceNumber = "4711"

    text = instance_table(make_ct(3, edit=stray)).to_csv()
    for canary in CANARIES:
        assert canary.casefold() not in text.casefold()


def test_a_file_cut_in_its_pixels_keeps_its_place(make_ct: MakeCt) -> None:
    def issue(dataset: Dataset, index: int) -> None:
        dataset.IssuerOfPatientID = "ISSUER"

    paths = make_ct(4, edit=issue)
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    row = instance_table(paths).iloc[2]
    assert not row["pixels_whole"] and row["readable"] and row["slice"] == 3
    assert row["pixel_bytes_expected"] - row["pixel_bytes_found"] == 100
    assert row["patient_count"] == 1


def test_a_file_cut_in_its_header_is_unreadable(make_ct: MakeCt) -> None:
    paths = make_ct(3)
    paths[1].write_bytes(paths[1].read_bytes()[:700])
    table = instance_table(paths)
    assert list(table["readable"]) == [True, False, True]
    assert table["is_dicom"].all()


def test_what_is_not_dicom_is_a_row_too(make_ct: MakeCt, tmp_path: Path) -> None:
    stray = tmp_path / "notes.txt"
    stray.write_text("nothing to see")
    table = instance_table([*make_ct(2), stray])
    assert list(table["is_dicom"]) == [True, True, False]
    assert table["kind"].iloc[2] == "unreadable" and table["series"].iloc[2] == 0


def test_copies_and_collisions_are_told_apart(make_ct: MakeCt, tmp_path: Path) -> None:
    paths = make_ct(4)
    copy = shutil.copy(paths[0], tmp_path / "copy.dcm")
    other = dcmread(paths[1])
    other.PixelData = bytes(reversed(other.PixelData))
    collision = save(other, tmp_path / "collision.dcm")
    table = instance_table([*paths, Path(copy), collision])
    assert list(table["duplicate"]) == [False] * 4 + [True, False]
    assert list(table["uid_collision"]) == [False, True, False, False, False, True]
    # The copy takes no part in the geometry, so it makes no second image at its position.
    assert table["images_here"].iloc[0] == 1


def test_series_are_ordered_by_series_number(make_ct: MakeCt, tmp_path: Path) -> None:
    report = ct_slice(20)
    another_series(report)
    table = instance_table([*make_ct(3), save(report, tmp_path / "other.dcm")])
    assert list(table["series"]) == [2, 2, 2, 1]


def test_patients_are_counted_not_named(make_ct: MakeCt) -> None:
    def mix(dataset: Dataset, index: int) -> None:
        if index == 2:
            dataset.PatientID = "CNRY-4712"
            dataset.PatientName = "ANDERS^NAME"

    table = instance_table(make_ct(3, edit=mix))
    assert set(table["patient_count"]) == {2} and set(table["patient_name_count"]) == {2}
    assert set(table["study_count"]) == {1}


@pytest.mark.parametrize(
    ("issuers", "patients"),
    [((None, None, None), 1), (("A", None, "A"), 1), (("A", "B", "A"), 2)],
)
def test_an_issuer_left_out_is_no_other_patient(
    make_ct: MakeCt, issuers: tuple[str | None, ...], patients: int
) -> None:
    def issue(dataset: Dataset, index: int) -> None:
        if issuers[index]:
            dataset.IssuerOfPatientID = issuers[index]

    assert set(instance_table(make_ct(3, edit=issue))["patient_count"]) == {patients}


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "column", "expected"),
    [
        ("ct_head_phantom", "gantry_tilt_degrees", 16.5),
        ("mr_fruit_ge", "gantry_tilt_degrees", 0.0),
        ("enh_mr_xa10", "stack_count", 1),
        ("pt_nema_phantom_1", "images_here", 1),
    ],
)
def test_real_stacks_measure_as_they_should(
    real_data: Path, folder: str, column: str, expected: float
) -> None:
    table = instance_table(list(find_files(real_data / folder)), decode=False)
    assert table[column].max() == pytest.approx(expected, abs=0.05)
    assert not table["gap"].dropna().any()
    assert table["spacing_even"].dropna().all()


@pytest.mark.data
def test_no_real_file_breaks_the_table(real_data: Path) -> None:
    for folder in ("bad_pydicom", "bad_orthanc", "dicomdir_fileset", "obj_highdicom"):
        files = list(find_files(real_data / folder))
        assert len(instance_table(files)) == len(files)
