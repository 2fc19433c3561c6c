"""The gate's own walk through compressed frames: what stands there that no decoder reads.

Written from ITU-T T.81 Annex B, T.87 Annex C and ISO/IEC 15444-1 Annex A alone: it shares nothing
with what cleans.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

__all__ = ["frames", "is_table", "remarks"]

# SOI, or SOC and SIZ. A file format around a codestream is none that the Standard has: PS3.5 A.4.4.
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_BEHIND = 0  # where a marker would be: bytes behind the end of the frame
_PADDING = 8  # bytes; of real files the most are 5

# Frames, tables, scans, restart intervals; of JPEG-LS also its frame and its parameters.
_READ = re.compile(rb"[\xc0-\xcf\xda-\xdf\xf7\xf8]")
_MARKER = re.compile(rb"\xff+([\x02-\xfe])")
_AFTER_SCAN = re.compile(rb"\xff(?=[\x80-\xcf\xd8-\xfe])")
# Of the main header and of tile-parts; Parts 2 and 15 of the Standard have some more.
_READ_2000 = re.compile(rb"[\x50-\x53\x55-\x59\x5c-\x63\x70-\x79\x90]")

_NUMBER: Final = rb"\d{1,2}(?:\.\d{1,3}){0,2}\.?"
_SIGNED: Final = rb"|".join(
    (
        rb"(?:Created by )?(?:GDCM/)?OpenJPEG version " + _NUMBER,
        rb"(?:Creator: )?JasPer Version " + _NUMBER,
        rb"Kakadu-v?" + _NUMBER,
        rb"OpenJPH Ver " + _NUMBER,
        rb"LEAD Technologies Inc\. V" + _NUMBER,
        rb"MITRA_DICOM_STANDARD",
    )
)
#: What segments may hold before zeros, by marker.
_HARMLESS: Final = {
    0xE0: re.compile(rb"JFIF(?:\x00[\s\S]{0,7})?|LJIF\x00\x01"),
    0xE8: re.compile(rb"mrfx[\x01-\x05]?"),
    0xEE: re.compile(rb"Adobe[\s\S]{0,7}"),
    0xFE: re.compile(_SIGNED),
    0x64: re.compile(rb"(?:\x00\x01)?(?:%b)?|\x00\x00(?:%b)" % (_SIGNED, _SIGNED)),
    _BEHIND: re.compile(rb"[\s\S]{0,%d}" % _PADDING),
}


def is_table(item: bytes, fragments: Sequence[bytes]) -> bool:
    """Whether the first item of pixel data holds offsets of fragments alone (PS3.5 A.4)."""
    sizes = (8 + len(fragment) for fragment in fragments)  # with tag and length
    starts = set(accumulate(sizes, initial=0))
    offsets = (item[at : at + 4] for at in range(0, len(item), 4))
    return all(int.from_bytes(offset, "little") in starts for offset in offsets)


def frames(fragments: Sequence[bytes]) -> Iterator[bytes]:
    """Fragments put together: each that begins as a stream does begins another frame."""
    frame: list[bytes] = []
    for fragment in fragments:
        if frame and fragment.startswith((_JPEG, _JPEG_2000)):
            yield b"".join(frame)
            frame = []
        frame.append(fragment)
    if frame:
        yield b"".join(frame)


def remarks(frame: bytes) -> Iterator[bytes]:
    """What an application wrote into a frame or behind it. Holds PHI where the frame does.

    Not what codecs sign with, zeros, and what tells of colours.

    Raises
    ------
    ValueError
        The frame cannot be followed any further, or is none that is known here.
    """
    if frame.startswith(_JPEG_2000):
        segments = _of_jpeg_2000(frame)
    elif frame.startswith(_JPEG):
        segments = _of_jpeg(frame)
    else:
        raise ValueError("no frame that is known here")
    for marker, content in segments:
        said = content.rstrip(b"\0")
        harmless = _HARMLESS.get(marker)
        if said and not (harmless and harmless.fullmatch(said)):
            yield content


def _of_jpeg(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Segments that no decoder needs, with what follows the end."""
    at = 2
    while match := _MARKER.match(frame, at):
        marker, at = match[1], match.end()
        if marker == b"\xd9":
            yield _BEHIND, frame[at:]
            return
        content = _content(frame, at)
        at += 2 + len(content)
        if not _READ.match(marker):
            yield marker[0], content
        if marker == b"\xda":
            found = _AFTER_SCAN.search(frame, at)
            if not found:
                return
            at = found.start()
    raise ValueError("no marker where one must be")


def _of_jpeg_2000(frame: bytes) -> Iterator[tuple[int, bytes]]:
    at, behind = 2, 0
    while at < len(frame):
        mark, marker = frame[at : at + 1], frame[at + 1 : at + 2]
        if mark != b"\xff" or not marker:
            raise ValueError("no marker where one must be")
        if marker == b"\xd9":
            yield _BEHIND, frame[at + 2 :]
            return
        if marker == b"\x93":
            if behind <= at:
                raise ValueError("a tile-part of no length")
            at = behind
            continue
        content = _content(frame, at + 2)
        if marker == b"\x90":
            if len(content) != 8:
                raise ValueError("no tile-part")
            length = int.from_bytes(content[2:6], "big")
            behind = at + length if length else len(frame)
        elif not _READ_2000.match(marker):
            yield marker[0], content
        at += 4 + len(content)


def _content(frame: bytes, at: int) -> bytes:
    if at + 2 > len(frame):
        raise ValueError("a segment without a length")
    (length,) = struct.unpack_from(">H", frame, at)
    if length < 2 or at + length > len(frame):
        raise ValueError("a segment reaches beyond the frame")
    return frame[at + 2 : at + length]
