"""A dataset as bytes: what stayed raw is copied, pydicom encodes the rest.

The bytes are those that pydicom writes, in less time: it gives every element a buffer of its
own, also where the value is bytes already. One thing differs: a length that is undefined where
it must not be is written as a number.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import Any, Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_dataset
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

__all__ = ["can_encode", "encode", "encode_each"]

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = (
    struct.pack("<HH", 0xFFFE, element) for element in (0xE000, 0xE00D, 0xE0DD)
)
_UNDEFINED_VRS: Final = frozenset(("OB", "OW", "SQ", "UN"))  # that may be of undefined length
_PLAIN: Final = frozenset("AE AS CS DA DT LO LT SH ST TM UI".split())  # noqa: SIM905
_LONGEST: Final = 0xFFFE  # bytes of a value with a short length field
_NO_LENGTH: Final = bytes(4)


def can_encode(dataset: Dataset, *, implicit_vr: bool, little_endian: bool) -> bool:
    """Whether what is raw may be copied: neither byte order, VRs nor character set change."""
    return (
        little_endian
        and dataset.original_encoding == (implicit_vr, True)
        and dataset.original_character_set == dataset._character_set
    )


def encode(dataset: Dataset, *, implicit_vr: bool, charset: Any = "iso8859") -> bytes:
    """The elements in little endian, in the order of their tags.

    What :func:`can_encode` does not hold for, at any depth, is left to pydicom.

    Parameters
    ----------
    charset
        Of the dataset around, for one that names none.

    Raises
    ------
    Exception
        Whatever pydicom raises for a value that does not fit its VR.
    """
    is_new = dataset.original_encoding == (None, None)
    if not is_new and not can_encode(dataset, implicit_vr=implicit_vr, little_endian=True):
        return _by_pydicom(dataset, implicit_vr, charset)
    each = encode_each(dataset, implicit_vr=implicit_vr, charset=charset)
    return b"".join([part for _, parts in each for part in parts])


def encode_each(
    dataset: Dataset,
    *,
    implicit_vr: bool,
    charset: Any = "iso8859",
    tags: Collection[int] | None = None,
) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Tag by tag the bytes of each element, in parts, for what :func:`can_encode` holds for.

    Parameters
    ----------
    tags
        Of these alone, where given.
    """
    charset = dataset.get("SpecificCharacterSet", charset)
    elements = dataset.items()
    if tags is not None:
        elements = [(tag, element) for tag, element in elements if tag in tags]
    for tag, element in sorted(elements):
        if not tag & 0xFFFF and tag >> 16 > 6:
            continue  # a Group Length, which is retired (PS3.5 Section 7.2)
        if isinstance(element, RawDataElement) and _fits(element, implicit_vr):
            value = element.value or b""
            yield tag, (_header(element, str(element.VR), len(value), implicit_vr), value)
        elif isinstance(element, DataElement) and element.VR == "SQ":
            yield tag, _sequence(element, implicit_vr, charset)
        elif (text := _ascii(element)) is not None:
            yield tag, (_header(element, element.VR, len(text), implicit_vr), text)
        else:
            yield tag, (_by_pydicom(element, implicit_vr, charset),)


def _fits(raw: RawDataElement, implicit_vr: bool) -> bool:
    if raw.length == _UNDEFINED:
        return False
    size = len(raw.value or b"")
    return implicit_vr or (
        raw.VR is not None
        and len(raw.VR) == 2
        and (size <= 0xFFFF or raw.VR in EXPLICIT_VR_LENGTH_32)
    )


def _ascii(element: DataElement | RawDataElement) -> bytes | None:
    """The value of a plain text element, of even length (PS3.5 Section 6.2); else None."""
    if isinstance(element, RawDataElement) or element.VR not in _PLAIN:
        return None
    value = element.value
    if not isinstance(value, str) or not value.isascii() or len(value) > _LONGEST:
        return None
    if len(value) % 2:
        value += "\0" if element.VR == "UI" else " "
    return value.encode("ascii")


def _header(element: Any, vr: str, length: int, implicit_vr: bool) -> bytes:
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if implicit_vr:
        return struct.pack("<HHI", group, number, length)
    if vr in EXPLICIT_VR_LENGTH_32:
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, length)
    return struct.pack("<HH2sH", group, number, vr.encode(), length)


def _sequence(element: DataElement, implicit_vr: bool, charset: Any) -> tuple[bytes, ...]:
    items: list[bytes] = []
    for item in element.value or ():
        body = encode(item, implicit_vr=implicit_vr, charset=charset)
        if getattr(item, "is_undefined_length_sequence_item", False):
            items += (_ITEM, struct.pack("<I", _UNDEFINED), body, _ITEM_END, _NO_LENGTH)
        else:
            items += (_ITEM, struct.pack("<I", len(body)), body)
    content = b"".join(items)
    if element.is_undefined_length:
        header = _header(element, "SQ", _UNDEFINED, implicit_vr)
        return header, content, _SEQUENCE_END, _NO_LENGTH
    return _header(element, "SQ", len(content), implicit_vr), content


def _by_pydicom(
    what: Dataset | DataElement | RawDataElement, implicit_vr: bool, charset: Any
) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit_vr, True
    if isinstance(what, Dataset):
        write_dataset(buffer, what, charset)
    else:
        if isinstance(what, DataElement) and what.VR not in _UNDEFINED_VRS:
            what.is_undefined_length = False  # as somebody wrote it, against PS3.5 Section 7.1
        write_data_element(buffer, what, charset)
    return bytes(buffer.getvalue())
