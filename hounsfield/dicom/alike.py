"""Headers of files that are alike, each element that they share parsed once.

The slices of a series repeat most of their header byte for byte. Here a header is walked
(PS3.5 Section 7.1.2), not parsed: an element whose bytes are those of an earlier file has its
value, and only the others are made values of. What the walk does not surely understand (another
transfer syntax than explicit little endian, a damaged length, sequences that differ), or what has
overlays in its pixels, is read by :func:`hounsfield.dicom.reading.read_header`, which also reads
the first file of each kind and says what is wrong with a bad one.
"""

from __future__ import annotations

import math
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, cast

import numpy as np
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from hounsfield.dicom.attributes import Encoder, Instance
from hounsfield.dicom.overlays import is_bit_position
from hounsfield.dicom.raw import is_sound, text_of
from hounsfield.dicom.reading import place_of_pixels, read_header, read_lazily

__all__ = ["Alike", "CodedPixels", "FileHeader", "HeaderReader", "NativePixels", "shared"]

T = TypeVar("T")

#: Most headers are shorter.
_HEAD_BYTES: Final = 1 << 15
_LONGEST_HEAD: Final = 1 << 22
#: Kinds of file that are remembered; a series seldom has more than two.
_MOST_KINDS: Final = 16
#: A film of more is left to pydicom.
_MOST_FRAGMENTS: Final = 1 << 16
#: Preamble and prefix (PS3.10 Section 7.1).
_PREAMBLE: Final = 132
_UNDEFINED: Final = 0xFFFFFFFF
_PIXELS: Final = 0x7FE00010
_META_END: Final = 0x00030000
_LONG_VRS: Final = frozenset(
    vr.encode()
    for vr in "OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()  # noqa: SIM905
)
_SHORT_VRS: Final = frozenset(
    vr.encode()
    for vr in "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()  # noqa: SIM905
)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# What other elements mean depends on them, so where they differ the files are not alike.
_CONTEXT: Final = tuple(
    int(tag_for_keyword(keyword))
    for keyword in (
        "TransferSyntaxUID",
        "SOPClassUID",
        "SpecificCharacterSet",
        "PixelRepresentation",
        "BitsAllocated",
    )
)
_TEXTS: Final = frozenset("AE AS CS DA DT LO SH TM UI".split())  # noqa: SIM905
_INTEGERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i"}
_FLOATS: Final = {"FL": "f", "FD": "d"}
#: For these no character set matters.
_NO_TEXT: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", *_INTEGERS, *_FLOATS))


@dataclass(frozen=True, slots=True)
class NativePixels:
    """Uncompressed pixel data, with nothing behind them.

    Attributes
    ----------
    offset, length
        Bytes in the file.
    """

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class CodedPixels:
    """Compressed pixel data, with nothing behind them.

    Attributes
    ----------
    fragments
        Offset and length of each in the file, in bytes, without the Basic Offset Table.
    syntax
        The transfer syntax.
    table
        The Basic Offset Table: where each frame begins, in bytes from the first fragment's item
        on; mostly empty (PS3.5 Section A.4).
    """

    fragments: tuple[tuple[int, int], ...]
    syntax: str
    table: tuple[int, ...] = ()

    def frames(self, count: int) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The fragments of each of `count` frames; none where they do not tell."""
        if count == 1:
            return (self.fragments,)
        if count == len(self.fragments):
            return tuple((fragment,) for fragment in self.fragments)
        origin = self.fragments[0][0] if self.fragments else 0
        numbers = {offset - origin: number for number, (offset, _) in enumerate(self.fragments)}
        starts = [numbers.get(offset, -1) for offset in self.table]
        if len(starts) != count or starts[0] or sorted(set(starts)) != starts:
            return ()
        ends = [*starts[1:], len(self.fragments)]
        return tuple(self.fragments[a:b] for a, b in zip(starts, ends, strict=True))


_keyword = lru_cache(maxsize=1024)(keyword_for_tag)


class Alike:
    """The values of a header by keyword: its own, then those of a file that is alike.

    It answers ``get`` and ``in`` as a dataset does. Numbers are Python's.
    """

    __slots__ = ("_asked", "_model", "_own")

    def __init__(self, own: dict[str, Any], model: _Cached) -> None:
        self._own, self._model = own, model
        self._asked: set[str] | None = None

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value, or `default` where the header has no such element."""
        if self._asked is not None:
            self._asked.add(keyword)
        found = self._own.get(keyword, self)
        return self._model.get(keyword, default) if found is self else found

    def __contains__(self, keyword: object) -> bool:
        if self._asked is not None:
            self._asked.add(str(keyword))
        return keyword in self._own or keyword in self._model

    def make(self, make: Callable[..., T], *args: Any) -> T:
        """As :func:`shared`."""
        found = self._model.made.get((make, args))
        if found is None or not self._own.keys().isdisjoint(found[0]):
            before, self._asked = self._asked, set()
            try:
                found = self._asked, make(self, *args)
            finally:
                asked, self._asked = self._asked, before
            if self._own.keys().isdisjoint(asked):
                self._model.made[make, args] = found
        if self._asked is not None:
            self._asked |= found[0]
        return cast(T, found[1])


def shared(make: Callable[..., T], header: Any, *args: Any) -> T:
    """``make(header, *args)``, once for all headers that agree in what it asks them for.

    Parameters
    ----------
    make
        Its result depends on nothing but its arguments, and nobody changes that.
    header
        A dataset, or values that are alike.
    args
        Hashable.
    """
    return header.make(make, *args) if isinstance(header, Alike) else make(header, *args)


@dataclass(frozen=True, slots=True)
class FileHeader:
    """One file's header.

    Attributes
    ----------
    values
        By keyword, asked for with ``get`` and ``in``.
    pixels
        Where they are, if nothing follows them.
    instance
        Its elements for the attribute table; there if `pixels` are.
    """

    values: Any
    pixels: NativePixels | CodedPixels | None = None
    instance: Instance | None = None


@dataclass(frozen=True, slots=True)
class _Walked:
    """What the walk found.

    Attributes
    ----------
    elements
        By tag, as bytes from their VR on; of a header that is alike, those that differ.
    pixels
        Where they are, if they end the file.
    compressed_at
        Where compressed ones begin; 0 for others.
    head
        The bytes that were walked; none of a header that is alike.
    """

    elements: dict[int, bytes]
    pixels: NativePixels | CodedPixels | None
    compressed_at: int = 0
    head: bytes = b""


class _Cached(dict[str, Any]):
    """A dataset's values by keyword, each asked for once."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.dataset = dataset
        #: By function and arguments, what it asked for and what it made.
        self.made: dict[tuple[Any, ...], tuple[set[str], Any]] = {}

    def __missing__(self, keyword: str) -> Any:
        value = self[keyword] = self.dataset.get(keyword, _ABSENT)
        return value

    def get(self, keyword: str, default: Any = None) -> Any:
        value = self[keyword]
        return default if value is _ABSENT else value

    def __contains__(self, keyword: object) -> bool:
        return self[str(keyword)] is not _ABSENT


_ABSENT: Final = object()


@dataclass(frozen=True)
class _Kind:
    """A file that others may be alike."""

    walked: _Walked
    values: _Cached
    instance: Instance

    @cached_property
    def tags(self) -> list[int]:
        return list(self.walked.elements)

    @cached_property
    def starts(self) -> list[int]:
        """Where each element starts, and where the pixels do."""
        lengths = (4 + len(content) for content in self.walked.elements.values())
        return list(accumulate(lengths, initial=_PREAMBLE))


class HeaderReader:
    """Reads headers of files of which many are alike."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, ...], _Kind] = {}
        self._last: _Kind | None = None
        self._encoder = Encoder()

    def read(self, path: Path) -> FileHeader:
        """One file's header; every element is known to have a value.

        Raises
        ------
        UnreadableFile, StoreUnavailable
            As :func:`hounsfield.dicom.reading.read_header`.
        """
        walked = _walk(path, self._last)
        if walked is None:
            return self._read_unwalked(path)
        kind = self._last
        if walked.head or kind is None:
            key = (tuple(walked.elements), *(walked.elements.get(tag) for tag in _CONTEXT))
            self._last = kind = self._kinds.get(key)
            if kind is None:
                return self._read_anew(path, walked, key)
        return self._read_alike(walked, kind) or FileHeader(read_header(path))

    def _read_unwalked(self, path: Path) -> FileHeader:
        """By pydicom; of a film in implicit VR it is told where the frames are, too."""
        dataset = read_header(path)
        pixels = _implicit_film(path, dataset)
        if pixels is None:
            return FileHeader(dataset)
        instance = self._encoder.instance(read_lazily(path, stop_before_pixels=True))
        return FileHeader(dataset, pixels, instance)

    def _read_anew(self, path: Path, walked: _Walked, key: tuple[object, ...]) -> FileHeader:
        dataset = read_header(path)
        # Lazily, since an element that has been parsed has its bytes no more.
        instance = self._encoder.instance(read_lazily(path, stop_before_pixels=True))
        tags = {int(tag, 16) for tag in (*instance.file_meta, *instance.elements)}
        if len(self._kinds) < _MOST_KINDS and tags == set(walked.elements):
            self._last = self._kinds[key] = _Kind(walked, _Cached(dataset), instance)
        return FileHeader(dataset, walked.pixels, instance if walked.pixels else None)

    def _read_alike(self, walked: _Walked, kind: _Kind) -> FileHeader | None:
        theirs = kind.walked.elements
        own: dict[str, Any] = {}
        meta, elements = dict(kind.instance.file_meta), dict(kind.instance.elements)
        for tag, content in walked.elements.items():
            if content == theirs[tag]:
                continue
            parsed = _parse(tag, content) or self._parse_with(kind, tag, content)
            if parsed is None:
                return None
            value, encoded = parsed
            own[_keyword(tag)] = value
            (meta if tag < _META_END else elements)[f"{tag:08X}"] = encoded
        instance = Instance(meta, elements) if walked.pixels else None
        return FileHeader(Alike(own, kind.values), walked.pixels, instance)

    def _parse_with(
        self, kind: _Kind, tag: int, content: bytes
    ) -> tuple[Any, dict[str, Any]] | None:
        """By pydicom, for what depends on no other element than its private creator."""
        vr, value = _split(content)
        if vr in ("SQ", "UN", "PN") or (vr not in _NO_TEXT and not _is_plain(value)):
            return None
        around, at = Dataset(), BaseTag(tag)
        if at.is_private:
            if at.is_private_creator or at.private_creator not in kind.values.dataset:
                return None
            around[at.private_creator] = kind.values.dataset[at.private_creator]
        raw = RawDataElement(at, vr, len(value), value, 0, False, True)
        around[at] = raw
        try:
            return around[at].value, self._encoder.element(around, at)
        except Exception:
            return None


def _parse(tag: int, content: bytes) -> tuple[Any, dict[str, Any]] | None:
    """An element's value and its DICOM JSON; None where pydicom had better look at it."""
    vr, value = _split(content)
    if tag >> 16 & 1:
        return None  # private: what it means depends on its creator
    if vr in _INTEGERS or vr in _FLOATS:
        return _binary(vr, value)
    if vr not in _TEXTS and vr not in ("DS", "IS"):
        return None
    raw = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
    if not is_sound(raw, vr):
        return None
    parts = text_of(raw).split("\\") if value else []
    if parts == [""]:
        parts = []
    if any(part != part.strip() or "\0" in part or not part for part in parts):
        return None  # of what stands around a value, pydicom takes some away
    if vr in ("DS", "IS"):
        parts = [float(part) if vr == "DS" else int(part) for part in parts]  # type: ignore[misc]
        if not all(map(math.isfinite, parts)):  # type: ignore[arg-type]
            return None
    return _told(vr, parts)


def _split(content: bytes) -> tuple[str, bytes]:
    """VR and value."""
    return content[:2].decode("ascii"), content[8 if content[:2] in _LONG_VRS else 4 :]


def _is_plain(value: bytes) -> bool:
    """ASCII without code extensions, so that no character set matters (PS3.5 Section 6.1.2)."""
    return value.isascii() and b"\x1b" not in value


def _binary(vr: str, value: bytes) -> tuple[Any, dict[str, Any]] | None:
    code = _INTEGERS.get(vr) or _FLOATS[vr]
    size = struct.calcsize(code)
    if len(value) % size:
        return None
    numbers = struct.unpack(f"<{len(value) // size}{code}", value)
    return _told(vr, numbers) if all(map(math.isfinite, numbers)) else None


def _told(vr: str, parts: Any) -> tuple[Any, dict[str, Any]]:
    if not parts:
        return None if vr in ("DS", "IS", *_INTEGERS, *_FLOATS) else "", {"vr": vr}
    value = parts[0] if len(parts) == 1 else list(parts)
    return value, {"vr": vr, "Value": list(parts)}


def _walk(path: Path, last: _Kind | None) -> _Walked | None:
    """The elements before the pixels; None where this is not for a walk to say."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEAD_BYTES)
            walked = (_differing(head, size, last) if last else None) or _elements(head, size)
            if walked is None and len(head) < min(size, _LONGEST_HEAD):
                walked = _elements(head + file.read(_LONGEST_HEAD - len(head)), size)
            if walked is not None and walked.compressed_at:
                fragments = _fragments(file, walked.compressed_at, size)
                syntax = _syntax(
                    walked.elements if walked.head or not last else last.walked.elements
                )
                table, *others = fragments or ((0, 0),)
                pixels = (
                    CodedPixels(tuple(others), syntax, _offsets(file, *table)) if others else None
                )
                walked = replace(walked, pixels=pixels)
            return walked
    except OSError:
        return None


def _implicit_film(path: Path, header: Dataset) -> NativePixels | None:
    """Where its pixels lie; None for other files, and where overlays lie among them."""
    syntax, frames = header.file_meta.get("TransferSyntaxUID"), header.get("NumberOfFrames")
    is_film = isinstance(frames, int) and frames > 1
    has_overlays = any(tag.group >> 8 == 0x60 for tag in header.keys())  # noqa: SIM118
    if syntax != ImplicitVRLittleEndian or has_overlays or not is_film:
        return None
    place = place_of_pixels(path)
    return NativePixels(*place) if place else None


def _differing(head: bytes, size: int, kind: _Kind) -> _Walked | None:
    """The elements whose bytes are not those of a header of the same kind; None for another.

    What is equal is compared and not walked, which is the most of a series.
    """
    if head[128:_PREAMBLE] != b"DICM":
        return None
    model, starts, stop = kind.walked.head, kind.starts, kind.starts[-1]
    found: dict[int, bytes] = {}
    at, here = _PREAMBLE, _PREAMBLE
    try:
        while (alike := _alike_bytes(model[at:stop], head[here : here + stop - at])) < stop - at:
            index = bisect_right(starts, at + alike) - 1
            here += starts[index] - at
            tag, _, end = _element(head, here)
            if tag != kind.tags[index] or not here < end <= len(head):
                return None
            if tag in _CONTEXT or is_bit_position(tag):
                return None
            found[tag] = head[here + 4 : end]
            at, here = starts[index + 1], end
        here += stop - at
        tag, start, end = _element(head, here)
    except (struct.error, ValueError, RecursionError):
        return None
    return _at_pixels(tag, start, end, size, found)


def _alike_bytes(one: bytes, other: bytes) -> int:
    """How many bytes they have in common from the start."""
    if one == other:
        return len(one)
    length = min(len(one), len(other))
    differ = np.frombuffer(one, np.uint8, length) != np.frombuffer(other, np.uint8, length)
    first = int(differ.argmax()) if length else 0
    return first if length and differ[first] else length


def _elements(head: bytes, size: int) -> _Walked | None:
    if head[128:_PREAMBLE] != b"DICM":
        return None
    found: dict[int, bytes] = {}
    at, last = _PREAMBLE, 0
    try:
        while True:
            tag, start, end = _element(head, at)
            if tag <= last:
                return None
            if tag >= _PIXELS:
                return _at_pixels(tag, start, end, size, found, head[:start])
            if end > len(head) or (is_bit_position(tag) and any(head[start:end])):
                return None
            found[tag] = head[at + 4 : end]
            if last < _META_END <= tag and not _is_explicit_little(found):
                return None
            at, last = end, tag
    except (struct.error, ValueError, RecursionError):
        return None


def _syntax(found: Mapping[int, bytes]) -> str:
    return found.get(0x00020010, b"")[4:].rstrip(b"\0 ").decode("ascii", "replace")


def _is_explicit_little(found: Mapping[int, bytes]) -> bool:
    syntax = UID(_syntax(found))
    if not syntax.is_transfer_syntax or syntax == DeflatedExplicitVRLittleEndian:
        return False
    return not syntax.is_implicit_VR and bool(syntax.is_little_endian)


def _at_pixels(
    tag: int, start: int, end: int, size: int, found: dict[int, bytes], head: bytes = b""
) -> _Walked | None:
    if tag != _PIXELS:
        return None
    is_native = end > start and end == size
    if end > size:
        return None  # cut short: reading it whole tells so
    native = NativePixels(start, end - start) if is_native else None
    return _Walked(found, native, 0 if end else start, head)


def _fragments(file: BinaryIO, at: int, size: int) -> tuple[tuple[int, int], ...] | None:
    """The items that begin at `at` (PS3.5 Section A.4), the Basic Offset Table and the fragments.

    None unless they end the file.
    """
    found: list[tuple[int, int]] = []
    for _ in range(_MOST_FRAGMENTS):
        file.seek(at)
        item = file.read(8)
        if len(item) < 8:
            return None
        group, number, length = struct.unpack("<HHI", item)
        at += 8
        if group << 16 | number == _SEQUENCE_END:
            return tuple(found) if at == size else None
        if group << 16 | number != _ITEM or length == _UNDEFINED:
            return None
        found.append((at, length))
        at += length
    return None


def _offsets(file: BinaryIO, at: int, length: int) -> tuple[int, ...]:
    """What the Basic Offset Table says; nothing where it is none."""
    if length % 4 or length > 4 * _MOST_FRAGMENTS:
        return ()
    file.seek(at)
    content = file.read(length)
    return struct.unpack(f"<{len(content) // 4}I", content)


def _element(head: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start of the value, and end of the element at `at`; 0 for an end not known."""
    group, number = struct.unpack_from("<HH", head, at)
    vr = head[at + 4 : at + 6]
    if vr in _SHORT_VRS:
        start = at + 8
        end = start + struct.unpack_from("<H", head, at + 6)[0]
    elif vr in _LONG_VRS:
        start = at + 12
        (length,) = struct.unpack_from("<I", head, at + 8)
        end = start + length
        if length == _UNDEFINED:
            is_pixels = (group << 16 | number) == _PIXELS
            end = 0 if is_pixels else _end_of_sequence(head, start, vr)
    else:
        raise ValueError("no VR")
    return group << 16 | number, start, end


def _end_of_sequence(head: bytes, at: int, vr: bytes) -> int:
    """Behind the delimiter of a sequence of undefined length."""
    if vr != b"SQ":
        raise ValueError("of an unknown kind")  # UN: its inside is implicit little endian
    while True:
        group, number, length = struct.unpack_from("<HHI", head, at)
        at += 8
        marker = group << 16 | number
        if marker == _SEQUENCE_END:
            return at
        if marker != _ITEM:
            raise ValueError("no item")
        at = at + length if length != _UNDEFINED else _end_of_item(head, at)


def _end_of_item(head: bytes, at: int) -> int:
    while struct.unpack_from("<HH", head, at) != (_ITEM_END >> 16, _ITEM_END & 0xFFFF):
        _, _, at = _element(head, at)
    return at + 8
