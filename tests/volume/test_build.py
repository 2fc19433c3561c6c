from __future__ import annotations

import asyncio
import errno
import functools
import json
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from zarr.storage import LocalStore

from hounsfield.dicom.reading import read_header
from hounsfield.errors import (
    ContentCollision,
    GeometryError,
    HounsfieldError,
    IntegrityError,
    NotFound,
    StoreUnavailable,
    UndecodablePixels,
    UnreadableFile,
)
from hounsfield.volume import Volume, build_volume
from hounsfield.volume.layout import OBJECT_STORE, Layout
from tests.volume.series import ct_slice, write_series
from tests.volume.test_kinds import picture


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return write_series(tmp_path / "in", [ct_slice(index) for index in range(7)])


def expected(count: int = 7) -> np.ndarray:
    slices = [ct_slice(index).PixelData for index in range(count)]
    return np.stack([np.frombuffer(s, "<i2").reshape(6, 5) for s in slices])


def test_a_volume_holds_stored_values_and_tells_where_they_are(
    tmp_path: Path, paths: list[Path]
) -> None:
    made = build_volume(paths[::-1], tmp_path / "v", provenance={"input": "abc"})
    volume = Volume.open(tmp_path / "v")
    assert volume.digest == made.digest
    assert volume.shape == (7, 6, 5)
    assert volume.array.dtype == np.int16
    assert volume.array.metadata.dimension_names == ("z", "y", "x")
    np.testing.assert_array_equal(volume.array[:], expected())
    np.testing.assert_allclose(
        volume.affine, [[0.5, 0, 0, -10.5], [0, 0.75, 0, -20], [0, 0, 2, -100], [0, 0, 0, 1]]
    )
    assert volume.spacing_zyx == (2.0, 0.75, 0.5)
    assert volume.rescale.slope == (1.0,)
    assert volume.rescale.type == "HU"
    assert volume.modality == "CT"
    assert volume.sop_instance_uids == tuple(f"2.25.77{i:04d}" for i in range(7))
    assert volume.series_instance_uid == "2.25.1"
    assert volume.study_instance_uid == "2.25.2"
    assert volume.frame_of_reference_uid == "2.25.3"
    assert volume.metadata["PixelPaddingValue"] == -2000
    assert volume.metadata["provenance"] == {"input": "abc"}
    hu = volume.rescaled()
    assert hu.dtype == np.float32
    np.testing.assert_array_equal(hu, expected().astype(np.float32) - 1024)
    volume.verify()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "v"]


def test_no_attribute_is_lost(tmp_path: Path, paths: list[Path]) -> None:
    table = build_volume(paths, tmp_path / "v", provenance={}).attributes
    assert "PixelData" not in table.dataset(0)
    for index in range(7):
        original = read_header(paths[index])
        rebuilt = table.dataset(index)
        assert list(rebuilt) == list(original)
        assert table.dataset(index).file_meta.TransferSyntaxUID
    assert set(table.instances[3].elements) == {"00080018", "00200013", "00200032"}


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.randoms(use_true_random=False), st.booleans())
def test_any_order_and_layout_give_one_digest(
    tmp_path: Path, paths: list[Path], chance: random.Random, sharded: bool
) -> None:
    reference = build_volume(paths, tmp_path / "v", provenance={"run": "1"})
    shuffled = list(paths)
    chance.shuffle(shuffled)
    layout = OBJECT_STORE if sharded else Layout(chunk=(2, 4, 4), shard=None, slab=2)
    name = f"w{chance.random()}"
    other = build_volume(shuffled, tmp_path / name, provenance={"run": "2"}, layout=layout)
    assert other.digest == reference.digest
    assert other.sop_instance_uids == reference.sop_instance_uids
    np.testing.assert_array_equal(other.array[:], reference.array[:])


def test_datasets_in_memory_and_processes_give_the_same(tmp_path: Path, paths: list[Path]) -> None:
    volume = build_volume([ct_slice(i) for i in range(7)], tmp_path / "m", provenance={})
    np.testing.assert_array_equal(volume.array[:], expected())
    small = Layout(chunk=(4, 4, 4), shard=None, slab=4)
    one = build_volume(paths, tmp_path / "p", provenance={}, layout=small, scheduler="processes")
    assert one.digest == build_volume(paths, tmp_path / "v", provenance={}).digest


def test_it_is_kept_when_made_again_and_never_overwritten(
    tmp_path: Path, paths: list[Path]
) -> None:
    first = build_volume(paths, tmp_path / "v", provenance={"run": "1"})
    again = build_volume(paths, tmp_path / "v", provenance={"run": "2"})
    assert again.digest == first.digest
    assert again.metadata["provenance"] == {"run": "1"}
    with pytest.raises(ContentCollision):
        build_volume(paths[:5], tmp_path / "v", provenance={})
    assert Volume.open(tmp_path / "v").digest == first.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "v"]


def test_slope_a_slice(tmp_path: Path) -> None:
    datasets = [ct_slice(index) for index in range(3)]
    for index, dataset in enumerate(datasets):
        dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.128", "PT"
        dataset.Units, dataset.RescaleIntercept = "BQML", 0
        dataset.RescaleSlope = 0.5 + index
    volume = build_volume(datasets, tmp_path / "v", provenance={})
    assert volume.rescale.slope == (0.5, 1.5, 2.5)
    assert volume.rescale.intercept == (0.0,)
    assert volume.rescale.type == "BQML"
    scale = np.array([0.5, 1.5, 2.5], np.float32)[:, None, None]
    np.testing.assert_array_equal(volume.rescaled(), volume.array[:] * scale)


def test_values_without_a_rescale_are_no_hounsfield_units(tmp_path: Path) -> None:
    datasets = [ct_slice(index) for index in range(3)]
    for dataset in datasets:
        del dataset.RescaleSlope, dataset.RescaleIntercept
    raw = build_volume(datasets, tmp_path / "v", provenance={})
    assert (raw.rescale.slope, raw.rescale.intercept, raw.rescale.type) == ((1,), (0,), "")
    datasets[1] = ct_slice(1)
    with pytest.raises(
        GeometryError, match="some of the slices state a rescale and some state none"
    ):
        build_volume(datasets, tmp_path / "w", provenance={})


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [("2.1", "CT"), ("13.1.1", "XA"), ("13.1.2", "DX"), ("13.1.3", "MG")],
)
def test_an_enhanced_multi_frame(tmp_path: Path, sop_class: str, modality: str) -> None:
    frames = [3, 0, 2, 1]
    dataset = ct_slice(0)
    dataset.SOPClassUID, dataset.Modality = f"1.2.840.10008.5.1.4.1.1.{sop_class}", modality
    dataset.NumberOfFrames = 4
    dataset.PixelData = b"".join(ct_slice(frame).PixelData for frame in frames)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, 2
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for frame in frames:
        item, position, transform = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = ct_slice(frame).ImagePositionPatient
        transform.RescaleSlope, transform.RescaleIntercept = 1 + frame, -frame
        transform.RescaleType = "HU"
        item.PlanePositionSequence = [position]
        item.PixelValueTransformationSequence = [transform]
        dataset.PerFrameFunctionalGroupsSequence.append(item)
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing
    paths = write_series(tmp_path / "in", [dataset])
    volume = build_volume(paths, tmp_path / "v", provenance={})
    np.testing.assert_array_equal(volume.array[:], expected(4))
    assert volume.frames == (1, 3, 2, 0)
    assert set(volume.sop_instance_uids) == {dataset.SOPInstanceUID}
    assert volume.rescale.slope == (1, 2, 3, 4)
    assert len(volume.attributes.instances) == 1
    last = dataset.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence[0]
    last.RescaleType = "US"
    with pytest.raises(GeometryError, match="the frames differ in RescaleType"):
        build_volume([dataset], tmp_path / "w", provenance={})
    last.RescaleType = "HU"
    dataset.NumberOfFrames = 5
    with pytest.raises(GeometryError, match="5 frames are claimed and 4"):
        build_volume([dataset], tmp_path / "w", provenance={})


def test_a_deflated_file_may_not_become_more_than_memory_allows(tmp_path: Path) -> None:
    dataset = picture("2.25.1", np.zeros((4000, 3000), np.int16))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    (path,) = write_series(tmp_path / "in", [dataset])
    assert path.stat().st_size < 1 << 16
    with pytest.raises(UndecodablePixels, match="a deflated file holds more than 21 MiB"):
        build_volume([path], tmp_path / "v", provenance={}, memory_bytes=64 << 20)
    build_volume([path], tmp_path / "v", provenance={}, memory_bytes=128 << 20)


def test_ome_zarr_reads_it(tmp_path: Path, paths: list[Path]) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    build_volume(paths, tmp_path / "v", provenance={})
    location = parse_url(tmp_path / "v", mode="r")
    assert location is not None
    (node,) = list(Reader(location)())
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in node.metadata["axes"]} == {"millimeter"}
    scale, translation = node.metadata["coordinateTransformations"][0]
    assert scale == {"type": "scale", "scale": [2.0, 0.75, 0.5]}
    assert translation["translation"] == [-100, -20, -10.5]
    np.testing.assert_array_equal(np.asarray(node.data[0]), expected())


def test_monai_reads_it_where_it_lies(tmp_path: Path, paths: list[Path]) -> None:
    from monai.transforms import Compose, SpatialCropd

    from hounsfield.inference.transforms import LoadVolumed

    build_volume(paths, tmp_path / "v", provenance={})
    crop = SpatialCropd("image", roi_start=(1, 2, 3), roi_end=(2, 4, 5))
    load = Compose([LoadVolumed("image"), crop])
    image = load({"image": tmp_path / "v"})["image"]
    np.testing.assert_array_equal(image[0], expected()[1:2, 2:4, 3:5] - 1024.0)
    # (z, y, x) to RAS: left and back are less than zero there.
    np.testing.assert_allclose(image.affine[:3, 3], [10.5 - 3 * 0.5, 20 - 2 * 0.75, -100 + 2])


def test_xarray_and_others_find_the_names_of_the_axes(tmp_path: Path, paths: list[Path]) -> None:
    """xarray takes a Zarr v3 array whose dimensions have names, and no other."""
    build_volume(paths, tmp_path / "v", provenance={}, layout=OBJECT_STORE)
    told = json.loads((tmp_path / "v" / "0" / "zarr.json").read_bytes())
    assert (told["zarr_format"], told["dimension_names"]) == (3, ["z", "y", "x"])
    group = zarr.open_group(str(tmp_path / "v"), mode="r")
    assert list(group.array_keys()) == ["0"]


def test_what_xarray_is_to_take_for_coordinates_is_where_the_voxels_lie(
    tmp_path: Path, paths: list[Path]
) -> None:
    volume = build_volume(paths, tmp_path / "v", provenance={})
    ome = zarr.open_group(str(tmp_path / "v"), mode="r").attrs.asdict()["ome"]
    scale, start = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps = zip(volume.axes, volume.shape, start["translation"], scale["scale"], strict=True)
    for axis, count, at, step in steps:
        row = "xyz".index(axis)
        places = volume.affine[row, 3] + volume.affine[row, row] * np.arange(count)
        np.testing.assert_allclose(at + step * np.arange(count), places)


def test_zarr_alone_reads_it_without_zarrs(tmp_path: Path, paths: list[Path]) -> None:
    build_volume(paths, tmp_path / "v", provenance={}, layout=OBJECT_STORE)
    array = zarr.open_array(str(tmp_path / "v" / "0"), mode="r", zarr_format=3)
    np.testing.assert_array_equal(array[:], expected())


def test_a_flipped_bit_is_found(tmp_path: Path, paths: list[Path]) -> None:
    volume = build_volume(paths, tmp_path / "v", provenance={})
    files = [p for p in sorted((tmp_path / "v").rglob("*")) if p.is_file()]
    for path in files:
        content = path.read_bytes()
        spoilt = bytearray(content)
        spoilt[len(spoilt) // 2] ^= 1
        path.write_bytes(spoilt)
        try:
            opened = Volume.open(volume.path)
        except Exception:
            pass  # what the flipped bit made unreadable is found too
        else:
            if opened.metadata["provenance"] == {} and path.name != "zarr.json":
                with pytest.raises(IntegrityError):
                    opened.verify()
        path.write_bytes(content)
    Volume.open(volume.path).verify()


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("zarr.json", ("attributes", "hounsfield", "affine_lps", 2, 3)),
        ("zarr.json", ("attributes", "hounsfield", "rescale", "slope", 0)),
        ("zarr.json", ("attributes", "ome", "multiscales", 0, "datasets", 0,
                       "coordinateTransformations", 0, "scale", 0)),
        ("zarr.json", ("attributes", "ome", "multiscales", 0, "axes", 0, "name")),
        ("0/zarr.json", ("shape", 0)),
        ("0/zarr.json", ("dimension_names", 0)),
    ],
)  # fmt: skip
def test_what_others_are_told_of_a_place_is_no_other(
    tmp_path: Path, paths: list[Path], name: str, way: tuple[str | int, ...]
) -> None:
    """ome-zarr and napari read the places of voxels there, xarray the names of axes."""
    volume = build_volume(paths, tmp_path / "v", provenance={})
    told = json.loads((tmp_path / "v" / name).read_bytes())
    *above, last = way
    within = functools.reduce(lambda part, key: part[key], above, told)
    within[last] = "w" if isinstance(within[last], str) else within[last] + 1
    (tmp_path / "v" / name).write_text(json.dumps(told))
    with pytest.raises(IntegrityError):
        Volume.open(volume.path).verify()


def test_there_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Volume.open(tmp_path / "nothing")


def cut(folder: Path) -> None:
    path = sorted(folder.iterdir())[3]
    path.write_bytes(path.read_bytes()[:-20])


def drop(folder: Path) -> None:
    sorted(folder.iterdir())[3].unlink()


def other_content(folder: Path) -> None:
    dataset = ct_slice(3)
    dataset.PixelData = bytes(60)
    write_series(folder / "more", [dataset])


def without_pixels(folder: Path) -> None:
    for index, path in enumerate(sorted(folder.iterdir())):
        dataset = ct_slice(index)
        del dataset.PixelData
        path.unlink()
        write_series(folder / str(index), [dataset])


def all_lie(folder: Path) -> None:
    for index, path in enumerate(sorted(folder.iterdir())):
        dataset = ct_slice(index)
        dataset.Rows = dataset.Columns = 46341
        path.unlink()
        write_series(folder / str(index), [dataset])


def change(index: int, **values: object):
    def apply(folder: Path) -> None:
        dataset = ct_slice(index)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        sorted(folder.iterdir())[index].unlink()
        write_series(folder / "more", [dataset])

    return apply


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (cut, UnreadableFile, "stops before its end"),
        (drop, GeometryError, "1 slice is missing between slice 2 and 3"),
        (other_content, ContentCollision, "two contents"),
        (change(2, Rows=7, PixelData=bytes(70)), GeometryError, "differ in size"),
        (change(2, StudyInstanceUID="2.25.9"), GeometryError, "differ in StudyInstanceUID"),
        (change(2, ImagePositionPatient=[1, 2]), GeometryError, "ImagePositionPatient"),
        (change(6, ImagePositionPatient=[0, 0, "1e200"]), GeometryError, "not 3 finite numbers"),
        (change(2, PixelRepresentation=0, PixelPaddingValue=0), GeometryError, "differ in dtype"),
        (change(2, PixelData=bytes(20)), UndecodablePixels, "20 are there"),
        (change(2, Rows=46341, Columns=46341), UndecodablePixels, "claims 46341 rows"),
        (change(2, RescaleSlope=0), HounsfieldError, "or the slope is 0"),
        (without_pixels, UndecodablePixels, "there are no pixel data"),
        (change(2, BitsStored=17), UndecodablePixels, "BitsStored is 17 of 16"),
        (change(2, BitsStored=12), UndecodablePixels, "HighBit is 15 of 12 stored bits"),
        (all_lie, UndecodablePixels, "46341 rows of 46341 columns, more than 1024 MiB"),
        (change(2, NumberOfFrames=3), GeometryError, "states no position for its frames"),
        (change(2, BitsAllocated=12), UndecodablePixels, "BitsAllocated is 12"),
        (change(2, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33"), GeometryError, "a report"),
        (
            change(2, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
            GeometryError,
            "different orientations: 1 of 7",
        ),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    tmp_path: Path, paths: list[Path], spoil, error: type[Exception], message: str
) -> None:
    spoil(tmp_path / "in")
    left = sorted(p for p in (tmp_path / "in").rglob("*") if p.is_file())
    with pytest.raises(error, match=message) as caught:
        build_volume(left, tmp_path / "v", provenance={})
    assert "2.25" not in str(caught.value)
    assert "Quandary" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_images_without_a_uid_are_told_as_such(tmp_path: Path) -> None:
    datasets = [ct_slice(index) for index in range(3)]
    for dataset in datasets:
        del dataset.SOPInstanceUID
    with pytest.raises(UnreadableFile, match="several images have no SOPInstanceUID"):
        build_volume(datasets, tmp_path / "v", provenance={})


def test_a_file_that_is_there_twice_counts_once(tmp_path: Path, paths: list[Path]) -> None:
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(paths[4].read_bytes())
    volume = build_volume([*paths, copy], tmp_path / "v", provenance={})
    assert volume.shape[0] == 7


def test_compressed_slices_give_the_same_values(tmp_path: Path) -> None:
    datasets = [ct_slice(index) for index in range(3)]
    for dataset in datasets:
        dataset.compress(RLELossless, generate_instance_uid=False)
    volume = build_volume(write_series(tmp_path / "in", datasets), tmp_path / "v", provenance={})
    np.testing.assert_array_equal(volume.array[:], expected(3))


LIMITED = """
import resource, sys
from pathlib import Path
from hounsfield.errors import StoreUnavailable
from hounsfield.volume import build_volume

paths = sorted(Path(sys.argv[1]).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    build_volume(paths, Path(sys.argv[2]), provenance={})
except StoreUnavailable as error:
    print(error.code)
"""


@pytest.mark.parametrize("limit", [100, 2000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, limit: int) -> None:
    chance = np.random.default_rng(7)
    datasets = [ct_slice(index, shape=(64, 64)) for index in range(4)]
    for dataset in datasets:
        dataset.PixelData = chance.integers(0, 4096, (64, 64), np.int16).tobytes()
    write_series(tmp_path / "in", datasets)
    arguments = [str(tmp_path / "in"), str(tmp_path / "out" / "v"), str(limit)]
    command = [sys.executable, "-c", LIMITED, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "store-unavailable", run.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_what_zarr_writes_behind_its_failure_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes a group's and an array's zarr.json side by side."""
    late = threading.Event()

    async def full(store: LocalStore, key: str, value: Any) -> None:
        if key == "0/zarr.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        await put(store, key, value)

    async def slow(store: LocalStore, key: str, value: Any) -> None:
        await asyncio.sleep(0.3)
        await put(store, key, value)
        late.set()

    put = LocalStore.set
    monkeypatch.setattr(LocalStore, "set", full)
    monkeypatch.setattr(LocalStore, "set_if_not_exists", slow)
    datasets = [ct_slice(index) for index in range(2)]
    with pytest.raises(StoreUnavailable, match="No space left"):
        build_volume(datasets, tmp_path / "out" / "v", provenance={})
    assert late.wait(60)
    assert list((tmp_path / "out").iterdir()) == []


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_spoilt_byte_gives_a_volume_or_a_reason(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "fuzz"
    paths = write_series(folder, [ct_slice(index) for index in range(2)])
    content = bytearray(paths[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(132, len(content) - 61))] = data.draw(st.integers(0, 255))
    paths[0].write_bytes(content)
    try:
        build_volume(paths, folder / "v", provenance={})
    except HounsfieldError as error:
        assert "Quandary" not in str(error)
    else:
        shutil.rmtree(folder / "v")
