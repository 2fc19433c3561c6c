"""Uncompressed pixels straight from the file into their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hounsfield.dicom.alike import NativePixels
from hounsfield.dicom.codecs import MAX_FRAME_BYTES, pixel_dtype
from hounsfield.errors import StoreUnavailable, UndecodablePixels

__all__ = ["NativeFrames", "native_frames", "read_frames"]


#: What a header must say for its pixels to be values as they lie there.
_PLAIN: Final = {
    "SamplesPerPixel": (1,),
    "PixelRepresentation": (0, 1),
    "PhotometricInterpretation": ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"),
}


@dataclass(frozen=True, slots=True)
class NativeFrames:
    """The frames of uncompressed pixel data of one sample a pixel.

    Attributes
    ----------
    offset
        Of the first, in bytes.
    frame_bytes
        Of each.
    unused_bits
        BitsAllocated less BitsStored: what lies in them is no part of the value (PS3.5
        Section 8.1.1).
    """

    offset: int
    frame_bytes: int
    unused_bits: int


def native_frames(header: Any, pixels: NativePixels, frames: int) -> NativeFrames | None:
    """How to read frames without a codec; None where a decoder had better look at them.

    Parameters
    ----------
    header
        Answers to ``get``, by keyword.
    """
    dtype = pixel_dtype(header)
    allocated, stored = header.get("BitsAllocated"), header.get("BitsStored")
    if dtype.kind == "f" or allocated not in (8, 16, 32):
        return None
    if not isinstance(stored, int) or not 0 < stored <= allocated:
        return None
    if any(header.get(keyword) not in allowed for keyword, allowed in _PLAIN.items()):
        return None
    frame_bytes = int(header.get("Rows")) * int(header.get("Columns")) * dtype.itemsize
    if frame_bytes > MAX_FRAME_BYTES or frame_bytes * frames > pixels.length:
        return None
    return NativeFrames(pixels.offset, frame_bytes, allocated - stored)


def read_frames(path: Path, wanted: list[tuple[NativeFrames, int]], out: list[np.ndarray]) -> None:
    """Reads frames of one file into arrays of their size.

    Parameters
    ----------
    wanted
        Frames, with their zero-based numbers.
    out
        For each of them a C-contiguous array in this machine's byte order, to be filled.

    Raises
    ------
    UndecodablePixels
        The file is shorter than it was when its header was read.
    StoreUnavailable
        The file could not be read at all.
    """
    try:
        with path.open("rb", buffering=0) as file:
            for (native, frame), values in zip(wanted, out, strict=True):
                file.seek(native.offset + frame * native.frame_bytes)
                if file.readinto(values.data.cast("B")) != native.frame_bytes:
                    raise UndecodablePixels("a file became shorter while it was read")
                _drop_unused(values, native.unused_bits)
    except OSError as error:
        raise StoreUnavailable(f"a file could not be read: {error.strerror}") from None


def _drop_unused(values: np.ndarray, bits: int) -> None:
    if bits:
        np.left_shift(values, bits, out=values)
        np.right_shift(values, bits, out=values)
