"""Finding DICOM files, and reading them so that each failure has a name.

A file is an *instance* when it parses as DICOM to its last byte. Files without preamble or
File Meta Information (PS3.10 Section 7) are read too. Nothing here quotes a value or a file
name in an error.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom import FileDataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread, read_partial
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from hounsfield.dicom.encode import can_encode, encode
from hounsfield.dicom.folders import walk_files
from hounsfield.dicom.raw import parse
from hounsfield.errors import HounsfieldError, StoreUnavailable, UnreadableFile

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "SeriesFiles",
    "find_files",
    "group_by_series",
    "is_dicomdir",
    "read_header",
    "read_lazily",
    "write_dataset",
]

# Fixed, so that the same dataset gives the same bytes whatever release wrote it.
IMPLEMENTATION_CLASS_UID = UID("2.25.184023811734560842913377508214406932511")
IMPLEMENTATION_VERSION_NAME = "HOUNSFIELD_1"

_MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"
_META_BYTES = 1024  # the File Meta Information starts at byte 132 and is shorter than this
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_UNDEFINED_LENGTH = 0xFFFFFFFF
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
    StoreUnavailable
        The file could not be read at all.
    """
    with _named_failures():
        dataset = _read_whole(path, stop_before_pixels)
        parse(dataset)
    return dataset


def read_lazily(path: Path, *, stop_before_pixels: bool = False) -> FileDataset:
    """As :func:`read_header`, but elements stay raw bytes until they are asked for.

    An element that does not parse raises pydicom's own error when it is
    asked for, so this is for files that `read_header` has seen, or for few elements.
    """
    with _named_failures():
        return _read_whole(path, stop_before_pixels)


@contextmanager
def _named_failures() -> Iterator[None]:
    try:
        yield
    except UnreadableFile:
        raise
    except OSError as error:
        raise StoreUnavailable(f"a file could not be read: {error.strerror}") from None
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


def _read_whole(path: Path, stop_before_pixels: bool) -> FileDataset:
    watch = _Watch(stop_before_pixels)
    with path.open("rb") as file:
        dataset = read_partial(file, stop_when=watch, force=True)
        if dataset.preamble is None and "SOPClassUID" not in dataset:
            raise UnreadableFile("a file is not DICOM")
        if _is_cut(file, dataset, watch):
            raise UnreadableFile(
                "a file stops before its end", remedy="transfer or copy it again from its source"
            )
    return dataset


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
        dataset = dcmread(
            path,
            stop_before_pixels=True,
            force=True,
            specific_tags=["SOPClassUID", "SeriesInstanceUID"],
        )
        uid = str(dataset.get("SeriesInstanceUID", ""))
    except Exception:
        # The full read tells what is wrong in words.
        dataset = read_header(path)
        uid = str(dataset.get("SeriesInstanceUID", ""))
    if uid:
        return uid
    read_header(path)
    raise UnreadableFile("a file names no series", remedy="it needs a SeriesInstanceUID")


def write_dataset(dataset: Dataset, path: Path) -> None:
    """Writes a DICOM file (PS3.10) that appears whole or not at all.

    The dataset's own file_meta gives the transfer syntax; the implementation's identity is
    set to Hounsfield's, so that equal datasets give equal bytes. `dataset` itself is changed
    in its file_meta only.

    Raises
    ------
    UnreadableFile
        A value does not fit its value representation.
    StoreUnavailable
        The disk is full or cannot be written.
    """
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    dataset.file_meta = meta
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(dataset, meta, part)
        part.replace(path)
    except Exception as error:
        # pydicom too raises OSError, for a value that it cannot write, and quotes it.
        if isinstance(error, OSError) and error.errno is not None:
            raise StoreUnavailable(f"a file could not be written: {error.strerror}") from None
        raise UnreadableFile(
            "a dataset holds a value that cannot be written", where=type(error).__name__
        ) from None
    finally:
        with suppress(OSError):  # what kept the file from being written keeps it from being there
            part.unlink()


def _save(dataset: Dataset, meta: FileMetaDataset, path: Path) -> None:
    """As `Dataset.save_as` with ``enforce_file_format``; what stayed raw is copied."""
    syntax = meta.get("TransferSyntaxUID")
    if not _is_copied(dataset, syntax):
        dataset.save_as(path, enforce_file_format=True)
        return
    pixels = dataset.get_item("PixelData") if "PixelData" in dataset else None
    if pixels is not None and not _is_as_it_must_be(pixels, syntax):
        dataset["PixelData"].is_undefined_length = syntax.is_compressed  # PS3.5 Annex A.4
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    head = DicomBytesIO()
    write_file_meta_info(head, meta, enforce_standard=True)
    body = encode(dataset, implicit_vr=syntax.is_implicit_VR)
    preamble = getattr(dataset, "preamble", None) or bytes(128)
    with path.open("wb") as file:
        file.writelines((preamble, b"DICM", head.getvalue(), body))


def _is_as_it_must_be(pixels: DataElement | RawDataElement, syntax: UID) -> bool:
    """Whether pixel data can be copied: of even length, undefined where it is compressed."""
    if not isinstance(pixels, RawDataElement):
        return False
    is_undefined = pixels.length == _UNDEFINED_LENGTH
    return is_undefined == bool(syntax.is_compressed) and not len(pixels.value or b"") % 2


def _is_copied(dataset: Dataset, syntax: UID | None) -> bool:
    if syntax is None or syntax.is_private or syntax.is_deflated:
        return False
    if not (syntax.is_transfer_syntax and dataset.get("SOPClassUID")):
        return False
    is_dataset = all(tag >> 16 > 6 for tag in dataset.keys())  # noqa: SIM118 (its values parse)
    return is_dataset and can_encode(
        dataset, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian
    )
