"""Writing DICOM files that appear whole or not at all."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from hounsfield.dicom.encode import can_encode, encode
from hounsfield.errors import StoreUnavailable, UnreadableFile

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "file_header",
    "write_dataset",
    "write_encoded",
]

# Fixed, so that the same dataset gives the same bytes whatever release wrote it.
IMPLEMENTATION_CLASS_UID = UID("2.25.184023811734560842913377508214406932511")
IMPLEMENTATION_VERSION_NAME = "HOUNSFIELD_1"

_UNDEFINED_LENGTH: Final = 0xFFFFFFFF


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
    _appear(path, lambda part: _save(dataset, meta, part))


def write_encoded(
    sop_class_uid: str,
    sop_instance_uid: str,
    syntax: str,
    elements: Iterable[bytes | memoryview],
    path: Path,
) -> None:
    """As :func:`write_dataset`, of elements that are bytes already.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        Of the instance, as `elements` say too.
    syntax
        Transfer syntax of `elements`.
    elements
        In the order of their tags.
    """
    header = file_header(sop_class_uid, sop_instance_uid, syntax)
    _appear(path, lambda part: _put(header, elements, part))


def file_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble, prefix and File Meta Information (PS3.10 Section 7.1).

    Nothing of it depends on the release, the peer or the hour: the same instance fetched
    twice is the same file. By hand, for pydicom takes as long as the disk to write it.
    """
    elements = b"".join(
        (
            b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01",  # File Meta Information Version
            _element(0x0002, b"UI", sop_class_uid),
            _element(0x0003, b"UI", sop_instance_uid),
            _element(0x0010, b"UI", transfer_syntax_uid),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + length + elements


def _element(element: int, vr: bytes, text: str) -> bytes:
    """An element of group 2. A UID may be anything that a peer sends: it is kept as it is."""
    value = text.encode("latin-1", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def _appear(path: Path, write: Callable[[Path], None]) -> None:
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except Exception as error:
        # pydicom too raises OSError, for a value that it cannot write, and quotes it.
        if isinstance(error, OSError) and error.errno is not None:
            raise StoreUnavailable(
                f"a file could not be written: {error.strerror}",
                remedy="free space or mend the permissions, then run it again",
            ) from None
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
    preamble = getattr(dataset, "preamble", None) or bytes(128)
    body = encode(dataset, implicit_vr=syntax.is_implicit_VR)
    _put(preamble + b"DICM" + head.getvalue(), [body], path)


def _put(header: bytes, elements: Iterable[bytes | memoryview], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines((header, *elements))


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
