"""Volumes of real series against dcm2niix and SimpleITK, voxel by voxel."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hounsfield.dicom.reading import find_files
from hounsfield.errors import GeometryError
from hounsfield.volume import Volume, build_volume
from tests.volume.agreement import compare_with_dcm2niix, compare_with_simpleitk

pytestmark = pytest.mark.data

WHOLE = [
    "ct_head_phantom",
    "mr_brain_flair",
    "mr_fruit_ge",
    "mr_knee_t1",
    "mr_knee_t2",
    "pt_nema_phantom_1",
    "enh_mr_xa10",
]


@pytest.fixture(scope="module", params=WHOLE)
def series(
    request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Volume]:
    """Name, a folder with the files alone, and the volume."""
    name = request.param
    root = tmp_path_factory.mktemp(name)
    paths = list(find_files(real_data / name))
    if name == "enh_mr_xa10":
        paths = paths[:1]  # four time points under one series
    (root / "in").mkdir()
    for path in paths:
        shutil.copy(path, root / "in")
    return name, root / "in", build_volume(paths, root / "v", provenance={})


def test_dcm2niix_agrees(
    series: tuple[str, Path, Volume], tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    name, folder, volume = series
    compare_with_dcm2niix(name, folder, volume, need_program("dcm2niix"), tmp_path)


def test_simpleitk_agrees(series: tuple[str, Path, Volume]) -> None:
    compare_with_simpleitk(*series)


def test_positions_are_the_headers(series: tuple[str, Path, Volume]) -> None:
    _, _, volume = series
    table = volume.attributes
    for index in range(len(table.instances)):
        position = table.dataset(index).get("ImagePositionPatient")
        if position is not None:
            placed = volume.affine @ [0, 0, index, 1]
            np.testing.assert_allclose(placed[:3], position, atol=0.03)


def test_what_makes_no_single_volume(real_data: Path, tmp_path: Path) -> None:
    for name, message in {
        "enh_mr_emri": "states no position",
        "us_us1": "make no one volume",
        "obj_ecg": "a waveform",
    }.items():
        with pytest.raises(GeometryError, match=message):
            build_volume(list(find_files(real_data / name)), tmp_path / "v", provenance={})
