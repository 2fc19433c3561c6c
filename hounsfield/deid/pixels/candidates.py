"""Which pixels can carry burned-in text, and how to look for it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from pydicom.dataset import Dataset

__all__ = ["Look", "how_to_look"]


class Look(StrEnum):
    """How an object is looked at."""

    EACH = "each"  # every object by itself
    PROJECTION = "projection"  # a stack of slices through the extremes over all of them
    NONE = "none"  # holds no picture that a person could write on


# Slices of a volume: text is burned in rarely, and then a projection shows it.
_STACKS: Final = frozenset({"CT", "MR", "PT", "NM"})
# Values, not pictures: written by software onto a grid. SOP Class → the Modality that it has; a
# Modality alone may be claimed by anything.
_NOT_PICTURES: Final = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
}
# Values of ImageType (PS3.3 C.7.6.1.1.2) that screenshots and result pages bear.
_SCREENS: Final = frozenset(
    """
    SCREEN SCREENSAVE DOSE_INFO PATIENT_INFO RESULTS REF_SURVIEW LOCALIZER REPORT PROTOCOL
    """.split()  # noqa: SIM905
)
# A value of CT, MR and PT has 16 (PS3.3 C.8.2.1, C.8.3.1, C.8.9.4): with 8 it is a page.
_BITS_OF_SCREENS = 8
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def how_to_look(dataset: Dataset | Mapping[str, Any]) -> Look:
    """From what an object says of itself, by keyword; in doubt, it is looked at by itself."""
    modality = dataset.get("Modality") or ""
    if not dataset.get("PixelData") or modality == _NOT_PICTURES.get(_sop_class(dataset)):
        return Look.NONE
    if modality in _STACKS and not _is_screen(dataset):
        return Look.PROJECTION
    return Look.EACH


def _is_screen(dataset: Dataset | Mapping[str, Any]) -> bool:
    value = dataset.get("ImageType") or ()
    words = {value} if isinstance(value, str) else {str(word) for word in value}
    parts = {part for word in words for part in word.upper().replace(" ", "_").split("_")}
    return (
        _sop_class(dataset).startswith(_SECONDARY_CAPTURE)
        or dataset.get("BurnedInAnnotation") == "YES"
        or int(dataset.get("SamplesPerPixel") or 1) > 1
        or int(dataset.get("BitsAllocated") or 0) == _BITS_OF_SCREENS
        or bool((words | parts) & _SCREENS)
    )


def _sop_class(dataset: Dataset | Mapping[str, Any]) -> str:
    return str(dataset.get("SOPClassUID", ""))
