"""The scale of pictures that have no place in the patient: projections, ultrasound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset

from hounsfield.dicom.geometry import LARGEST

__all__ = ["PictureScale", "picture_scale"]

#: The first that is stated counts. What it measures differs: the object, the detector, the film.
_SPACINGS: Final = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True, slots=True)
class PictureScale:
    """How large the pixels of a picture are, and how long its frames last.

    Attributes
    ----------
    spacing_yx
        mm between rows, then columns; None where it is not stated.
    spacing_source
        The attribute that states it; empty where none does.
    frame_seconds
        From one frame to the next; None where it is not stated or varies.
    """

    spacing_yx: tuple[float, float] | None
    spacing_source: str
    frame_seconds: float | None


def picture_scale(dataset: Dataset) -> PictureScale:
    """The scale that a header states (PS3.3 10.7, C.7.6.5)."""
    for keyword in _SPACINGS:
        values = _positive(dataset.get(keyword), 2)
        if values:
            return PictureScale((values[0], values[1]), keyword, _frame_seconds(dataset))
    region = _one_region(dataset)
    if region:
        return PictureScale(region, "SequenceOfUltrasoundRegions", _frame_seconds(dataset))
    return PictureScale(None, "", _frame_seconds(dataset))


def _one_region(dataset: Dataset) -> tuple[float, float] | None:
    """Of an ultrasound whose only region is measured in cm (PS3.3 C.8.5.5)."""
    regions = dataset.get("SequenceOfUltrasoundRegions") or []
    if len(regions) != 1 or {
        regions[0].get("PhysicalUnitsXDirection"),
        regions[0].get("PhysicalUnitsYDirection"),
    } != {3}:
        return None
    deltas = [regions[0].get("PhysicalDeltaY"), regions[0].get("PhysicalDeltaX")]
    values = _positive([abs(d) if isinstance(d, float) else d for d in deltas], 2)
    return (values[0] * 10, values[1] * 10) if values else None


def _frame_seconds(dataset: Dataset) -> float | None:
    values = _positive([dataset.get("FrameTime")], 1)
    return values[0] / 1000 if values else None


def _positive(values: Any, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    sound = len(numbers) == count and all(0 < n < LARGEST for n in numbers)
    return numbers if sound else None
