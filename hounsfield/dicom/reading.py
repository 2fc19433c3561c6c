"""Finding DICOM files, and reading them so that each failure has a name.

A file is an *instance* when it parses as DICOM to its last byte. Files without preamble or
File Meta Information (PS3.10 Section 7) are read too. Nothing here quotes a value or a file
name in an error.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import FileDataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import dcmread, read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from hounsfield.dicom.folders import walk_files
from hounsfield.dicom.raw import parse
from hounsfield.errors import (
    HounsfieldError,
    StoreUnavailable,
    UndecodablePixels,
    UnreadableFile,
)

__all__ = [
    "MAX_INFLATED_BYTES",
    "SeriesFiles",
    "find_files",
    "group_by_series",
    "is_cut_short",
    "is_dicomdir",
    "place_of_pixels",
    "read_beginning",
    "read_header",
    "read_lazily",
]

_MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"
_META_BYTES = 1024  # the File Meta Information starts at byte 132 and is shorter than this
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_UNDEFINED_LENGTH = 0xFFFFFFFF

#: A deflated file may become a thousand times as long: more than this it may not, unless
#: somebody allows less.
MAX_INFLATED_BYTES = 1 << 31
#: Of its beginning, where nobody wants the pixels.
_INFLATED_HEAD = 1 << 26
_INFLATED_STEP = 1 << 20
#: An element that is longer stays in the file where only its place is asked for.
_DEFERRED = 1 << 16
# Explicit VRs whose length field has 2 bytes (PS3.5 Table 7.1-2); all others have 4 after 2
# reserved ones.
_SHORT_VRS = frozenset(
    "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()  # noqa: SIM905
)


def find_files(root: Path) -> Iterator[Path]:
    """Every regular file under `root` that could be an instance, in one fixed order.

    A DICOMDIR lists a file-set (PS3.10 Section 8.6) and is not an instance: it is left out.
    Files that turn out not to be DICOM are given too, so that a caller can say why they were
    refused. Links to folders are not followed.

    Raises
    ------
    NotFound
        There is nothing at `root`.
    UnreadableFile
        A folder cannot be listed: better a refusal than a silent gap.
    """
    if root.is_file():
        yield root
        return
    for path in walk_files(root):
        if not is_dicomdir(path):
            yield path


def is_dicomdir(path: Path) -> bool:
    """Whether a file says in its File Meta Information that it is a DICOMDIR."""
    try:
        with path.open("rb") as file:
            head = file.read(_META_BYTES)
    except OSError:
        return False
    return head[128:132] == b"DICM" and _MEDIA_STORAGE_DIRECTORY in head


def read_header(path: Path, *, stop_before_pixels: bool = True) -> FileDataset:
    """One file as a dataset whose every element is known to have a value.

    Parameters
    ----------
    path
        A DICOM file, with or without preamble and File Meta Information.
    stop_before_pixels
        Leave out the pixel data and what follows it. That it is all there, by the length
        that its element states, is checked even so.

    Raises
    ------
    UnreadableFile
        The bytes are not DICOM, stop in mid-file, nest without end, or hold a value that
        its value representation does not allow.
    UndecodablePixels
        It is deflated and becomes more than :data:`MAX_INFLATED_BYTES`, and its pixels are wanted.
    StoreUnavailable
        The file could not be read at all.
    """
    with _named_failures():
        dataset = _read_whole(path, stop_before_pixels)
        parse(dataset)
    return dataset


def read_lazily(
    path: Path, *, stop_before_pixels: bool = False, most_bytes: int = MAX_INFLATED_BYTES
) -> FileDataset:
    """As :func:`read_header`, but elements stay raw bytes until they are asked for.

    An element that does not parse raises pydicom's own error when it is
    asked for, so this is for files that `read_header` has seen, or for few elements.

    Parameters
    ----------
    most_bytes
        That a deflated file may become, if its pixels are wanted.

    Raises
    ------
    UndecodablePixels
        It becomes more than that.
    """
    with _named_failures():
        return _read_whole(path, stop_before_pixels, most_bytes)


def is_cut_short(path: Path) -> bool:
    """Whether a file stops before its end, so that it is never read with its pixels.

    What is refused for something else may be as its source has it.

    Raises
    ------
    StoreUnavailable
        The file could not be read at all.
    """
    try:
        read_lazily(path)
    except _CutShort:
        return True
    except (UnreadableFile, UndecodablePixels):
        return False
    return False


def read_beginning(path: Path, last: str) -> FileDataset:
    """The elements of a file up to one, by its keyword; what follows is not looked at.

    Raises
    ------
    UnreadableFile
        The bytes are not DICOM.
    StoreUnavailable
        The file could not be read at all.
    """
    end = tag_for_keyword(last)
    with _named_failures(), path.open("rb") as file:
        dataset = read_partial(file, stop_when=lambda tag, *_: tag > end, force=True)
        if dataset.preamble is None and "SOPClassUID" not in dataset:
            raise UnreadableFile("a file is not DICOM")
    return dataset


def place_of_pixels(path: Path) -> tuple[int, int] | None:
    """Where the value of PixelData begins in a file, and its length, in bytes; it is not read.

    None where there is none, or it is small.

    Raises
    ------
    UnreadableFile, StoreUnavailable
        As :func:`read_header`.
    """
    with _named_failures():
        dataset = dcmread(path, force=True, defer_size=_DEFERRED)
        element = dataset.get_item("PixelData", keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.value is not None:
        return None
    return element.value_tell, element.length


@contextmanager
def _named_failures() -> Iterator[None]:
    try:
        yield
    except HounsfieldError:
        raise
    except OSError as error:
        raise StoreUnavailable(
            f"a file could not be read: {error.strerror}",
            remedy="see the disk and the permissions, then run it again",
        ) from None
    except (RecursionError, MemoryError) as error:
        raise UnreadableFile(
            "a file nests or claims more than can be read",
            where=type(error).__name__,
            remedy="it is damaged or made to do harm: ask its source for it again",
        ) from None
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise UnreadableFile(
            "a file is not well-formed DICOM",
            where=type(error).__name__,
            remedy="ask its source for it again",
        ) from None


class _CutShort(UnreadableFile):
    """A file stops before its end."""


def _cut_short() -> _CutShort:
    return _CutShort(
        "a file stops before its end", remedy="transfer or copy it again from its source"
    )


class _Watch:
    """Notes the last top-level element that the parser met; stops it at the pixels.

    pydicom ends quietly where the bytes do, so what it was about to read must be known from
    elsewhere to see that something is missing.
    """

    def __init__(self, stop_before_pixels: bool) -> None:
        self.stop_before_pixels = stop_before_pixels
        self.stopped = False
        self.last: tuple[BaseTag, str | None, int] | None = None

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        self.last = (tag, vr, length)
        self.stopped = self.stop_before_pixels and tag in _PIXEL_TAGS
        return self.stopped


def _read_whole(
    path: Path, stop_before_pixels: bool, most_bytes: int = MAX_INFLATED_BYTES
) -> FileDataset:
    watch = _Watch(stop_before_pixels)
    with path.open("rb") as file:
        dataset = _read_deflated(file, watch, most_bytes)
        if dataset is None:
            dataset = read_partial(file, stop_when=watch, force=True)
        if dataset.preamble is None and "SOPClassUID" not in dataset:
            raise UnreadableFile("a file is not DICOM")
        if _is_cut(file, dataset, watch):
            raise _cut_short()
    return dataset


def _read_deflated(file: BinaryIO, watch: _Watch, most_bytes: int) -> FileDataset | None:
    """A deflated file (PS3.5 Section A.5) as pydicom reads it, of which never all is inflated.

    None, with the file at its start, where it is another one.
    """
    if not _may_be_deflated(file):
        return None
    preamble = read_preamble(file, force=True)
    meta = FileMetaDataset(read_dataset(file, False, True, stop_when=_is_past_meta))
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return None
    content = _inflate(file, None if watch.stop_before_pixels else most_bytes)
    dataset = read_dataset(content, False, True, stop_when=watch)
    if watch.stop_before_pixels and not watch.stopped and content.tell() >= _INFLATED_HEAD:
        raise UnreadableFile(f"a header is longer than {_INFLATED_HEAD >> 20} MiB")
    whole = FileDataset(file, dataset, preamble, meta, False, True)
    whole.set_original_encoding(False, True, dataset._character_set)
    return whole


def _may_be_deflated(file: BinaryIO) -> bool:
    beginning = file.read(_META_BYTES)
    file.seek(0)
    return DeflatedExplicitVRLittleEndian.encode() in beginning


def _is_past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2


def _inflate(file: BinaryIO, most_bytes: int | None) -> BytesIO:
    """The rest of a file inflated; without a limit its beginning, if the rest is sound."""
    inflater, content, size = zlib.decompressobj(-zlib.MAX_WBITS), BytesIO(), 0
    while not inflater.eof:
        packed = inflater.unconsumed_tail or file.read(_INFLATED_STEP)
        piece = inflater.decompress(packed, _INFLATED_STEP)
        if not packed and not piece:
            raise _cut_short()
        size += len(piece)
        if most_bytes is not None and size > most_bytes:
            raise UndecodablePixels(
                f"a deflated file holds more than {most_bytes >> 20} MiB, all in memory at once",
                remedy="allow more memory, or ask its source for another transfer syntax",
            )
        if most_bytes is not None or size <= _INFLATED_HEAD:
            content.write(piece)
    content.seek(0)
    return content


def _is_cut(file: BinaryIO, dataset: FileDataset, watch: _Watch) -> bool:
    if watch.last is None:
        return True
    tag, vr, length = watch.last
    # A deflated dataset was inflated whole, or zlib had raised; positions mean nothing here.
    inflated = dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    size = os.fstat(file.fileno()).st_size
    if watch.stopped:
        header = 8 if vr is None or vr in _SHORT_VRS else 12
        known = not inflated and length != _UNDEFINED_LENGTH
        return known and file.tell() + header + length > size
    element = dataset.get_item(tag) if tag in dataset else None
    if element is None or length == _UNDEFINED_LENGTH or not isinstance(element, RawDataElement):
        return element is None
    end = element.value_tell + length
    return len(element.value or b"") < length or (not inflated and _has_rest(file, end))


def _has_rest(file: BinaryIO, end: int) -> bool:
    """Whether part of an element header follows; zeros are padding of some archive."""
    file.seek(end)
    return any(file.read())


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """The files of a folder by series, and those that belong to none.

    Attributes
    ----------
    series
        SeriesInstanceUID → its files, in the order they were given.
    refused
        File → why it is in no series.
    """

    series: dict[str, list[Path]] = field(default_factory=dict)
    refused: dict[Path, HounsfieldError] = field(default_factory=dict)


def group_by_series(paths: Iterable[Path]) -> SeriesFiles:
    """Sorts files by their SeriesInstanceUID; reads the least that tells it."""
    found = SeriesFiles()
    for path in paths:
        try:
            found.series.setdefault(_series_uid(path), []).append(path)
        except HounsfieldError as error:
            found.refused[path] = error
    return found


def _series_uid(path: Path) -> str:
    try:
        dataset = _read_for_series(path)
        uid = str(dataset.get("SeriesInstanceUID", ""))
    except Exception:
        # The full read tells what is wrong in words.
        dataset = read_header(path)
        uid = str(dataset.get("SeriesInstanceUID", ""))
    if uid:
        return uid
    read_header(path)
    raise UnreadableFile("a file names no series", remedy="it needs a SeriesInstanceUID")


def _read_for_series(path: Path) -> FileDataset:
    with path.open("rb") as file:
        if _may_be_deflated(file):
            return read_lazily(path, stop_before_pixels=True)
        return dcmread(
            file,
            stop_before_pixels=True,
            force=True,
            specific_tags=["SOPClassUID", "SeriesInstanceUID"],
        )
