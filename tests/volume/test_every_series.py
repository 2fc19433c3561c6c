"""Every series of the real data, voxel by voxel, against SimpleITK and dcm2niix.

Each disagreement has its reason here, as what turns one's values into the other's, or as a
name in a list of what a tool does not read. A new one fails.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

from hounsfield.dicom.reading import find_files, group_by_series
from hounsfield.errors import HounsfieldError
from hounsfield.volume import Volume, build_volume
from hounsfield.volume.series import parts_of, plans_of
from tests.volume.agreement import on_grid_of, read_nifti

pytestmark = pytest.mark.data

#: SimpleITK's GDCM refuses JPEG-LS frames of several fragments.
ITK_READS_NOT = {
    "CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
    "CT0012.fragmented_no_bot_jpeg_ls.81.dcm",
}
#: dcm2niix 2022-07 as Debian builds it has no JPEG-LS and no deflate, and reads neither some
#: JPEG lossless nor RLE of several frames or fragments (it ends by signal 11), nor JPEG films.
NIIX_READS_NOT = {
    "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm",
    "CT0012.fragmented_no_bot_jpeg_lossless.57.dcm",
    "CT0012.fragmented_no_bot_jpeg_lossless.70.dcm",
    "CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
    "CT0012.fragmented_no_bot_jpeg_ls.81.dcm",
    "CT0012.not_fragmented_bot_jpeg_ls.80.dcm",
    "CT0012.not_fragmented_bot_rle.dcm",
    "CT0012.not_fragmented_no_bot_jpeg_ls.80.dcm",
    "CT0012.not_fragmented_no_bot_rle.dcm",
    "D_CLUNIE_CT1_RLE_FRAGS.dcm",
    "CT1_J2KR.dcm",
    "CT1_JLSL.dcm",
    "CT1_JLSN.dcm",
    "CT1_JPLL.dcm",
    "CT_small_deflated.dcm",
    "MR1_J2KR.dcm",
    "MR1_JLSL.dcm",
    "MR1_JLSN.dcm",
    "MR1_JPLL.dcm",
}
#: Compared in tests/volume/test_agreement.py, where each has its own reason.
NIIX_ELSEWHERE = {
    "ct_head_phantom": "the tilt: it writes rows 8 % too far apart",
    "mr_knee_t1": "Philips' real world values, which it prefers to the rescale",
    "mr_knee_t2": "as mr_knee_t1",
}
#: 19 moments at one place. Both take the frames for slices, ITK of 1 mm spacing for lack of a
#: distance between them, dcm2niix 6 mm apart with the last first.
FRAMES_TAKEN_FOR_SLICES = "MOVEKNEE.dcm"
#: One slice of a gantry that is tilted by 22 degrees: as with ct_head_phantom its rows are not
#: as far apart in dcm2niix's sform as PixelSpacing says, 0.371 mm for 0.431.
NIIX_MOVES = {"J2K_pixelrep_mismatch.dcm"}


def volumes_of(folder: Path, scratch: Path) -> Iterator[tuple[list[Path], Volume]]:
    """Each volume with its files; of series that make none, each file that makes one alone."""
    todo = [
        list(part)
        for plan in plans_of(group_by_series(find_files(folder)))
        if not plan.reason
        for part in parts_of(plan.paths)
    ]
    for number, paths in enumerate(todo):
        try:
            volume = build_volume(paths, scratch / f"v{number}", provenance={})
        except HounsfieldError:
            if len(paths) > 1:
                todo += [[path] for path in paths]
            continue
        yield paths, volume


@pytest.fixture(scope="module")
def every(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[str, list[Path], Volume]]:
    scratch = tmp_path_factory.mktemp("volumes")
    found = [
        (folder.name, paths, volume)
        for folder in sorted(path for path in real_data.iterdir() if path.is_dir())
        for paths, volume in volumes_of(folder, scratch / folder.name)
    ]
    assert len(found) > 80
    return found


def alone(paths: list[Path], folder: Path) -> Path:
    folder.mkdir()
    for path in paths:
        shutil.copy(path, folder)
    return folder


# SimpleITK


def test_simpleitk_agrees_on_every_voxel(
    every: list[tuple[str, list[Path], Volume]], tmp_path: Path
) -> None:
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    unread = set()
    for number, (name, paths, volume) in enumerate(every):
        try:
            image = itk_image(paths, tmp_path / str(number))
        except RuntimeError:
            unread.add(paths[0].name)
            continue
        values = SimpleITK.GetArrayFromImage(image).astype(np.float64)
        ours, slack = as_itk_shows(volume)
        where = f"{name}/{paths[0].name}"
        if volume.axes[-1] == "x" and image.GetNumberOfComponentsPerPixel() == 3:
            values = np.moveaxis(values, -1, -3)
        values = values.reshape(ours.shape)
        if volume.metadata["PhotometricInterpretation"] == "PALETTE COLOR" and values.max() < 256:
            ours = ours >> 8 if ours.max() > 255 else ours  # it keeps the upper byte of 16 bits
        flipped = volume.has_place and is_flipped(volume, itk_affine(image))
        values = np.flip(values, -3) if flipped else values
        np.testing.assert_allclose(ours, values, rtol=1e-6, atol=slack, err_msg=where)
        sheared = name == "ct_head_phantom"  # an ITK image has no shear
        if volume.has_place and not sheared and paths[0].name != FRAMES_TAKEN_FOR_SLICES:
            compare_affines(volume, itk_affine(image), flipped, where)
    assert unread == ITK_READS_NOT


def itk_image(paths: list[Path], folder: Path) -> SimpleITK.Image:
    if len(paths) == 1:
        return SimpleITK.ReadImage(str(paths[0]))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(alone(paths, folder))))
    return reader.Execute()


def itk_affine(image: SimpleITK.Image) -> np.ndarray:
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return affine


def as_itk_shows(volume: Volume) -> tuple[np.ndarray, float]:
    """Values as ITK changes them for display, and how much its rounding allows for."""
    photometric = volume.metadata["PhotometricInterpretation"]
    header = volume.attributes.dataset(0)
    if photometric == "MONOCHROME1":
        # It turns them round within BitsStored, so that bright means much.
        top = 2 ** int(header.BitsStored) - 1
        stored = top - np.asarray(volume.array[...]).astype(np.float64)
        slope, intercept = (
            np.array(part).reshape(-1, *(1 for _ in volume.shape[1:])) if len(part) > 1 else part[0]
            for part in (volume.rescale.slope, volume.rescale.intercept)
        )
        return stored * slope + intercept, 1e-4
    if photometric == "PALETTE COLOR":
        return np.moveaxis(palette(volume, header), -1, -3), 1.0
    if photometric == "YBR_FULL":
        colours = np.moveaxis(np.asarray(volume.array[...]), -3, -1)
        return np.moveaxis(convert_color_space(colours, "YBR_FULL", "RGB"), -1, -3), 3.0
    # Decoders of lossy JPEG may round differently (ISO 10918-1 leaves the last bit open).
    is_dct = header.file_meta.TransferSyntaxUID in (JPEGBaseline8Bit, JPEGExtended12Bit)
    return volume.rescaled(np.float64), 1.0 if is_dct else 1e-4


def palette(volume: Volume, header: Dataset) -> np.ndarray:
    return apply_color_lut(np.asarray(volume.array[...]), header)


def is_flipped(volume: Volume, theirs: np.ndarray) -> bool:
    """Of multi-frame images ITK keeps the frames' order, the volume runs along the normal."""
    return volume.shape[-3] > 1 and float(volume.affine[:3, 2] @ theirs[:3, 2]) < 0


def compare_affines(volume: Volume, theirs: np.ndarray, flipped: bool, where: str) -> None:
    ours = volume.affine
    np.testing.assert_allclose(ours[:, :2], theirs[:, :2], atol=2e-3, err_msg=where)
    if flipped:
        theirs = theirs.copy()
        theirs[:3, 3] += theirs[:3, 2] * (volume.shape[-3] - 1)
        theirs[:3, 2] *= -1
    np.testing.assert_allclose(ours[:, 3], theirs[:, 3], atol=2e-3, err_msg=where)
    if volume.shape[-3] > 1:
        np.testing.assert_allclose(ours[:, 2], theirs[:, 2], atol=2e-3, err_msg=where)
    else:
        # One slice: its thickness here, the spacing that its header states (or 1 mm) there.
        across = [column / np.linalg.norm(column) for column in (ours[:3, 2], theirs[:3, 2])]
        np.testing.assert_allclose(across[0], across[1], atol=2e-3, err_msg=where)


# dcm2niix


def test_dcm2niix_agrees_on_every_stack(
    every: list[tuple[str, list[Path], Volume]],
    tmp_path: Path,
    need_program: Callable[[str], str],
) -> None:
    program = need_program("dcm2niix")
    unread, moved = set(), set()
    for number, (name, paths, volume) in enumerate(every):
        if not volume.has_place or name in NIIX_ELSEWHERE:
            continue
        out = tmp_path / f"{number}-out"
        out.mkdir()
        source = alone(paths, tmp_path / f"{number}-in")
        command = [program, "-z", "n", "-b", "n", "-f", "out", "-o", out, source]
        subprocess.run(command, capture_output=True, timeout=120, check=False)
        if not (out / "out.nii").is_file():
            unread.add(paths[0].name)
            continue
        values, affine = read_nifti(out / "out.nii")
        where = f"{name}/{paths[0].name}"
        if paths[0].name in NIIX_MOVES:
            moved.add(paths[0].name)
            assert np.linalg.norm(affine[:3, 1]) == pytest.approx(0.371, abs=1e-3)
            assert volume.spacing_zyx[1] == 0.431
        elif paths[0].name == FRAMES_TAKEN_FOR_SLICES:
            ours = volume.rescaled(np.float64)[:, 0]
            np.testing.assert_array_equal(ours, values[::-1, ::-1])
        else:
            compare_with_nifti(volume, values, affine, where)
    assert unread == NIIX_READS_NOT
    assert moved == NIIX_MOVES


def compare_with_nifti(volume: Volume, values: np.ndarray, affine: np.ndarray, where: str) -> None:
    """`values` are (z, y, x), or (t, z, y, x)."""
    ours = volume.rescaled(np.float64).reshape(-1, *volume.shape[-3:])
    values = values.reshape(-1, *values.shape[-3:])
    for one, other in zip(ours, values, strict=True):
        np.testing.assert_allclose(
            one, on_grid_of(volume, other, affine), rtol=1e-6, atol=1e-3, err_msg=where
        )
