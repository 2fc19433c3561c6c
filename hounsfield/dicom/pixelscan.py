"""Whether the pixels of an instance are all there, decode, and say anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import MPEGTransferSyntaxes

from hounsfield.dicom.codecs import PIXEL_KEYWORDS, decode, transfer_syntax_of
from hounsfield.dicom.headerscan import int_or
from hounsfield.errors import UndecodablePixels

__all__ = ["PIXEL_COLUMNS", "scan_pixels"]

PIXEL_COLUMNS = (
    "has_pixels",  # there is a Pixel Data element of some kind
    "pixel_bytes_expected",  # by Rows, Columns and the like; null where compressed
    "pixel_bytes_found",  # null where compressed
    "pixels_whole",  # no fewer bytes than the header announces; null where compressed
    "decodes",  # every frame decodes; null where not tried
    "constant",  # all stored values are one value
    "min_stored",
    "max_stored",
)

_VIDEO = frozenset(MPEGTransferSyntaxes)
_BYTES_PER_VALUE = {"FloatPixelData": 4, "DoubleFloatPixelData": 8}


def scan_pixels(path: Path, *, decode_all: bool = True) -> dict[str, Any]:
    """`PIXEL_COLUMNS` of one file; what could not be found out is left out.

    Parameters
    ----------
    path
        A DICOM file; of a damaged one, as much as can be read counts.
    decode_all
        Decode every frame, one by one; else only the lengths are compared.
    """
    try:
        dataset = dcmread(path, force=True)
        keyword = next((name for name in PIXEL_KEYWORDS if name in dataset), None)
        value = None if keyword is None else dataset[keyword].value
        syntax = transfer_syntax_of(dataset)
    except Exception:  # pydicom raises whatever the bytes lead it to
        return {"decodes": False}
    if keyword is None:
        return {"has_pixels": False}
    columns: dict[str, Any] = {"has_pixels": True}
    if not syntax.is_encapsulated:
        columns.update(_lengths(dataset, keyword, len(value or b"")))
    # A video stream is not frames: whether it plays is not for this table to say.
    if decode_all and columns.get("pixels_whole") is not False and syntax not in _VIDEO:
        columns.update(_decode(dataset))
    return columns


def _lengths(dataset: Dataset, keyword: str, found: int) -> dict[str, Any]:
    try:
        if keyword in _BYTES_PER_VALUE:
            expected = get_expected_length(dataset, unit="pixels") * _BYTES_PER_VALUE[keyword]
        else:
            expected = get_expected_length(dataset)
    except (AttributeError, TypeError, ValueError):
        expected = None
    if not isinstance(expected, int):
        return {}  # The attributes that would tell are missing or odd: another check says so.
    return {
        "pixel_bytes_expected": expected,
        "pixel_bytes_found": found,
        "pixels_whole": found >= expected,
    }


def _decode(dataset: Dataset) -> dict[str, Any]:
    low, high = np.inf, -np.inf
    try:
        for frame in range(max(1, int_or(dataset.get("NumberOfFrames"), 1))):
            values = decode(dataset, frame=frame)
            low, high = min(low, values.min()), max(high, values.max())
    except UndecodablePixels:
        return {"decodes": False}
    return {
        "decodes": True,
        "constant": bool(low == high),
        "min_stored": float(low),
        "max_stored": float(high),
    }
