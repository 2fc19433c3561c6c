"""CT Image objects from a chest: one file a slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from hounsfield.phantom.chest import ChestPhantom, chest_volume
from hounsfield.phantom.habits import Habit
from hounsfield.phantom.headers import Visit, encoded, header

__all__ = ["SERIES_NUMBER", "SIDE", "Acquisition", "Instance", "ct_series", "scan"]

#: Rows and columns of a slice.
SIDE = 512
#: Outside the reconstructed circle, in files of signed values.
_PADDING = -2000
#: Series 1 would be the localizer.
SERIES_NUMBER = 2


@dataclass(frozen=True)
class Instance:
    """One file: its InstanceNumber, its SOPInstanceUID and its bytes."""

    number: int
    sop_instance_uid: str
    content: bytes


@dataclass(frozen=True)
class Acquisition:
    """What is scanned: numbers for `chest_volume`, with slices `thickness_mm` apart."""

    slices: int
    thickness_mm: float
    lesions: int
    emphysema: float
    contrast: bool


def scan(acquisition: Acquisition, habit: Habit, seed: int) -> ChestPhantom:
    """The chest of patient `seed` on the grid of a clinical scan, 512 x 512 a slice."""
    # A table position: no scanner has its origin in the middle of the chest.
    table = np.random.default_rng([seed, 99]).integers(-2800, -600)
    half = (SIDE - 1) / 2 * habit.pixel_mm
    return chest_volume(
        seed,
        shape=(acquisition.slices, SIDE, SIDE),
        spacing_zyx=(acquisition.thickness_mm, habit.pixel_mm, habit.pixel_mm),
        origin_lps=(-half + 1.5, -half - 162.0, float(table) / 2),
        lesions=acquisition.lesions,
        emphysema=acquisition.emphysema,
        contrast=acquisition.contrast,
        noise_hu=habit.noise_hu,
        sharpness=habit.sharpness,
    )


def ct_series(visit: Visit, acquisition: Acquisition, phantom: ChestPhantom) -> Iterator[Instance]:
    """The files of one CT series.

    Slices come in the order of the volume, feet first; InstanceNumber follows the maker's
    habit.
    """
    habit = visit.habit
    dataset = _series_header(visit, acquisition)
    stored = _stored(phantom.hu, signed=habit.signed)
    count = len(stored)
    for index, plane in enumerate(stored):
        number = index + 1 if habit.headwards else count - index
        uid = visit.uid("series", SERIES_NUMBER, "slice", index)
        position = phantom.affine @ (0, 0, index, 1)
        dataset.SOPInstanceUID = uid
        dataset.InstanceNumber = number
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position[:3]]
        dataset.SliceLocation = f"{position[2]:.3f}"
        dataset.PixelData = plane.tobytes()
        yield Instance(number, uid, encoded(dataset, habit.transfer_syntax))


def _series_header(visit: Visit, acquisition: Acquisition) -> Dataset:
    habit, mm = visit.habit, acquisition.thickness_mm
    dataset = header(
        visit,
        CTImageStorage,
        "CT",
        series=SERIES_NUMBER,
        description=habit.series_description,
        mm=mm,
    )
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.AcquisitionNumber = 1
    dataset.FrameOfReferenceUID = visit.uid("frame of reference")
    dataset.PositionReferenceIndicator = "SN" if habit.name == "ge" else ""
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [habit.pixel_mm, habit.pixel_mm]
    dataset.SliceThickness = mm
    dataset.SpacingBetweenSlices = mm
    _technique(dataset, habit)
    if acquisition.contrast:
        dataset.ContrastBolusAgent = "Iohexol 300"
        dataset.ContrastBolusRoute = "IV"
    _pixel_module(dataset, signed=habit.signed)
    for block in habit.private:
        block.add_to(dataset, visit.patient)
    return dataset


def _technique(dataset: Dataset, habit: Habit) -> None:
    dataset.ScanOptions = "HELICAL MODE"
    dataset.KVP = 120
    dataset.DataCollectionDiameter = 500
    dataset.ReconstructionDiameter = habit.pixel_mm * SIDE
    dataset.GantryDetectorTilt = 0
    dataset.TableHeight = "162"
    dataset.RotationDirection = "CW"
    dataset.ExposureTime = 500
    dataset.XRayTubeCurrent = 210
    dataset.Exposure = 105
    dataset.FilterType = "BODY FILTER"
    dataset.ConvolutionKernel = list(habit.kernel)


def _pixel_module(dataset: Dataset, *, signed: bool) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16 if signed else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(signed)
    if signed:
        dataset.PixelPaddingValue = _PADDING
    dataset.RescaleIntercept = 0 if signed else -1024
    dataset.RescaleSlope = 1
    dataset.RescaleType = "HU"
    dataset.WindowCenter = [40, -600]
    dataset.WindowWidth = [400, 1500]


def _stored(hu: NDArray[np.int16], *, signed: bool) -> NDArray[np.int16] | NDArray[np.uint16]:
    """Stored values (z, y, x) of `hu`, little endian."""
    if not signed:
        return (hu + 1024).astype("<u2")
    from_middle = np.arange(SIDE) - (SIDE - 1) / 2
    outside = np.hypot(from_middle[:, None], from_middle[None]) > SIDE / 2
    return np.where(outside, np.int16(_PADDING), hu).astype("<i2")
