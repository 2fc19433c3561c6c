"""What is set in the pixels beside the stored values: overlays were drawn there once.

A decoder gives the values alone (PS3.5 Section 8.1.1), so no picture shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    RLELossless,
)

from hounsfield.dicom.codecs import decode_words
from hounsfield.dicom.reading import read_header
from hounsfield.errors import UndecodablePixels, UnreadableFile
from hounsfield.gate.elements import Element
from hounsfield.gate.report import Finding, place_of

__all__ = ["check_words"]

_TRANSFER_SYNTAX, _PIXEL_DATA = 0x00020010, 0x7FE00010
_ALLOCATED, _STORED, _HIGH_BIT, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
#: Compressed words that a decoder cuts to their values; what is in others, it shows.
_CODED: Final = frozenset({RLELossless, JPEGLossless, JPEGLosslessSV1})


def check_words(
    check: str, path: Path, elements: Sequence[Element], instance: str
) -> list[Finding]:
    """A finding where an output file has bits set beside its stored values.

    Parameters
    ----------
    check
        That it belongs to.
    elements
        Of the file.
    instance
        Its new SOPInstanceUID.
    """
    top = {element.tag: element for element in elements if len(element.path) == 1}
    layout = _Layout.of(top)
    rule = ""
    try:
        if layout.has_unused and layout.is_more_set(_words(path, layout, top[_PIXEL_DATA])):
            rule = "bits beside the stored values"
    except (UndecodablePixels, UnreadableFile):
        rule = "pixels that cannot be decoded"
    return [Finding(check, rule, place_of((_PIXEL_DATA,)), object=instance)] if rule else []


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a value lies in its word, by what an object says; all 0 where it has no pixels."""

    syntax: str
    allocated: int = 0
    stored: int = 0
    high_bit: int = 0
    signed: int = 0

    @classmethod
    def of(cls, top: Mapping[int, Element]) -> Self:
        syntax = top[_TRANSFER_SYNTAX].text if _TRANSFER_SYNTAX in top else ""
        if _PIXEL_DATA not in top or (top[_PIXEL_DATA].encapsulated and syntax not in _CODED):
            return cls(syntax)
        tags = (_ALLOCATED, _STORED, _HIGH_BIT, _SIGNED)
        values = (top[tag].value[:2] if tag in top else b"" for tag in tags)
        if syntax == ExplicitVRBigEndian:
            return cls(syntax, *(int.from_bytes(value, "big") for value in values))
        return cls(syntax, *(int.from_bytes(value, "little") for value in values))

    @property
    def has_unused(self) -> bool:
        return self.allocated in (8, 16, 32, 64) and 0 < self.stored < self.allocated

    @property
    def dtype(self) -> np.dtype:
        """Of a word in native pixels, its sign apart."""
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        return np.dtype(f"{order}u{self.allocated // 8}")

    def is_more_set(self, words: np.ndarray) -> bool:
        """Whether a word is more than its value, and than a sign that is repeated in all.

        Where values end above BitsStored, the bits there are seen by no decoder here: none may
        be set, nor any below the value.
        """
        lowest = max(0, self.high_bit - self.stored + 1)
        value = ((1 << self.stored) - 1) >> lowest << lowest
        others = (1 << self.allocated) - 1 - value
        if not int(np.bitwise_or.reduce(words, axis=None)) & others:
            return False
        signs = words >> (self.stored - 1) & 1
        repeated = signs * ((1 << self.allocated) - (1 << self.stored))
        return lowest > 0 or self.signed != 1 or not np.array_equal(words & others, repeated)


def _words(path: Path, layout: _Layout, pixels: Element) -> np.ndarray:
    if pixels.encapsulated or layout.syntax == DeflatedExplicitVRLittleEndian:
        return decode_words(read_header(path, stop_before_pixels=False))
    begin, end = pixels.extent
    size = (end - begin) // layout.dtype.itemsize * layout.dtype.itemsize
    return np.memmap(path, np.uint8, "r")[begin : begin + size].view(layout.dtype)
