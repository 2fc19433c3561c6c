"""The second reader: every element of a file at any depth, as bytes.

Written from PS3.5 Section 7 and PS3.10 Section 7 alone, without pydicom: what the cleaner's
reader overlooks or mends, this one shall see.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydicom.datadict import dictionary_VR

from hounsfield.errors import StoreUnavailable, UnreadableFile

__all__ = ["PIXELS", "PREAMBLE", "Element", "read_elements"]

#: Where the 128 bytes before ``DICM`` are said to be: no attribute has this tag.
PREAMBLE = 0
#: Float, Double Float and Pixel Data.
PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_CHARSET, _TRANSFER_SYNTAX = 0x00080005, 0x00020010
_IMPLICIT, _BIG, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
# Explicit VRs with two reserved bytes and a length of four (PS3.5 Table 7.1-1).
_LONG: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_DEEPEST = 64
# Group, element, VR and a length of two, as most elements begin.
_HEADS: Final = {"little": struct.Struct("<HH2sH"), "big": struct.Struct(">HH2sH")}
_ITEM_STARTS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


@dataclass(frozen=True, slots=True)
class Element:
    """One element as it stands in the file. Holds PHI where the file does.

    Attributes
    ----------
    path
        Tags of the sequences that it lies in, then its own.
    value
        Its bytes, or those of one fragment of encapsulated pixel data.
    charset
        SpecificCharacterSet of its dataset or of the nearest around it.
    creator
        Of a private element: who reserved its block (PS3.5 Section 7.8.1).
    extent
        Of native pixels: where all their bytes begin and end in the file (of a deflated one, in
        what it inflates to).
    """

    path: tuple[int, ...]
    vr: str
    value: bytes
    charset: bytes = b""
    creator: str = ""
    encapsulated: bool = False
    extent: tuple[int, int] = field(default=(0, 0), compare=False)

    @property
    def tag(self) -> int:
        return self.path[-1]

    @property
    def text(self) -> str:
        """Of an element that is ASCII by its VR."""
        return self.value.decode("ascii", "replace").strip(" \0")


def read_elements(path: Path) -> Iterator[Element]:
    """Every element of a file: preamble, file meta, dataset. Of native pixels comes one byte.

    Raises
    ------
    UnreadableFile
        The bytes do not follow the Standard.
    StoreUnavailable
        The file could not be read at all.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _file(data)
    except OSError as error:
        raise StoreUnavailable(
            f"a file could not be read: {error.strerror}",
            remedy="see the disk and the permissions, then run it again",
        ) from None
    except (ValueError, IndexError, RecursionError, zlib.error) as error:
        raise UnreadableFile(
            "a file does not follow the encoding rules", where=type(error).__name__
        ) from None


def _file(data: mmap.mmap) -> Iterator[Element]:
    syntax = ""
    start = 0
    if data[128:132] == b"DICM":
        yield Element((PREAMBLE,), "OB", data[:128])
        meta = _Reader(data, 132, explicit=True, order="little")
        for element in meta.dataset(len(data), (), b"", only_group=0x0002):
            if element.path == (_TRANSFER_SYNTAX,):
                syntax = element.text
            yield element
        start = meta.at
    if syntax == _DEFLATED:
        inflated = zlib.decompress(data[start:], -zlib.MAX_WBITS)
        yield from _Reader(inflated, 0, explicit=True, order="little").dataset(len(inflated))
        return
    explicit = syntax != _IMPLICIT if syntax else data[start + 4 : start + 6].isalpha()
    order = "big" if syntax == _BIG else "little"
    yield from _Reader(data, start, explicit=explicit, order=order).dataset(len(data))


class _Reader:
    """Walks one buffer in one encoding."""

    def __init__(self, data: mmap.mmap | bytes, at: int, *, explicit: bool, order: str) -> None:
        self._data, self.at = data, at
        self._explicit, self._order = explicit, order
        self._heads = _HEADS[order]

    def dataset(
        self,
        end: int,
        path: tuple[int, ...] = (),
        charset: bytes = b"",
        *,
        only_group: int | None = None,
    ) -> Iterator[Element]:
        """Elements up to `end`, or to the delimiter of the item."""
        creators: dict[tuple[int, int], str] = {}
        while self.at + 8 <= end:
            if only_group is not None and self._number(self.at, 2) != only_group:
                return
            tag, vr, length = self._head()
            if tag in (_ITEM_END, _SEQUENCE_END):
                return
            if vr == "SQ" or (length == _UNDEFINED and tag not in PIXELS):
                yield from self._sequence(vr, length, (*path, tag), charset)
                continue
            if length == _UNDEFINED:
                yield from self._fragments((*path, tag))
                continue
            extent = (self.at, self.at + length) if tag in PIXELS else (0, 0)
            value = self._take(tag, length, end)
            if tag == _CHARSET:
                charset = value
            creator = self._creator(creators, tag, value)
            yield Element((*path, tag), vr, value, charset, creator, extent=extent)
            if vr == "UN" and value[:4] in _ITEM_STARTS:
                yield from _nested(value, (*path, tag), charset)
        if path == () and any(self._data[self.at : end]):
            raise ValueError("bytes follow the last element")

    def _creator(self, creators: dict[tuple[int, int], str], tag: int, value: bytes) -> str:
        group, element = tag >> 16, tag & 0xFFFF
        if not group & 1:
            return ""
        if 0x10 <= element <= 0xFF:
            creators[group, element] = value.decode("latin-1").strip(" \0")
        return creators.get((group, element >> 8), "")

    def _sequence(
        self, vr: str, length: int, path: tuple[int, ...], charset: bytes
    ) -> Iterator[Element]:
        if len(path) > _DEEPEST:
            raise ValueError("nested too deep")
        end = len(self._data) if length == _UNDEFINED else self._within(length)
        explicit, order = self._explicit, self._order
        if vr == "UN":  # its content is Implicit VR Little Endian (PS3.5 Section 6.2.2)
            self._explicit, self._order = False, "little"
        while self.at + 8 <= end:
            tag, size = self._tag(), self._number(self.at + 4, 4)
            self.at += 8
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM:
                raise ValueError("no item where one must be")
            stop = end if size == _UNDEFINED else self._within(size)
            yield from self.dataset(stop, path, charset)
            if size != _UNDEFINED:
                self.at = stop
        self._explicit, self._order = explicit, order

    def _fragments(self, path: tuple[int, ...]) -> Iterator[Element]:
        while self.at + 8 <= len(self._data):
            tag, size = self._tag(), self._number(self.at + 4, 4)
            self.at += 8
            if tag == _SEQUENCE_END:
                return
            stop = self._within(size)
            yield Element(path, "OB", bytes(self._data[self.at : stop]), encapsulated=True)
            self.at = stop
        raise ValueError("fragments without an end")

    def _take(self, tag: int, length: int, end: int) -> bytes:
        stop = self._within(length)
        if stop > end:
            raise ValueError("a value reaches beyond what holds it")
        read = min(stop, self.at + 1) if tag in PIXELS else stop
        value = bytes(self._data[self.at : read])
        self.at = stop
        return value

    def _head(self) -> tuple[int, str, int]:
        group, element, vr, length = self._heads.unpack_from(self._data, self.at)
        tag, size = group << 16 | element, 8
        if group == 0xFFFE or not self._explicit or not vr.isalpha():
            length = self._number(self.at + 4, 4)
            name = _vr_of(tag)
        elif vr in _LONG:
            length, size, name = self._number(self.at + 8, 4), 12, vr.decode()
        else:
            name = vr.decode()
        self.at += size
        return tag, name, length

    def _within(self, length: int) -> int:
        if self.at + length > len(self._data):
            raise ValueError("a length reaches beyond the file")
        return self.at + length

    def _tag(self) -> int:
        return self._number(self.at, 2) << 16 | self._number(self.at + 2, 2)

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._data[at : at + size], self._order)  # type: ignore[arg-type]


def _nested(value: bytes, path: tuple[int, ...], charset: bytes) -> Iterator[Element]:
    """Elements of a sequence that is hidden in a value of unknown VR; none where it is none."""
    try:
        reader = _Reader(value, 0, explicit=False, order="little")
        found = list(reader._sequence("UN", len(value), path, charset))
    except ValueError:
        return
    yield from found


@lru_cache(maxsize=8192)
def _vr_of(tag: int) -> str:
    try:
        return str(dictionary_VR(tag)).split(" or ")[0]
    except KeyError:
        return "UN"
