"""How volumes are made: recipes, workers, memory, a cluster; a gantry's tilt undone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from hounsfield.dicom.codecs import decode_picture
from hounsfield.errors import GeometryError, StoreUnavailable
from hounsfield.settings import VolumeSettings
from hounsfield.volume import Volume, build, build_volume, chunk_folder
from hounsfield.volume.export import export_volumes
from hounsfield.volume.layout import LAYOUTS, LOCAL, OBJECT_STORE, Layout
from tests.volume.series import ct_slice, write_series


def series(root: Path, number: int, count: int = 3) -> None:
    datasets = [ct_slice(index) for index in range(count)]
    for dataset in datasets:
        dataset.SeriesInstanceUID = f"2.25.{number}"
        dataset.SOPInstanceUID = f"2.25.{number}{dataset.SOPInstanceUID[5:]}"
    write_series(root / str(number), datasets)


def test_recipes_have_names() -> None:
    assert LAYOUTS[VolumeSettings().recipe] is LOCAL
    assert LAYOUTS["sharded"] is OBJECT_STORE


def test_a_cohort_on_threads_and_in_shards(tmp_path: Path) -> None:
    for number in range(5):
        series(tmp_path / "in", number)
    one = chunk_folder(tmp_path / "in", tmp_path / "one")
    steps: list[tuple[int, int]] = []
    settings = VolumeSettings(recipe="sharded", workers=2)
    two = chunk_folder(
        tmp_path / "in", tmp_path / "two", lambda done, of: steps.append((done, of)), settings
    )
    assert one == two
    assert steps == [(done, 5) for done in range(6)]
    volume = Volume.open(tmp_path / "two" / two["series"]["2.25.3"]["volume"])
    assert volume.array.shards is not None
    volume.verify()


def test_a_cohort_on_a_cluster_by_address(tmp_path: Path) -> None:
    from distributed import LocalCluster

    for number in range(3):
        series(tmp_path / "in", number)
    here = chunk_folder(tmp_path / "in", tmp_path / "here")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as c:
        settings = VolumeSettings(dask=c.scheduler_address)
        there = chunk_folder(tmp_path / "in", tmp_path / "there", settings=settings)
    assert there == here


def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    series(tmp_path / "in", 1)
    with pytest.raises(StoreUnavailable, match="no Dask scheduler answers"):
        settings = VolumeSettings(dask="tcp://127.0.0.1:9")
        chunk_folder(tmp_path / "in", tmp_path / "out", settings=settings)


@pytest.mark.parametrize("layout", [LOCAL, OBJECT_STORE])
def test_slabs_are_as_shallow_as_memory_asks(layout: Layout) -> None:
    plane = 4096 * 4096 * 2
    fitting = layout.within(1 << 30, plane)
    assert fitting.slab * plane * 3 <= 1 << 30
    assert fitting.slab == 8
    chunk, shard = fitting.fitted("zyx", (100, 4096, 4096))
    assert fitting.slab % chunk[0] == 0
    assert shard is None or shard[0] % chunk[0] == 0
    assert layout.within(1 << 30, 512 * 512 * 2) is layout


def test_pydicom_decodes_in_one_thread_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many series are made at once: in two it takes longer than in one."""
    for number in (1, 2):
        series(tmp_path / "in", number, count=4)
    inside: list[int] = []
    seen: list[int] = []

    def decode(*args: Any, **options: Any) -> Any:
        inside.append(0)
        time.sleep(0.01)
        seen.append(len(inside))
        inside.pop()
        return decode_picture(*args, **options)

    monkeypatch.setattr(build, "_read", lambda *_: "")
    monkeypatch.setattr(build, "decode_picture", decode)
    chunk_folder(tmp_path / "in", tmp_path / "out", settings=VolumeSettings(workers=2))
    assert seen == [1] * 8


def test_several_workers_and_little_memory_give_the_same(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", [ct_slice(i, shape=(64, 48)) for i in range(70)])
    one = build_volume(paths, tmp_path / "one", provenance={})
    two = build_volume(paths, tmp_path / "two", provenance={}, workers=3, memory_bytes=200_000)
    assert two.array.chunks[0] < one.array.chunks[0]
    assert one.digest == two.digest
    two.verify()


@pytest.mark.parametrize("workers", [1, 2])
def test_slabs_of_other_depths_share_their_memory_and_nothing_else(
    tmp_path: Path, workers: int
) -> None:
    """Slabs of 64, 64 and 2 planes; one plane is read by pydicom into the memory of another."""
    datasets = [ct_slice(i, shape=(64, 48)) for i in range(130)]
    for index, dataset in enumerate(datasets):
        dataset.PixelData = np.full((64, 48), index, "<i2").tobytes()
    datasets[66].compress(JPEG2000Lossless, generate_instance_uid=False)
    made = build_volume(
        write_series(tmp_path / "in", datasets), tmp_path / "out", provenance={}, workers=workers
    )
    values = made.array[:]
    assert sorted(values[:, 0, 0].tolist()) == list(range(130))
    assert (values == values[:, :1, :1]).all()
    made.verify()


PEAK = """
import sys
from pathlib import Path
from hounsfield.volume import build_volume

volume = build_volume(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), provenance={})
# Not ru_maxrss, which counts what the parent held when it started this.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(volume.shape[0], int(peak) >> 10)
"""


def test_two_thousand_slices_take_less_than_two_gib(tmp_path: Path) -> None:
    # A gigabyte of pixels, which the disk does not have to hold: they are holes.
    dataset = ct_slice(0, shape=(512, 512))
    dataset.ImagePositionPatient = [0, 0, 10000]
    size, dataset.PixelData = len(dataset.PixelData), b""
    (template,) = write_series(tmp_path, [dataset])
    content = template.read_bytes()[:-4] + size.to_bytes(4, "little")
    (tmp_path / "in").mkdir()
    for index in range(2000):
        own = content.replace(b"2.25.770000", b"2.25.77%04d" % index)
        with (tmp_path / "in" / f"{index:04d}.dcm").open("wb") as file:
            file.write(own.replace(b"10000", b"%d" % (10000 + index)))
            file.truncate(len(own) + size)
    command = [sys.executable, "-c", PEAK, tmp_path / "in", tmp_path / "v"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    count, peak = map(int, run.stdout.split())
    assert count == 2000
    assert peak < 2048, f"{peak} MiB"


def field(position: np.ndarray) -> np.ndarray:
    """A value for each place in the patient that interpolation keeps exactly."""
    return 3 * position[..., 0] - 5 * position[..., 1] + 2 * position[..., 2] + 500


def tilted(count: int = 12, degrees: float = 20) -> list[Dataset]:
    lean, datasets = np.radians(degrees), []
    column = np.array([0, np.cos(lean), np.sin(lean)])
    for index in range(count):
        dataset = ct_slice(index, shape=(40, 30))
        dataset.ImageOrientationPatient = [1, 0, 0, *column]
        dataset.ImagePositionPatient = [-10, -20, 2.5 * index]
        rows, columns = np.mgrid[:40, :30]
        place = (
            np.array([-10, -20, 2.5 * index])
            + columns[..., None] * 0.5 * np.array([1, 0, 0])
            + rows[..., None] * 0.75 * column
        )
        dataset.PixelData = np.rint(10 * field(place)).astype("<i2").tobytes()
        datasets.append(dataset)
    return datasets


def test_tilt_is_in_the_affine_or_undone(tmp_path: Path) -> None:
    plain = build_volume(tilted(), tmp_path / "plain", provenance={})
    assert plain.metadata["gantry_tilt_degrees"] == pytest.approx(20, abs=1e-3)
    assert "resampled" not in plain.metadata
    straight = build_volume(tilted(), tmp_path / "straight", provenance={}, resample_tilt=True)
    assert straight.metadata["resampled"]["tilt_degrees"] == pytest.approx(20, abs=1e-3)
    assert straight.metadata["gantry_tilt_degrees"] == 0
    axes = straight.affine[:3, :3] / np.linalg.norm(straight.affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    values = straight.array[:].astype(float)
    z, y, x = np.indices(values.shape)
    place = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ straight.affine.T
    inside = values != straight.metadata["resampled"]["fill"]
    assert inside.mean() > 0.6
    # At the rim a voxel is part slice, part fill.
    within = np.array([np.pad(p[2:-2, 2:-2], 2) for p in shrunk(inside)])
    np.testing.assert_allclose(values[within], 10 * field(place[..., :3])[within], atol=1.1)
    straight.verify()
    with pytest.raises(GeometryError, match="were resampled"):
        export_volumes(tmp_path / "straight", tmp_path / "out")


def shrunk(inside: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return np.array([ndimage.binary_erosion(plane, iterations=2) for plane in inside])


def test_what_is_not_tilted_is_left_alone(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", [ct_slice(index) for index in range(4)])
    one = build_volume(paths, tmp_path / "one", provenance={})
    two = build_volume(paths, tmp_path / "two", provenance={}, resample_tilt=True)
    assert one.digest == two.digest
