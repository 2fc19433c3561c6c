"""What was done for one slice is not worked out again for the next.

What becomes of an element hangs on its own bytes and on a few other elements of its object:
whose it is, what kind of object, in which character set, who reserved its private block. Those
are the object's context. Within one study, the same bytes in the same context end as the same
bytes. So only what differs from slice to slice is read, walked and encoded; of the rest, what
came out before is copied. The walker and pydicom stay the only ones who decide.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from hounsfield.deid.identifiers import PUBLIC_KEYWORDS, KnownIdentifiers
from hounsfield.deid.pixels import Look, Words
from hounsfield.deid.plan import KEEP, Plan
from hounsfield.deid.private import block_of, is_creator, is_private
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.reports import BLANKED, Note, PixelRecord
from hounsfield.deid.walker import Walker
from hounsfield.dicom.encode import can_encode, encode_each
from hounsfield.dicom.pieces import Pieces, cut
from hounsfield.dicom.raw import parse
from hounsfield.dicom.streams import blank_all

__all__ = ["Cleaned", "Names", "Repeats", "Slice"]

#: A larger file is not read as a whole.
_LARGEST: Final = 64 << 20
#: Bytes that all contexts together remember before they begin anew; what it takes besides its
#: bytes to remember one thing.
_REMEMBERED: Final = 16 << 20
_OVERHEAD: Final = 256
_PIXEL_DATA: Final = 0x7FE00010
_SOP_INSTANCE_UID: Final = 0x00080018
#: Waveforms, pixels of fractions: who may be heard or seen in them, the whole object tells.
_TELLING: Final = frozenset({0x54000100, 0x7FE00008, 0x7FE00009})
#: SOP Class UID, SOP Instance UID, Pixel Representation: without them it is a rare object.
_SUFFICIENT: Final = frozenset({0x00080016, _SOP_INSTANCE_UID, 0x00280103})
_CONTEXT: Final = (
    *("SpecificCharacterSet", "SOPClassUID"),  # how it is read, and of which Type an element is
    *("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SeriesInstanceUID"),  # whose it is
    *("CodeValue", "CodingSchemeDesignator", "CodeMeaning"),  # which are judged together
    # On which the VR of other elements hangs (PS3.5 Annex A, PS3.6).
    *("PixelRepresentation", "BitsAllocated", "LUTDescriptor", "WaveformBitsAllocated"),
    *("BitsStored", "HighBit"),  # how values lie in the words of the pixel data
    # How it is looked at.
    *("Modality", "ImageType", "BurnedInAnnotation", "SamplesPerPixel", "Rows", "Columns"),
    *PUBLIC_KEYWORDS,
    # Which are written anew.
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    "LongitudinalTemporalInformationModified",
)
# Of these, what others are read by, and their VRs: where one goes, the next are read otherwise.
_DECIDING: Final = {
    0x00080005: (b"CS",),
    **dict.fromkeys((0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x54001004), (b"US",)),
    0x00283002: (b"US", b"SS"),
}
_PLAIN_UID: Final = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of an element: its bytes, none where it went, and what was done."""

    encoded: bytes
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What de-identified objects of one context say of themselves."""

    modality: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        keywords = ("Modality", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
        return cls(*(str(dataset.get(keyword, "")) for keyword in keywords))


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A de-identified object as bytes.

    Attributes
    ----------
    syntax
        Transfer syntax.
    elements
        In the order of their tags.
    notes, pixels
        What was done, and what about its pixels.
    """

    names: Names
    sop_instance_uid: str
    syntax: str
    elements: list[bytes | memoryview]
    notes: list[Note]
    pixels: PixelRecord


class _Context:
    """Objects that agree in all that decides about their other elements.

    Attributes
    ----------
    look, series_instance_uid
        How they are looked at, and which series they are of; the look is None before one of
        them has been read as a whole.
    told
        Pieces that have been searched for identifiers.
    fates
        Piece → what became of it.
    own
        Tag → what became of the elements of the context itself, and what was added; empty
        before one of them has been cleaned as a whole.
    creators
        Tag → who reserves a private block, as it is written where the block is used.
    names
        Known from then on too.
    words, pixels
        How their values lie in the pixel data, None where every bit is of a value, too; and how
        their pixels, which stayed, were looked at.
    around
        Their own elements as pydicom reads them; None before one has been read in pieces.
    """

    def __init__(self, memory: _Memory) -> None:
        self.look: Look | None = None
        self.series_instance_uid = ""
        self.told: set[bytes] = set()
        self.fates: dict[bytes, _Fate] = {}
        self.own: dict[int, _Fate] = {}
        self.creators: dict[int, bytes] = {}
        self.names = Names("", "", "", "")
        self.words: Words | None = None
        self.pixels = PixelRecord()
        self.around: Dataset | None = None
        self._memory = memory

    def make_room(self, sizes: Iterable[int]) -> None:
        """Begins anew where what is remembered grows too large; nothing hangs on it."""
        if self._memory.is_full_with(sizes):
            self.forget()

    def forget(self) -> None:
        self.told.clear()
        self.fates.clear()


class _Memory:
    """The contexts of one study: there may be as many as files."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[Any, ...], _Context] = {}
        self._size = 0

    def context(self, kind: tuple[Any, ...], inner: list[bytes]) -> _Context:
        key = (*kind, *inner)
        context = self._contexts.get(key)
        if context is None:
            self.is_full_with(map(len, inner))
            context = self._contexts[key] = _Context(self)
        return context

    def is_full_with(self, sizes: Iterable[int]) -> bool:
        """Whether things of these sizes are too much, and all contexts have been forgotten.

        A slice that is still to be cleaned keeps the one that it is in.
        """
        size = sum(size + _OVERHEAD for size in sizes)
        self._size += size
        if self._size <= _REMEMBERED:
            return False
        for context in self._contexts.values():
            context.forget()
        self._contexts.clear()
        self._size = size
        return True


class Repeats:
    """Reads the files of one study, and knows which of them are alike.

    Parameters
    ----------
    plan
        Where pixel data does not simply stay, nothing is repeated.
    recipe
        What it adds belongs to the context; an object with a known region is not repeated.
    """

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        self._recipe = recipe
        self._inner = frozenset({*_tags(_CONTEXT), *recipe.additions})
        self._filtered = _tags((*recipe.fields, "SpecificCharacterSet", "Rows", "Columns"))
        self._without_regions: set[tuple[bytes, ...]] = set()
        self._is_useful = plan.rule(_PIXEL_DATA).action == KEEP
        self._is_useful &= not any(map(is_private, recipe.additions))
        self._is_useful &= not _DECIDING.keys() & recipe.overrides.keys()
        self._memory = _Memory()

    def read(self, path: Path) -> Slice | None:
        """A file in pieces; None where it is better read in the common way."""
        if not self._is_useful:
            return None
        try:
            pieces = cut(path.read_bytes()) if path.stat().st_size <= _LARGEST else None
        except OSError:  # the common way has words for it
            return None
        if pieces is None or not pieces.elements.keys() >= _SUFFICIENT or not _is_sure(pieces):
            return None
        if _TELLING & pieces.elements.keys():
            return None
        inner, outer = _divided(tuple(pieces.elements), self._inner)
        kind = (pieces.syntax, pieces.pixel_vr, _length(pieces))
        context = self._memory.context(kind, [pieces.elements[tag] for tag in inner])
        return Slice(pieces, context, inner, outer)

    def has_regions(self, pieces: Pieces, *, only_named: bool) -> bool:
        """Whether the recipe knows regions to mask, by what its filters look at.

        Parameters
        ----------
        only_named
            As :meth:`Recipe.regions`.

        Raises
        ------
        DeidentificationError
            A filter cannot be evaluated on this object.
        """
        if only_named and not self._recipe.named:
            return False
        tags = [tag for tag in self._filtered if tag in pieces.elements]
        key = (bytes([only_named]), *(pieces.elements[tag] for tag in tags))
        if key not in self._without_regions:
            if self._recipe.regions(pieces.dataset(tags), only_named=only_named):
                return True
            self._without_regions.add(key)
        return False


@dataclass(frozen=True, slots=True)
class Slice:
    """A file in pieces, and the context that it is in. Holds PHI.

    Attributes
    ----------
    inner, outer
        Tags of the elements that are the context, and of the others.
    raw
        Elements that have been read, and are bytes still.
    """

    pieces: Pieces
    context: _Context
    inner: list[int]
    outer: list[int]
    raw: dict[BaseTag, RawDataElement] = field(default_factory=dict)

    def gather(self) -> KnownIdentifiers:
        """What those of its elements tell that no object of the context has shown before.

        Raises
        ------
        Exception
            Some of them cannot be read: reading the whole object says why.
        """
        told, elements = self.context.told, self.pieces.elements
        new = [tag for tag in self.outer if elements[tag] not in told]
        if not new:
            return KnownIdentifiers()
        dataset = self._dataset(new)
        parse(dataset)
        known = KnownIdentifiers.gather([dataset])
        self._tell(new)
        return known

    def learn_look(self, look: Look, dataset: Dataset) -> None:
        """From the object as a whole, when its identifiers have been gathered."""
        if not self._are_all(dataset.keys()):
            return
        self.context.look = look
        self.context.series_instance_uid = str(dataset.get("SeriesInstanceUID", ""))
        self._tell(self.outer)

    def clean(self, walker: Walker) -> Cleaned | None:
        """The object de-identified; None where its context does not tell what becomes of it.

        Raises
        ------
        Exception
            Some elements cannot be cleaned: walking the whole object says why.
        """
        context, elements = self.context, self.pieces.elements
        if not context.own or self._hides_bits():
            return None
        ended = {
            tag: context.fates[elements[tag]]
            for tag in self.outer
            if elements[tag] in context.fates
        }
        new = [tag for tag in self.outer if tag not in ended]
        if new:
            dataset = self._dataset(new)
            notes = walker.walk_each(dataset, new)
            encoded = self._encoded(dataset, set(new))
            if encoded is None:
                return None
            ended |= self._remember(new, encoded, notes)
        return self._put_together(context.own | ended)

    def learn(self, dataset: Dataset, notes: Mapping[int, list[Note]], pixels: PixelRecord) -> None:
        """What became of the object as a whole, walked, stamped and written."""
        if not self._are_all(notes.keys()):
            return
        encoded = self._encoded(dataset)
        if encoded is None or not _PLAIN_UID.fullmatch(str(dataset.get("SOPClassUID", ""))):
            return
        self._remember(self.outer, encoded, notes)
        context = self.context
        for tag in {*self.inner, *encoded} - {*self.outer}:
            if not is_creator(tag):
                context.own[tag] = _Fate(encoded.get(tag, b""), tuple(notes.get(tag, ())))
            elif tag in encoded:
                context.creators[tag] = encoded[tag]
        context.names = Names.of(dataset)
        context.words = Words.of(dataset)
        context.pixels = pixels

    def _hides_bits(self) -> bool:
        """Whether its pixel data may not be copied as they are."""
        words, pixels = self.context.words, self.pieces.pixels
        if words is None or pixels is None:
            return False
        return words.are_coded or words.hide(pixels[self._header :])

    @property
    def _header(self) -> int:
        """Bytes of the pixel data element before its value."""
        return 8 if self.pieces.syntax.is_implicit_VR else 12

    def _without_comments(self, pixels: memoryview) -> tuple[bytes | memoryview, list[Note]]:
        """The pixel data element, and what was done to its frames."""
        value = pixels[self._header :]
        blanked = blank_all(value, self.pieces.syntax)
        if blanked is value:
            return pixels, []
        return b"".join((pixels[: self._header], blanked)), [BLANKED]

    def _put_together(self, ended: Mapping[int, _Fate]) -> Cleaned | None:
        parts: dict[int, bytes | memoryview] = {
            tag: fate.encoded for tag, fate in ended.items() if fate.encoded
        }
        notes = [note for fate in ended.values() for note in fate.notes]
        used = {block_of(tag) for tag in parts if is_private(tag)}
        for tag in filter(is_creator, self.inner):
            if tag not in used:
                notes.append((tag, "removed"))
            elif tag in self.context.creators:
                parts[tag] = self.context.creators[tag]
            else:
                return None
        uid = self._uid_of(bytes(parts[_SOP_INSTANCE_UID]))
        if not uid:
            return None
        if self.pieces.pixels is not None:
            parts[_PIXEL_DATA], written = self._without_comments(self.pieces.pixels)
            notes += written
        content = [parts[tag] for tag in sorted(parts)]
        context, syntax = self.context, str(self.pieces.syntax)
        return Cleaned(context.names, uid, syntax, content, notes, context.pixels)

    def _uid_of(self, encoded: bytes) -> str:
        """The value of an element that is one UID, as it must be; of any other an empty text."""
        is_uid = self.pieces.syntax.is_implicit_VR or encoded[4:6] == b"UI"
        text = encoded[8:].decode("ascii").rstrip("\0")
        return text if is_uid and _PLAIN_UID.fullmatch(text) else ""

    def _are_all(self, tags: Iterable[int]) -> bool:
        """Whether pydicom met in the file as a whole what it was cut into."""
        pixels = () if self.pieces.pixels is None else (_PIXEL_DATA,)
        return set(tags) == {*self.pieces.elements, *pixels}

    def _dataset(self, new: Iterable[int]) -> Dataset:
        """Some elements, with those of the context around them."""
        around = self._around()
        charset, found = around.original_character_set, dict(around.items())
        unread = [tag for tag in new if tag not in self.raw]
        if unread:
            read = dict(self.pieces.dataset(unread, charset=charset).items())
            found |= read
            self.raw.update((t, one) for t, one in read.items() if isinstance(one, RawDataElement))
        dataset = Dataset(found | self.raw)
        dataset.set_original_encoding(self.pieces.syntax.is_implicit_VR, True, charset)
        return dataset

    def _around(self) -> Dataset:
        """What slices of the context share, read once; nobody may change it."""
        context = self.context
        if context.around is None:
            around = self.pieces.dataset(self.inner)
            for tag in self.inner:
                if not is_creator(tag):
                    around[tag]  # makes a value of it
            context.around = around
        return context.around

    def _encoded(
        self, dataset: Dataset, tags: Collection[int] | None = None
    ) -> dict[int, bytes] | None:
        implicit_vr = self.pieces.syntax.is_implicit_VR
        if not can_encode(dataset, implicit_vr=implicit_vr, little_endian=True):
            return None
        each = encode_each(dataset, implicit_vr=implicit_vr, tags=tags)
        return {int(tag): b"".join(parts) for tag, parts in each if tag != _PIXEL_DATA}

    def _tell(self, tags: Iterable[int]) -> None:
        pieces = [self.pieces.elements[tag] for tag in tags]
        self.context.make_room(map(len, pieces))
        self.context.told.update(pieces)

    def _remember(
        self, tags: Iterable[int], encoded: Mapping[int, bytes], notes: Mapping[int, list[Note]]
    ) -> dict[int, _Fate]:
        elements = self.pieces.elements
        fates = {tag: _Fate(encoded.get(tag, b""), tuple(notes.get(tag, ()))) for tag in tags}
        sizes = (len(elements[tag]) + len(fate.encoded) for tag, fate in fates.items())
        self.context.make_room(sizes)
        self.context.fates.update((elements[tag], fate) for tag, fate in fates.items())
        return fates


@lru_cache(maxsize=64)
def _divided(tags: tuple[int, ...], context: frozenset[int]) -> tuple[list[int], list[int]]:
    """Those of the context, and the others."""
    inner = [tag for tag in tags if tag in context or is_creator(tag)]
    return inner, sorted({*tags} - {*inner})


def _is_sure(pieces: Pieces) -> bool:
    """Whether what others are read by is well-formed, so that it stays."""
    is_implicit = pieces.syntax.is_implicit_VR
    found = ((vrs, pieces.elements.get(tag, b"")) for tag, vrs in _DECIDING.items())
    return all(
        (is_implicit or piece[4:6] in vrs) and len(piece) % 2 == 0 for vrs, piece in found if piece
    )


def _length(pieces: Pieces) -> int:
    """Of native pixels: what is longer holds more than the frames. -1 where there are none."""
    if pieces.pixels is None:
        return -1
    return 0 if pieces.syntax.is_compressed else len(pieces.pixels)


def _tags(keywords: Iterable[str]) -> list[int]:
    """Sorted, each once; what is no keyword names nothing."""
    return sorted({tag for keyword in keywords if (tag := tag_for_keyword(keyword))})
