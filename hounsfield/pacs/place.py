"""Where an instance belongs: read from its first bytes, however it is encoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.dsutils import split_dataset

from hounsfield.errors import UnreadableFile
from hounsfield.records import InstanceEntry
from hounsfield.store.product import file_digest

__all__ = ["ENCODINGS", "Place", "identity_of", "place_of", "read_landed"]

# How data sets of a private transfer syntax may be encoded, as a syntax that is encoded so.
ENCODINGS: Mapping[str, str] = {
    "explicit": str(ExplicitVRLittleEndian),
    "implicit": str(ImplicitVRLittleEndian),
    "big-endian": str(ExplicitVRBigEndian),
    "deflated": str(DeflatedExplicitVRLittleEndian),
}
# Deflated as a whole: these, and the JPIP references (PS3.5 Annex A.5, A.7, A.11).
_DEFLATED = frozenset(
    (str(DeflatedExplicitVRLittleEndian), "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
)
_INFLATED = 1 << 20  # bytes of a deflated data set in which the attributes below must lie
_DEFERRED = 1 << 16  # bytes of a value above which it is passed by
_PARSED = 1 << 20  # bytes that pydicom may go through
_HEAD = 1 << 15  # bytes that are read at once, in the hope that they suffice
# By tag, in ascending order; what lies behind the last need not be read.
_WANTED: Mapping[int, str] = {
    0x00080018: "SOPInstanceUID",
    0x00080020: "StudyDate",
    0x00080060: "Modality",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_LAST = max(_WANTED)
_PREAMBLE = 132  # bytes, with the prefix: PS3.10 Section 7.1
_META = 1024  # bytes; what the receiver writes itself is shorter
_META_LAST = 0x00020003
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # PS3.5 Table 7.1-1
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance belongs. PHI: its repr tells nothing of whom."""

    StudyInstanceUID: str = field(default="", repr=False)
    SeriesInstanceUID: str = field(default="", repr=False)
    SOPInstanceUID: str = field(default="", repr=False)
    StudyDate: str = field(default="", repr=False)
    Modality: str = ""


def place_of(data: BinaryIO, transfer_syntax_uid: str) -> Place:
    """Reads where an instance belongs, and no further.

    Parameters
    ----------
    data
        A data set without File Meta Information, from its current position.
    transfer_syntax_uid
        In which it is encoded, or one of the same encoding.

    Raises
    ------
    UnreadableFile
        If it has no StudyInstanceUID, or is not in its transfer syntax up to there.
    """
    if transfer_syntax_uid in _DEFLATED:
        data = _inflated(data)
    is_implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    is_little = transfer_syntax_uid != ExplicitVRBigEndian
    start = data.tell()
    values = _walked(data.read(_HEAD), is_implicit) if is_little else None
    if values is None:
        data.seek(start)
        values = _parsed(data, is_implicit, is_little)
    place = Place(**values)
    if not place.StudyInstanceUID:
        raise _unreadable("no StudyInstanceUID")
    return place


def read_landed(
    path: Path, encodings: Mapping[str, str] | None = None
) -> tuple[InstanceEntry, Place]:
    """What a landed file is, from the file alone, as after a restart.

    Parameters
    ----------
    encodings
        Of private transfer syntaxes: a syntax that is encoded in the same way.

    Raises
    ------
    UnreadableFile
        If it is not a file that the receiver wrote.
    """
    try:
        meta, offset = split_dataset(path)
        syntax, uid = str(meta.TransferSyntaxUID), str(meta.MediaStorageSOPInstanceUID)
        sop_class = str(meta.MediaStorageSOPClassUID)
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise _unreadable(type(error).__name__) from None
    with path.open("rb") as file:
        file.seek(offset)
        place = place_of(file, (encodings or {}).get(syntax, syntax))
    digest = file_digest(path)
    entry = InstanceEntry(
        SOPInstanceUID=uid,
        SOPClassUID=sop_class,
        TransferSyntaxUID=syntax,
        path=f"{digest}.dcm",
        size=path.stat().st_size,
        sha256=digest,
    )
    return entry, place


def identity_of(path: Path) -> tuple[str, str]:
    """SOPInstanceUID and SOPClassUID of a landed file, from its File Meta Information."""
    with path.open("rb") as file:
        head = file.read(_META)
    values, offset = {}, _PREAMBLE
    while (found := _element(head, offset, False)) is not None and found[0] <= _META_LAST:
        tag, start, offset = found
        values[tag] = head[start:offset].rstrip(b"\0").decode("latin-1")
    return values.get(0x00020003, ""), values.get(0x00020002, "")


def _walked(head: bytes, is_implicit: bool) -> dict[str, str] | None:
    """The values by keyword, if the beginning of a data set is simple enough; else None.

    That is in a tenth of pydicom's time. Not simple are sequences of undefined length.
    """
    values: dict[str, str] = {}
    offset, end = 0, len(head)
    while offset < end:
        found = _element(head, offset, is_implicit)
        if found is None:
            return None
        tag, start, offset = found
        if tag > _LAST:
            return values
        if offset > end:
            return None
        if tag in _WANTED:
            values[_WANTED[tag]] = _text(head[start:offset])
    return values if end < _HEAD else None  # Else it goes on.


def _element(head: bytes, offset: int, is_implicit: bool) -> tuple[int, int, int] | None:
    """Tag, start and stop of the value of the element at `offset`."""
    if offset + 8 > len(head):
        return None
    group, element, vr, short = struct.unpack_from("<HH2sH", head, offset)
    tag, start = group << 16 | element, offset + 8
    if is_implicit:
        (length,) = struct.unpack_from("<I", head, offset + 4)
    elif vr in _SHORT:
        length = short
    elif vr in _LONG and start + 4 <= len(head):
        (length,) = struct.unpack_from("<I", head, start)
        start += 4
    else:
        return None
    return None if length == 0xFFFFFFFF else (tag, start, start + length)


def _parsed(data: BinaryIO, is_implicit: bool, is_little: bool) -> dict[str, str]:
    try:
        dataset = read_dataset(
            _Frugal(data),
            is_implicit,
            is_little,
            stop_when=lambda tag, vr, length: tag > _LAST,
            defer_size=_DEFERRED,
        )
        return {keyword: _attribute(dataset, keyword) for keyword in _WANTED.values()}
    except UnreadableFile:
        raise
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise _unreadable(type(error).__name__) from None


class _Frugal:
    """A file of which only so much is read, skips apart.

    Rubbish can look like millions of elements, each of which costs pydicom its time.
    """

    def __init__(self, data: BinaryIO) -> None:
        self._left = _PARSED
        self._data = data
        self.seek, self.tell = data.seek, data.tell

    def read(self, size: int = -1) -> bytes:
        self._left -= size if size >= 0 else _PARSED
        if self._left < 0:
            raise _unreadable("too much before it")
        return self._data.read(size)


def _attribute(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return value.strip() if isinstance(value, str) else ""


def _text(value: bytes) -> str:
    return "" if b"\\" in value else value.decode("latin-1").rstrip("\0").strip()


def _inflated(data: BinaryIO) -> BinaryIO:
    try:
        return BytesIO(
            zlib.decompressobj(-zlib.MAX_WBITS).decompress(data.read(_INFLATED), _INFLATED)
        )
    except zlib.error:
        raise _unreadable("not deflated") from None


def _unreadable(why: str) -> UnreadableFile:
    return UnreadableFile(
        f"the study that it belongs to cannot be read ({why})", remedy="see its sender"
    )
