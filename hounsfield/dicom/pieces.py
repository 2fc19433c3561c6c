"""A file cut between its elements, without making values of them.

Slices of a series are nearly the same file. What is done for one element need not be done
again for the same bytes in the next file, if somebody can tell cheaply that they are the same.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

__all__ = ["Pieces", "cut"]

_PIXEL_DATA: Final = 0x7FE00010
_UNDEFINED: Final = 0xFFFFFFFF
_META: Final = b"\x02\0"  # group
_SHORT: Final = frozenset(vr.value.encode() for vr in VR if len(vr) == 2) - {
    vr.encode() for vr in EXPLICIT_VR_LENGTH_32
}
_LONG: Final = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TAG_AND_VR = struct.Struct("<HH2sH")
_TAG_AND_LENGTH = struct.Struct("<HHI")
_LENGTH = struct.Struct("<I")


class _Unusual(Exception):
    """Bytes that are better left to a parser that knows all there is."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The elements of a file as pieces of its bytes, in the order of their tags.

    Attributes
    ----------
    syntax
        Its transfer syntax.
    elements
        Tag → the element as it stands in the file, header and all; without the pixel data.
    pixels
        The pixel data element, which is not empty, or None.
    pixel_vr
        Of the pixel data; empty where it is implicit, or there is none.
    """

    syntax: UID
    elements: dict[int, bytes]
    pixels: memoryview | None
    pixel_vr: str

    def dataset(
        self, tags: list[int], *, pixels: bool = False, charset: Any = default_encoding
    ) -> Dataset:
        """Some of the elements as pydicom reads them.

        Parameters
        ----------
        tags
            In ascending order.
        pixels
            With the pixel data after them.
        charset
            Of their texts, where the Specific Character Set is not among them.

        Raises
        ------
        Exception
            Whatever pydicom raises, or ValueError where it sees other elements.
        """
        parts: list[bytes | memoryview] = [self.elements[tag] for tag in tags]
        if pixels and self.pixels is not None:
            parts.append(self.pixels)
            tags = [*tags, _PIXEL_DATA]
        content = b"".join(parts)
        file = DicomBytesIO(content)
        dataset = read_dataset(file, self.syntax.is_implicit_VR, True, parent_encoding=charset)
        dataset.set_original_encoding(self.syntax.is_implicit_VR, True, dataset._character_set)
        if list(dataset.keys()) != tags or file.tell() != len(content):
            raise ValueError("pydicom reads other elements")
        return dataset


def cut(data: bytes) -> Pieces | None:
    """The pieces of a file in little endian with preamble and File Meta Information.

    None where anything is out of the common: a byte too many, a tag twice or out of order, an
    unknown VR, a private or deflated transfer syntax. That says nothing against the file.
    """
    try:
        return _cut(data)
    except (_Unusual, struct.error, RecursionError, UnicodeDecodeError):
        return None


def _cut(data: bytes) -> Pieces:
    if data[128:132] != b"DICM":
        raise _Unusual
    syntax, start = _syntax(data)
    is_implicit = syntax.is_implicit_VR
    looks_explicit = data[start + 4 : start + 6].isalpha() and data[start + 4 : start + 6].isupper()
    if looks_explicit is is_implicit:
        raise _Unusual  # pydicom would believe the bytes
    elements: dict[int, bytes] = {}
    pixels, pixel_vr = None, ""
    position, last = start, 0x0008_0000 - 1
    while position < len(data):
        tag, vr, body, length = _header(data, position, is_implicit)
        if tag <= last or tag >= _ITEM:
            raise _Unusual
        if tag == _PIXEL_DATA:
            end = _past_pixels(data, body, length, vr, syntax)
            pixels, pixel_vr = memoryview(data)[position:end], vr.decode()
        else:
            end = _past_value(data, tag, body, length, vr, is_implicit)
            elements[tag] = data[position:end]
        position, last = end, tag
    return Pieces(syntax, elements, pixels, pixel_vr)


def _syntax(data: bytes) -> tuple[UID, int]:
    """The transfer syntax, and where the dataset begins (PS3.10 Section 7.1)."""
    position, syntax = 132, None
    while data[position : position + 2] == _META:
        tag, vr, body, length = _header(data, position, False)
        position = body + length
        if position > len(data):
            raise _Unusual
        if tag == 0x00020010:
            if vr != b"UI":
                raise _Unusual
            syntax = UID(data[body:position].decode("ascii").rstrip(" \0"))
    if syntax is None or syntax.is_private or not syntax.is_transfer_syntax:
        raise _Unusual
    if not syntax.is_little_endian or syntax == DeflatedExplicitVRLittleEndian:
        raise _Unusual
    return syntax, position


def _header(data: bytes, position: int, is_implicit: bool) -> tuple[int, bytes, int, int]:
    """Tag, VR, where the value begins, its length (PS3.5 Section 7.1)."""
    if is_implicit:
        group, number, length = _TAG_AND_LENGTH.unpack_from(data, position)
        return group << 16 | number, b"", position + 8, length
    group, number, vr, length = _TAG_AND_VR.unpack_from(data, position)
    if vr in _SHORT:
        return group << 16 | number, vr, position + 8, length
    if vr not in _LONG or length:  # which is two reserved bytes here
        raise _Unusual
    (length,) = _LENGTH.unpack_from(data, position + 8)
    return group << 16 | number, vr, position + 12, length


def _past_value(data: bytes, tag: int, body: int, length: int, vr: bytes, is_implicit: bool) -> int:
    """Where an element ends."""
    if length != _UNDEFINED:
        end = body + length
    elif vr == b"SQ" or (is_implicit and _may_be_sequence(tag)):
        end = _past_items(data, body, is_implicit)
    else:
        raise _Unusual
    if end > len(data):
        raise _Unusual
    return end


def _may_be_sequence(tag: int) -> bool:
    """Not an attribute of another VR: pydicom reads that up to the first delimiter it meets."""
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return True


def _past_items(data: bytes, position: int, is_implicit: bool) -> int:
    """Where a sequence of undefined length ends (PS3.5 Section 7.5).

    Its items are looked into: what an element claims beyond the end of its item, pydicom takes
    from the elements that follow the sequence.
    """
    while True:
        group, number, length = _TAG_AND_LENGTH.unpack_from(data, position)
        tag, position = group << 16 | number, position + 8
        if tag == _SEQUENCE_END and not length:
            return position
        if tag != _ITEM:
            raise _Unusual
        position = _past_item(data, position, length, is_implicit)


def _past_item(data: bytes, position: int, length: int, is_implicit: bool) -> int:
    end = None if length == _UNDEFINED else position + length
    while position != end:
        if end is None and _is_item_end(data, position):
            return position + 8
        tag, vr, body, size = _header(data, position, is_implicit)
        if tag >= _ITEM:
            raise _Unusual
        position = _past_value(data, tag, body, size, vr, is_implicit)
        if end is not None and position > end:
            raise _Unusual
    return position


def _is_item_end(data: bytes, position: int) -> bool:
    return _TAG_AND_LENGTH.unpack_from(data, position) == (0xFFFE, _ITEM_END & 0xFFFF, 0)


def _past_pixels(data: bytes, body: int, length: int, vr: bytes, syntax: UID) -> int:
    """Where the pixel data ends, if it is written as its transfer syntax asks (PS3.5 Annex A)."""
    if syntax.is_compressed:
        if length != _UNDEFINED or vr not in (b"OB", b"OW"):
            raise _Unusual
        start = body
        while True:  # fragments
            group, number, size = _TAG_AND_LENGTH.unpack_from(data, body)
            body += 8
            if group << 16 | number == _SEQUENCE_END and not size and body > start + 8:
                return body
            if group << 16 | number != _ITEM or size == _UNDEFINED or size % 2:
                raise _Unusual
            body += size
    if not length or length % 2 or vr not in (b"OB", b"OW", b"") or body + length > len(data):
        raise _Unusual
    return body + length
