"""A volume gives its series back: every attribute, equal pixels, and a valid file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from hounsfield.dicom.codecs import decode
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.errors import ConfigError, IntegrityError, NotFound
from hounsfield.volume import Volume, build_volume, chunk_folder
from hounsfield.volume.export import export_volumes
from tests.volume.series import ct_slice, write_series

# The encapsulation is gone, and what depends on it.
CHANGED = {"TransferSyntaxUID", "PhotometricInterpretation", "PlanarConfiguration"}
KINDS = [
    "ct_head_phantom",
    "mr_knee_t1",
    "pt_nema_phantom_1",
    "enh_mr_xa10",
    "enh_mr_moveknee",
    "xa_96f_fragments",
    "us_sonosite_30f",
    "us_mindray_burned",
    "us_us1",
    "us_aloka",
    "mg_overlay_oob",
    "cr_hand_j2k",
]


def test_what_comes_back_is_what_went_in(tmp_path: Path) -> None:
    datasets = [ct_slice(index) for index in range(5)]
    for dataset in datasets:
        dataset.compress(RLELossless, generate_instance_uid=False)
    write_series(tmp_path / "in", datasets)
    chunk_folder(tmp_path / "in", tmp_path / "volumes")
    assert export_volumes(tmp_path / "volumes", tmp_path / "out") == 5
    back = sorted((tmp_path / "out" / "2.25.1").iterdir())
    assert [path.name for path in back] == [f"2.25.77{i:04d}.dcm" for i in range(5)]
    for index, path in enumerate(back):
        dataset, original = dcmread(path), ct_slice(index)
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert dataset.PixelData == original.PixelData
        for element in original:
            assert dataset[element.tag].value == element.value
    (made,) = (tmp_path / "volumes").glob("*.zarr")
    again = build_volume(back, tmp_path / "again", provenance={})
    np.testing.assert_array_equal(again.array[:], Volume.open(made).array[:])


@pytest.mark.parametrize("is_coded", [False, True])
def test_overlays_that_lie_in_the_pixels_come_back_beside_them(
    tmp_path: Path, is_coded: bool
) -> None:
    """PS3.3-2004 Section C.9.2: bits 12 and 15 of words whose values have 12 bits."""
    drawn = {0x6000: (12, np.eye(6, 5, dtype="<u2")), 0x6002: (15, np.tri(6, 5, dtype="<u2"))}
    datasets = [ct_slice(index) for index in range(3)]
    for dataset in datasets:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        del dataset.PixelPaddingValue
    plain = [np.frombuffer(dataset.PixelData, "<u2").reshape(6, 5) % 4096 for dataset in datasets]
    for dataset, values in zip(datasets, plain, strict=True):
        dataset.PixelData = values.tobytes()
    for group, (bit, shape) in drawn.items():
        values = np.frombuffer(datasets[1].PixelData, "<u2").reshape(6, 5)
        datasets[1].PixelData = (values | shape << bit).astype("<u2").tobytes()
        numbers = {0x10: 6, 0x11: 5, 0x100: 16, 0x102: bit}
        for element, value in numbers.items():
            datasets[1].add_new(group << 16 | element, "US", value)
        datasets[1].add_new(group << 16 | 0x40, "CS", "G")
        datasets[1].add_new(group << 16 | 0x50, "SS", [1, 1])
    if is_coded:
        datasets[1].BitsStored, datasets[1].HighBit = 16, 15  # for the encoder
        datasets[1].compress(RLELossless, generate_instance_uid=False)
        datasets[1].BitsStored, datasets[1].HighBit = 12, 11
    paths = write_series(tmp_path / "in", datasets)
    volume = build_volume(paths, tmp_path / "v", provenance={})
    np.testing.assert_array_equal(volume.array[:], plain)
    export_volumes(tmp_path / "v", tmp_path / "out")
    back = [dcmread(path) for path in sorted((tmp_path / "out").rglob("*.dcm"))]
    for group, (_, shape) in drawn.items():
        np.testing.assert_array_equal(back[1].overlay_array(group), shape)
        assert back[1][group << 16 | 0x100].value == 1
        assert back[1][group << 16 | 0x102].value == 0
    assert 0x60003000 not in back[0]


def test_frames_come_back_in_their_own_order(tmp_path: Path) -> None:
    real = ct_slice(0)
    film = ct_slice(0)
    film.SOPClassUID, film.Modality = "1.2.840.10008.5.1.4.1.1.12.1", "XA"
    film.NumberOfFrames = 3
    film.PixelData = b"".join(ct_slice(index).PixelData for index in range(3))
    volume = build_volume([film], tmp_path / "v", provenance={})
    assert volume.axes == ("t", "y", "x")
    export_volumes(tmp_path / "v", tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*.dcm")
    assert dcmread(path).PixelData == film.PixelData != real.PixelData


def test_nothing_is_overwritten_and_nothing_left(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", [ct_slice(index) for index in range(3)])
    build_volume(paths, tmp_path / "v", provenance={})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(ConfigError, match="something lies at the output"):
        export_volumes(tmp_path / "v", tmp_path / "out")
    with pytest.raises(NotFound):
        export_volumes(tmp_path / "in", tmp_path / "new")
    chunk = next(path for path in (tmp_path / "v" / "0" / "c").rglob("*") if path.is_file())
    spoilt = bytearray(chunk.read_bytes())
    spoilt[-1] ^= 1
    chunk.write_bytes(spoilt)
    with pytest.raises(IntegrityError):
        export_volumes(tmp_path / "v", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "v"]


def test_other_pixels_are_another_image(tmp_path: Path) -> None:
    from tests.volume.test_deface import head, series

    hu, _, _ = head()
    volume = build_volume(series(hu), tmp_path / "v", provenance={}, deface=True)
    export_volumes(tmp_path / "v", tmp_path / "one")
    export_volumes(tmp_path / "v", tmp_path / "two")
    paths = sorted((tmp_path / "one").rglob("*.dcm"))
    assert [p.name for p in paths] == sorted(p.name for p in (tmp_path / "two").rglob("*.dcm"))
    dataset = dcmread(paths[0])
    assert str(dataset.SOPInstanceUID) not in volume.sop_instance_uids
    source = dataset.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert source in volume.sop_instance_uids
    assert dataset.ImageType[0] == "DERIVED"
    np.testing.assert_array_equal(
        dataset.pixel_array, volume.array[volume.sop_instance_uids.index(source)]
    )


@pytest.mark.data
@pytest.mark.parametrize("name", KINDS)
def test_real_series_come_back_whole_and_valid(
    name: str, real_data: Path, tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    chunk_folder(real_data / name, tmp_path / "volumes")
    export_volumes(tmp_path / "volumes", tmp_path / "out")
    sources = {str(read_header(p).SOPInstanceUID): p for p in find_files(real_data / name)}
    back = sorted((tmp_path / "out").rglob("*.dcm"))
    assert {path.stem for path in back} == set(sources)
    dciodvfy = need_program("dciodvfy")
    for number, path in enumerate(back):
        ours, theirs = dcmread(path), dcmread(sources[path.stem])
        np.testing.assert_array_equal(decode(ours), decode(theirs))
        for element in theirs:
            if element.keyword not in {*CHANGED, "PixelData"} and element.VR != "UN":
                assert ours[element.tag].value == element.value, element.keyword
        if number == 0:
            assert complaints(dciodvfy, path) <= complaints(dciodvfy, sources[path.stem])


def complaints(program: str, path: Path) -> set[str]:
    done = subprocess.run([program, path], capture_output=True, text=True, errors="replace")
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}
