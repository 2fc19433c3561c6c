"""Comparing a volume with what dcm2niix and SimpleITK make of the same files."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from hounsfield.volume import Volume

__all__ = ["compare_with_dcm2niix", "compare_with_simpleitk", "on_grid_of", "read_nifti"]


def compare_with_dcm2niix(
    name: str, folder: Path, volume: Volume, program: str, scratch: Path
) -> None:
    """Every voxel and the affine.

    Parameters
    ----------
    name
        Of the folder of real data, since some of them need a word.
    folder
        The files of the series, and no other.
    program
        Path of dcm2niix, which writes into `scratch`.
    """
    command = [program, "-z", "n", "-b", "n", "-f", "out", "-o", scratch, folder]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    values, affine = read_nifti(scratch / "out.nii")
    if name == "ct_head_phantom":
        np.testing.assert_array_equal(volume.rescaled(), values[:, ::-1])
        _compare_with_tilt_corrected(volume, scratch / "out_Tilt_1.nii")
        return
    ours = volume.rescaled(np.float64)
    if name.startswith("mr_knee"):
        # dcm2niix prefers Philips' RealWorldValueMappingSequence to the rescale, of which
        # these have none. The volume keeps stored values; the mapping is in its attributes.
        mapping = volume.attributes.dataset(0).RealWorldValueMappingSequence[0]
        ours = ours * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    np.testing.assert_allclose(ours, on_grid_of(volume, values, affine), rtol=1e-6, atol=1e-4)


def compare_with_simpleitk(name: str, folder: Path, volume: Volume) -> None:
    """Every voxel and the affine; arguments as above."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    values = SimpleITK.GetArrayFromImage(image)
    values = values[0] if values.ndim == 4 else values
    ours = volume.rescaled(np.float64)
    if volume.metadata["PhotometricInterpretation"] == "MONOCHROME1":
        # ITK turns MONOCHROME1 round, so that bright means much: for this PET phantom, whose
        # header was rewritten, activity would be 65,535 less itself. The volume keeps stored
        # values and says how they are to be shown.
        assert name == "pt_nema_phantom_1"
        slope = np.array(volume.rescale.slope)[:, None, None]
        ours = (65535 - volume.array[:].astype(np.float64)) * slope
    np.testing.assert_allclose(ours, values, rtol=1e-6, atol=1e-4)

    dimension = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    if name == "ct_head_phantom":
        # An ITK image has orthogonal axes: it stacks the tilted slices along their normal, so
        # that the last of 58 lies 40 mm in front of where its header says.
        np.testing.assert_allclose(volume.affine[:, [0, 1, 3]], affine[:, [0, 1, 3]], atol=1e-3)
        shear = 57 * np.linalg.norm(volume.affine[:3, 2] - affine[:3, 2])
        assert shear == pytest.approx(57 * 2.5 * 2 * np.sin(np.radians(16.5 / 2)), rel=1e-3)
        return
    # The knees and the head round their positions: ITK's third column is the exact normal,
    # the volume's the step that the positions have, up to 0.03 mm apart over the whole stack.
    np.testing.assert_allclose(volume.affine[:3, 3], affine[:3, 3], atol=1e-4)
    np.testing.assert_allclose(volume.affine, affine, atol=2e-3)


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values as ([t,] z, y, x), scaled, and the affine to LPS, of a NIfTI-1 file.

    Read by hand: ITK makes the axes of the sform orthogonal, and so loses a gantry's tilt.
    """
    content = path.read_bytes()
    x, y, z, t = struct.unpack_from("<4h", content, 42)
    t = max(1, t)  # 0 in a file of three dimensions that dcm2niix righted
    shape = (t, z, y, x) if t > 1 else (z, y, x)
    (kind,) = struct.unpack_from("<h", content, 70)
    offset, slope, intercept = struct.unpack_from("<3f", content, 108)
    dtype = {4: "<i2", 16: "<f4", 512: "<u2"}[kind]
    values = np.frombuffer(content, dtype, x * y * z * t, int(offset)).reshape(shape)
    affine = np.eye(4)
    affine[:3] = np.array(struct.unpack_from("<12f", content, 280)).reshape(3, 4)
    affine[:2] *= -1  # NIfTI's x and y grow to the right and to the front
    return values * (slope or 1.0) + intercept, affine


def on_grid_of(volume: Volume, values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """`values`, axes (z, y, x), turned and flipped onto the volume's voxels."""
    # Index (x, y, z) of the volume → index of the other: whole voxels, or they disagree.
    mapping = np.linalg.inv(affine) @ volume.affine
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float).T
    corners[:3] *= np.array(volume.shape[-3:][::-1])[:, None] - 1
    away = np.abs(mapping @ corners - np.round(mapping) @ corners)
    assert away[:3].max() < 0.01, "the voxels lie elsewhere in the patient"
    turn = np.round(mapping[:3, :3]).astype(int)
    axes = [int(np.flatnonzero(turn[:, axis])[0]) for axis in range(3)]
    moved = values.transpose(2, 1, 0).transpose(axes)
    for axis in range(3):
        if turn[axes[axis], axis] < 0:
            moved = np.flip(moved, axis)
    return moved.transpose(2, 1, 0)


def _compare_with_tilt_corrected(volume: Volume, path: Path) -> None:
    """The affine's shear against the slices that dcm2niix moved by interpolation.

    dcm2niix 2022-07 writes a tilted CT twice. The file as scanned has the voxels, but an sform
    whose rows are 8 % too far apart. In the corrected one each slice is moved along its columns
    onto an orthogonal grid. That grid's axes, and how far each slice was moved, agree with
    the volume; its origin does not, which is some 32 slices down the stack.
    """
    values, affine = read_nifti(path)
    mapping = np.linalg.inv(affine) @ volume.affine
    rows_a_slice = mapping[1, 2]
    expected = [[1, 0, 0], [0, -1, rows_a_slice], [0, 0, 1]]
    np.testing.assert_allclose(mapping[:3, :3], expected, atol=1e-4)
    assert volume.metadata["gantry_tilt_degrees"] == pytest.approx(16.5, abs=1e-3)
    assert rows_a_slice == pytest.approx(-2.5 * np.sin(np.radians(16.5)) / 0.40625, abs=1e-4)
    count = volume.shape[0]
    hounsfield_units = volume.rescaled(np.float64)[:, ::-1]
    for index in range(0, count, 8):
        source = np.arange(values.shape[1]) + (count - 1 - index) * rows_a_slice
        low = np.floor(source).astype(int)
        inside = (low >= 0) & (low + 1 < volume.shape[1])
        low, weight = low[inside], (source - low)[inside, None]
        plane = hounsfield_units[index]
        moved = plane[low] * (1 - weight) + plane[low + 1] * weight
        np.testing.assert_allclose(moved, values[index][inside], atol=0.6)  # it rounds
