"""What pixel data hold beyond the frames that the header counts: nobody who looks sees it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from hounsfield.dicom.codecs import PIXEL_KEYWORDS, claimed_bytes, transfer_syntax_of
from hounsfield.dicom.streams import blank, frames_in, is_start
from hounsfield.errors import UndecodablePixels

__all__ = ["surplus"]

# Start of Scan, Start of Data: from there on no two bytes but the marker itself read as it.
_DATA: Final = re.compile(rb"\xff\xda|\xff\x93")
_END: Final = b"\xff\xd9"
_PADDING: Final = 8  # bytes; of real files the most are 5
_MOST_SEGMENTS: Final = 15  # of RLE: PS3.5 Annex G.5
_RLE_HEADER: Final = 64  # bytes


def surplus(dataset: Dataset) -> str:
    """What the pixel data hold that belongs to no frame; empty where that is nothing.

    Parameters
    ----------
    dataset
        With its pixel data, if it has any. Zeros behind a frame are nothing, nor are a few bytes:
        writers pad with what their memory holds.

    Raises
    ------
    UndecodablePixels
        What the header says of a picture cannot be, or the fragments are none.
    """
    held = [content for keyword in PIXEL_KEYWORDS if (content := dataset.get(keyword))]
    if not held:
        return ""
    if len(held) > 1:  # one of them alone: PS3.3 C.7.6.3, C.7.6.24 and C.7.6.25
        return "pixels of two kinds"
    (content,) = held
    syntax = transfer_syntax_of(dataset)
    if not syntax.is_encapsulated:
        return "bytes behind the last frame" if _is_more(content[claimed_bytes(dataset) :]) else ""
    frames = list(_frames(content, is_rle=syntax == RLELossless))
    if len(frames) > int(dataset.get("NumberOfFrames") or 1):
        return "more frames than the header counts"
    is_marked = syntax != RLELossless
    return "bytes behind a frame" if is_marked and any(map(_has_tail, frames)) else ""


def _frames(content: bytes, *, is_rle: bool) -> Iterator[bytes]:
    """The frames, as what begins one tells: a fragment more may be a part of the one before."""
    for parts in frames_in(content, _is_start_of_rle if is_rle else is_start):
        yield b"".join(content[start:stop] for start, stop in parts)


def _is_start_of_rle(fragment: bytes) -> bool:
    if len(fragment) < _RLE_HEADER:
        return False
    segments, first = struct.unpack_from("<2L", fragment)
    return 0 < segments <= _MOST_SEGMENTS and first == _RLE_HEADER


def _has_tail(frame: bytes) -> bool:
    with suppress(UndecodablePixels):  # that is told where comments are blanked
        frame = blank(frame)  # a thumbnail has an end of its own
    data = _DATA.search(frame)
    end = frame.find(_END, data.end()) if data else -1
    return end >= 0 and _is_more(frame[end + len(_END) :])


def _is_more(tail: bytes) -> bool:
    return len(tail) > _PADDING and any(tail)
