"""Dummy values: not empty, right for the VR, and the same for everybody."""

from __future__ import annotations

from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

__all__ = ["EMPTY_VALUES", "REMOVED", "dummy_content", "dummy_graphics", "dummy_value"]

REMOVED = "REMOVED"

# A date that is in the calendar and that nobody takes for real. 00010101, which others write,
# is refused by dciodvfy and by most databases.
_VALUES: Final[dict[str, Any]] = {
    "AS": "000Y",
    "AT": 0,
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "FD": 0.0,
    "FL": 0.0,
    "IS": "0",
    "SL": 0,
    "SS": 0,
    "SV": 0,
    "TM": "000000",
    "UL": 0,
    "UR": "urn:removed",
    "US": 0,
    "UV": 0,
    "OB": b"\0\0",
    "OD": b"\0" * 8,
    "OF": b"\0" * 4,
    "OL": b"\0" * 4,
    "OV": b"\0" * 8,
    "OW": b"\0\0",
    "UN": b"\0\0",
}

EMPTY_VALUES: Final[dict[str, Any]] = {
    "SQ": (),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), b""),
}


def dummy_value(vr: str) -> Any:
    """The dummy of a VR; text says that something was removed. Not for UI and SQ."""
    return _VALUES.get(vr, REMOVED)


def dummy_content() -> Sequence:
    """A ContentSequence of one text item (PS3.3 Section C.17.3): valid, and says nothing."""
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121106", "DCM", "Comment"
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = Sequence([name])
    item.TextValue = REMOVED
    return Sequence([item])


def dummy_graphics() -> Sequence:
    """A GraphicAnnotationSequence of one text object (PS3.3 Section C.10.5).

    It lies in the layer that all layers are called by where graphics go.
    """
    text = Dataset()
    text.UnformattedTextValue = REMOVED
    text.AnchorPointAnnotationUnits = "DISPLAY"
    text.AnchorPoint = [0.0, 0.0]
    text.AnchorPointVisibility = "N"
    item = Dataset()
    item.GraphicLayer = REMOVED
    item.TextObjectSequence = Sequence([text])
    return Sequence([item])
