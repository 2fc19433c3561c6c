from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from hounsfield.dicom.reading import find_files, group_by_series
from hounsfield.volume import Volume, chunk_folder, series_volumes
from tests.volume.series import ct_slice, write_series
from tests.volume.test_kinds import picture


def test_every_series_has_a_volume_or_a_reason(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "ct" / "deep", [ct_slice(index) for index in range(4)])
    gap = [ct_slice(index) for index in (0, 1, 2, 4, 5)]
    capture = ct_slice(0)
    capture.SOPClassUID, capture.Modality = "1.2.840.10008.5.1.4.1.1.7", "OT"
    evil = [ct_slice(index) for index in range(2)]
    for dataset, uid in [(d, "2.25.8") for d in gap] + [(capture, "2.25.9")]:
        dataset.SeriesInstanceUID = uid
    for dataset in evil:
        dataset.SeriesInstanceUID = "../../../evil"
    write_series(tmp_path / "in" / "gap", gap)
    write_series(tmp_path / "in" / "sc", [capture])
    write_series(tmp_path / "in" / "evil", evil)
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    steps: list[tuple[int, int]] = []

    report = chunk_folder(
        tmp_path / "in", tmp_path / "out", progress=lambda done, of: steps.append((done, of))
    )

    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    whole = report["series"]["2.25.1"]
    assert whole["shape"] == {"z": 4, "y": 6, "x": 5}
    volume = Volume.open(tmp_path / "out" / whole["volume"])
    np.testing.assert_allclose(volume.affine, whole["affine"])
    assert volume.digest == whole["digest"]
    assert "1 slice is missing" in report["series"]["2.25.8"]["reason"]
    assert report["series"]["2.25.9"]["reason"] == (
        "no volume: a secondary capture, without a place in the patient"
    )
    assert report["series"]["../../../evil"]["volume"].count("/") == 0
    assert report["refused_files"] == {"notes.txt": "a file is not DICOM"}
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert len([p for p in (tmp_path / "out").iterdir() if p.suffix == ".zarr"]) == 2
    assert chunk_folder(tmp_path / "in", tmp_path / "out") == report


def test_bad_series_are_refused_one_by_one(tmp_path: Path) -> None:
    """A clear reason each, beside a good one, and no file that is neither."""

    def slices(uid: str, count: int = 4, **values: object) -> list[Dataset]:
        made = [ct_slice(index) for index in range(count)]
        for dataset in made:
            dataset.SeriesInstanceUID = uid
            dataset.SOPInstanceUID = f"{uid}.{dataset.SOPInstanceUID[8:]}"
            for keyword, value in values.items():
                setattr(dataset, keyword, value)
        return made

    turned, sized = slices("2.25.31"), slices("2.25.32")
    turned[1].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    sized[2].Rows, sized[2].PixelData = 7, bytes(70)
    # Two series that somebody gave one UID: another patient position, another size of pixel.
    doubled = slices("2.25.33") + slices("2.25.33", PixelSpacing=[0.9, 0.9])
    for number, dataset in enumerate(doubled):
        dataset.SOPInstanceUID = f"2.25.33.{number}"
    same_place = slices("2.25.34") + slices("2.25.34")
    for number, dataset in enumerate(same_place):
        dataset.SOPInstanceUID = f"2.25.34.{number}"
    empty = slices("2.25.35")
    for dataset in empty:
        del dataset.PixelData
    lying = slices("2.25.36", Rows=46341, Columns=46341)
    everything = [*slices("2.25.30"), *turned, *sized, *doubled, *same_place, *empty, *lying]
    write_series(tmp_path / "in", everything)
    report = chunk_folder(tmp_path / "in", tmp_path / "out")["series"]
    expected = {
        "2.25.31": ("geometry", "different orientations: 1 of 4"),
        "2.25.32": ("geometry", "differ in size: 6 × 5, 7 × 5"),
        "2.25.33": ("geometry", "PixelSpacing goes from 0.75 × 0.5 to 0.9 × 0.9 mm"),
        "2.25.34": ("geometry", "several images at one position, 2 at each"),
        "2.25.35": ("undecodable-pixels", "there are no pixel data"),
        "2.25.36": ("undecodable-pixels", "46341 rows of 46341 columns"),
    }
    assert report["2.25.30"]["volume"] == "2.25.30.ome.zarr"
    for uid, (code, reason) in expected.items():
        assert report[uid]["volume"] is None
        assert report[uid]["error"] == code
        assert reason in report[uid]["reason"]
        assert report[uid]["reason"].startswith("no volume: ")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "2.25.30.ome.zarr",
        "report.json",
    ]


@pytest.mark.parametrize("at", [0, 3])
def test_a_series_with_a_localizer_is_refused_for_that_whatever_file_it_is(
    tmp_path: Path, at: int
) -> None:
    datasets = [ct_slice(index) for index in range(4)]
    datasets[at].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_series(tmp_path / "in", datasets)
    (entry,) = chunk_folder(tmp_path / "in", tmp_path / "out")["series"].values()
    assert entry["error"] == "geometry"
    assert "an instance makes no volume: it is a localizer" in entry["reason"]


@pytest.mark.parametrize("at", [0, 2])
def test_pictures_are_volumes_though_another_of_their_series_is_none(
    tmp_path: Path, at: int
) -> None:
    pictures = [picture(f"2.25.5{number}", np.zeros((3, 4))) for number in range(3)]
    pictures[at].SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.2"
    write_series(tmp_path / "in", pictures)
    (entry,) = chunk_folder(tmp_path / "in", tmp_path / "out")["series"].values()
    made = [one["volume"] is not None for one in entry["pictures"]]
    assert made == [number != at for number in range(3)]


def test_a_volume_of_an_earlier_run_is_named_where_this_one_made_none(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", [ct_slice(index) for index in range(4)])
    chunk_folder(tmp_path / "in", tmp_path / "out")
    paths[1].unlink()
    entry = chunk_folder(tmp_path / "in", tmp_path / "out")["series"]["2.25.1"]
    assert entry["volume"] is None
    assert entry["reason"].endswith("; 2.25.1.ome.zarr is of an earlier run")
    assert Volume.open(tmp_path / "out" / "2.25.1.ome.zarr").shape[0] == 4


@pytest.mark.data
def test_no_real_file_ends_in_a_traceback(real_data: Path, tmp_path: Path) -> None:
    for name in (
        *("bad_pydicom", "bad_orthanc", "dicomdir_fileset", "nm_heart_13f", "obj_highdicom"),
        "obj_rt_small",
    ):
        report = chunk_folder(real_data / name, tmp_path / name)
        files = len(list(find_files(real_data / name)))
        counted = sum(entry["files"] for entry in report["series"].values())
        assert counted + len(report["refused_files"]) == files
        for entry in report["series"].values():
            assert entry["volume"] or entry["reason"].startswith("no volume: ")


@pytest.mark.data
def test_what_makes_volumes(real_data: Path) -> None:
    def reasons(name: str) -> set[str]:
        return {plan.reason for plan in series_volumes(find_files(real_data / name))}

    assert reasons("ct_head_phantom") == {""}
    assert reasons("enh_mr_moveknee") == {""}
    assert reasons("cr_chest_j2k") == reasons("mg_overlay_oob") == reasons("us_us1") == {""}
    assert reasons("syn_nm1") == {"a secondary capture, without a place in the patient"}
    assert reasons("obj_ecg") == {"a waveform, which has no pixels"}
    assert reasons("phi_ct_burned") == {"a localizer, which is a projection image"}
    assert len(group_by_series(find_files(real_data / "obj_rt_breast")).series) == 3
