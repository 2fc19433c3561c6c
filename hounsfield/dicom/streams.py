"""Compressed frames without what applications write into them.

JPEG, JPEG-LS and JPEG 2000 let anybody put comments, cameras and thumbnails between what a
decoder reads. Blanks in their place leave every length as it is: offset tables, fragments and
tile-parts stay right, and a stream in which nobody speaks keeps its bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from pydicom.uid import UID, RLELossless

from hounsfield.errors import UndecodablePixels

__all__ = ["blank", "blank_all", "frames_in", "is_start"]

#: Where something stands: its first byte, and the one behind its last.
Span: TypeAlias = tuple[int, int]

_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_ITEM_HEAD, _ITEM_BYTES = struct.Struct("<HHL"), b"\xfe\xff\x00\xe0"
_BEGINNING: Final = 64  # bytes: as many as tell how a frame begins

# Start of Image (ITU-T T.81 B.1.1.3), of Codestream with its first segment (ISO/IEC 15444-1
# A.4.1, A.5.1), and the signature of a JP2 file (ISO/IEC 15444-1 I.5.1).
_JPEG: Final = b"\xff\xd8"
_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\0\0\0\x0cjP  "

_LENGTH: Final = struct.Struct(">H")
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
# T.81 Table B.1, T.87 Table C.1 (F7, F8): SOFn, DHT, DAC, SOS, DQT, DNL, DRI, DHP, EXP.
_OF_JPEG: Final = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0), 0xF7, 0xF8})
# Behind a scan: neither a stuffed byte nor a restart (T.81 B.1.1.5; T.87 A.1 stuffs bits).
_BEHIND_SCAN: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")

_START_OF_TILE, _START_OF_DATA, _END_OF_CODESTREAM = 0xFF90, 0xFF93, 0xFFD9
_TILE: Final = struct.Struct(">4xHL")  # Isot, Psot (ISO/IEC 15444-1 A.4.2)
# Of Parts 1 (Table A.2), 2 (A.1: 70 to 79) and 15 (A.1: CAP, CPF, PRF); without comments.
_OF_CODESTREAM: Final = frozenset(
    {*range(0xFF50, 0xFF54), *range(0xFF55, 0xFF5A), *range(0xFF5C, 0xFF64), _START_OF_TILE}
    | {*range(0xFF70, 0xFF7A)}
)

# How codecs sign what they write.
_CODECS: Final = (
    rb"(?:Created by |Creator: )?(?:(?:GDCM/)?OpenJPEG version |JasPer Version |Kakadu-v?"
    rb"|OpenJPH Ver |LEAD Technologies Inc\. V)\d{1,2}(?:\.\d{1,3}){0,2}\.?|MITRA_DICOM_STANDARD"
)
# Marker → what may stay at the beginning of its segment: what decoders read of JFIF (without the
# thumbnail; LJIF is the same by a vendor) and of Adobe's marker, the colour transform of JPEG-LS.
_STAYS: Final = {
    0xE0: re.compile(rb"JFIF\x00[\s\S]{7}|LJIF\x00\x01\x00{7}"),
    0xE8: re.compile(rb"mrfx[\x00-\x05]"),
    0xEE: re.compile(rb"Adobe[\s\S]{7}"),
    0xFE: re.compile(_CODECS),
    0xFF64: re.compile(rb"\x00[\x00\x01](?:%b)?" % _CODECS),  # behind Rcom (ISO/IEC 15444-1 A.9.2)
}


def blank_all(content: bytes | memoryview, syntax: UID) -> bytes | memoryview:
    """Pixel data with zeros where applications wrote into its frames.

    Parameters
    ----------
    content
        Value of the pixel data, encapsulated if `syntax` asks for it.

    Returns
    -------
    bytes or memoryview
        Of the same length; `content` itself where nobody wrote anything.

    Raises
    ------
    UndecodablePixels
        The fragments, or the segments of a frame, do not follow one another: nobody can say
        what lies between them.
    """
    if not content or syntax == RLELossless or not _is_encapsulated(content, syntax):
        return content
    result: bytearray | None = None
    for parts in frames_in(content, is_start):
        frame = b"".join(content[start:stop] for start, stop in parts)
        blanked = blank(frame)
        if blanked is frame:
            continue
        result = bytearray(content) if result is None else result
        at = 0
        for start, stop in parts:
            result[start:stop] = blanked[at : at + stop - start]
            at += stop - start
    return content if result is None else bytes(result)


def blank(frame: bytes) -> bytes:
    """One frame, as :func:`blank_all`; that of a JP2 file is its codestream (PS3.5 A.4.4)."""
    try:
        if frame.startswith(_JP2):
            return blank(_codestream(frame).ljust(len(frame), b"\0"))
        if frame.startswith(_CODESTREAM):
            spans = list(_in_codestream(frame))
        elif frame.startswith(_JPEG):
            spans = list(_in_jpeg(frame))
        else:
            raise ValueError("no stream that is known here")
    except (ValueError, IndexError, struct.error):
        raise UndecodablePixels(
            "a compressed frame cannot be searched for comments",
            remedy="ask its source for it again, or for another transfer syntax",
        ) from None
    spans = [(start, stop) for start, stop in spans if any(frame[start:stop])]
    if not spans:
        return frame
    blanked = bytearray(frame)
    for start, stop in spans:
        blanked[start:stop] = bytes(stop - start)
    return bytes(blanked)


def is_start(fragment: bytes) -> bool:
    """Whether a fragment begins a frame: no other has these bytes at its beginning."""
    return fragment.startswith((_JPEG, _CODESTREAM, _JP2))


def frames_in(content: bytes | memoryview, begins: Callable[[bytes], bool]) -> Iterator[list[Span]]:
    """Where the fragments of each frame stand in encapsulated pixel data (PS3.5 Annex A.4).

    Parameters
    ----------
    begins
        Whether a fragment, of which it gets the first bytes, begins a frame.

    Raises
    ------
    UndecodablePixels
        They are no fragments, or the Basic Offset Table, their first item, is none.
    """
    table, *fragments = _items(content) or [(0, 0)]
    _check_table(bytes(content[slice(*table)]), fragments)
    found: list[Span] = []
    for start, stop in fragments:
        if found and begins(bytes(content[start : min(stop, start + _BEGINNING)])):
            yield found
            found = []
        found.append((start, stop))
    if found:
        yield found


def _is_encapsulated(content: bytes | memoryview, syntax: UID) -> bool:
    try:
        return bool(syntax.is_encapsulated)
    except ValueError:  # no syntax that pydicom knows
        return bytes(content[:4]) == _ITEM_BYTES


def _items(content: bytes | memoryview) -> list[Span]:
    at, items = 0, []
    while at + _ITEM_HEAD.size <= len(content):
        group, element, length = _ITEM_HEAD.unpack_from(content, at)
        tag, at = group << 16 | element, at + _ITEM_HEAD.size
        if tag == _DELIMITER:
            break
        if tag != _ITEM or at + length > len(content):
            raise UndecodablePixels("the pixel data are no fragments, as their syntax asks")
        items.append((at, at + length))
        at += length
    return items


def _check_table(table: bytes, fragments: list[Span]) -> None:
    """Refuses a Basic Offset Table that tells anything but where fragments begin."""
    first = fragments[0][0] if fragments else 0
    starts = {start - first for start, _ in fragments}
    if len(table) % 4 or any(at not in starts for (at,) in struct.iter_unpack("<L", table)):
        raise UndecodablePixels(
            "the offset table of the pixel data is none", remedy="ask its source for it again"
        )


def _in_jpeg(frame: bytes) -> Iterator[Span]:
    """What applications wrote into JPEG or JPEG-LS, from marker to marker (T.81 B.1.1)."""
    at = len(_JPEG)
    while True:
        marker, at = _marker(frame, at)
        if marker == _END_OF_IMAGE:
            return
        stop = _end_of_segment(frame, at)
        if marker not in _OF_JPEG:
            yield _written(frame, marker, at + _LENGTH.size, stop)
        at = stop
        if marker == _START_OF_SCAN:
            behind = _BEHIND_SCAN.search(frame, at)
            if behind is None:  # the scan lasts to the end
                return
            at = behind.start()


def _marker(frame: bytes, at: int) -> tuple[int, int]:
    """A marker, with fill bytes before it (T.81 B.1.1.2), and where its segment begins."""
    if frame[at] != 0xFF:
        raise ValueError("no marker")
    while frame[at] == 0xFF:
        at += 1
    return frame[at], at + 1


def _in_codestream(frame: bytes) -> Iterator[Span]:
    """What applications wrote into the headers of JPEG 2000 (ISO/IEC 15444-1 Annex A)."""
    at, end_of_tile = 2, 0
    while at < len(frame):  # some streams end with their last tile-part
        (marker,) = _LENGTH.unpack_from(frame, at)
        if marker == _END_OF_CODESTREAM:
            return
        if marker == _START_OF_DATA:
            if end_of_tile <= at:
                raise ValueError("a tile-part ends before its data")
            at = end_of_tile
            continue
        if marker == _START_OF_TILE:
            _, length = _TILE.unpack_from(frame, at)
            end_of_tile = at + length if length else len(frame)  # zero: up to the end
        stop = _end_of_segment(frame, at + 2)
        if marker not in _OF_CODESTREAM:
            yield _written(frame, marker, at + 2 + _LENGTH.size, stop)
        at = stop


def _end_of_segment(frame: bytes, at: int) -> int:
    (length,) = _LENGTH.unpack_from(frame, at)
    if length < _LENGTH.size or at + length > len(frame):
        raise ValueError("a segment has no such length")
    return int(at + length)


def _written(frame: bytes, marker: int, start: int, stop: int) -> Span:
    """The content of a segment without what may stay of it."""
    stays = _STAYS[marker].match(frame, start, stop) if marker in _STAYS else None
    return (stays.end() if stays else start), stop


def _codestream(frame: bytes) -> bytes:
    """The codestream of a JP2 file (ISO/IEC 15444-1 Annex I)."""
    at = 0
    while True:
        length, kind = struct.unpack_from(">L4s", frame, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", frame, start)
            start += 8
        stop = at + length if length else len(frame)  # zero: up to the end
        if not start <= stop <= len(frame):
            raise ValueError("a box has no such length")
        if kind == b"jp2c":
            stream = frame[start:stop]
            if not stream.startswith(_CODESTREAM):
                raise ValueError("no codestream")
            return stream
        at = stop
