"""Where instances land: bytes as they came, on disk before they are acknowledged."""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from io import BytesIO
from pathlib import Path

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pynetdicom import evt

from hounsfield.dicom.reading import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from hounsfield.errors import HounsfieldError, StoreUnavailable
from hounsfield.pacs.client import EntrySink
from hounsfield.records import InstanceEntry

__all__ = ["Landing", "file_header", "write_instance"]

log = logging.getLogger(__name__)

_SUCCESS = 0x0000
_OUT_OF_RESOURCES = 0xA700
_CANNOT_UNDERSTAND = 0xC000
_INVALID_INSTANCE = 0x0117


class Landing:
    """A folder that takes C-STORE requests.

    A file's name is the SHA-256 of its bytes, never an identifier: a UID may be a path, and
    two contents under one UID must both be kept.

    Parameters
    ----------
    wanted
        SOPInstanceUIDs to keep. Others, that came to the PACS since it was asked, are
        acknowledged and dropped: the PACS has them, and lists them when it is asked next.
    sink
        Called with each entry when its file is on disk. What it raises ends the retrieval.
    """

    def __init__(self, folder: Path, wanted: frozenset[str], sink: EntrySink | None = None) -> None:
        self.folder = folder
        self.wanted = wanted
        self._entries: dict[tuple[str, str], InstanceEntry] = {}
        self.failure: Exception | None = None
        self._sink = sink
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def entries(self) -> tuple[InstanceEntry, ...]:
        """What has landed, in order of arrival; one for each UID and content."""
        return tuple(self._entries.values())

    @property
    def arrived(self) -> frozenset[str]:
        return frozenset(uid for uid, _ in self._entries)

    def handle_store(self, event: evt.Event) -> int:
        """A handler of EVT_C_STORE: gives the status of the response (PS3.4 Table B.2-1)."""
        if self.failure is not None:
            return _OUT_OF_RESOURCES
        request = event.request
        if not request.AffectedSOPInstanceUID or not request.AffectedSOPClassUID:
            return _INVALID_INSTANCE
        if request.DataSet is None:
            return _CANNOT_UNDERSTAND
        if request.AffectedSOPInstanceUID not in self.wanted:
            return _SUCCESS
        try:
            entry = write_instance(
                self.folder,
                request.DataSet,
                sop_class_uid=str(request.AffectedSOPClassUID),
                sop_instance_uid=str(request.AffectedSOPInstanceUID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
            )
            key = entry.SOPInstanceUID, entry.sha256
            if self._sink is not None and key not in self._entries:
                self._sink(entry)
            self._entries[key] = entry
        except Exception as error:  # pynetdicom would log it, with what it quotes, and go on
            self.failure = error
            return _OUT_OF_RESOURCES
        return _SUCCESS

    def raise_failure(self) -> None:
        """Raises what went wrong while landing, if anything did."""
        if isinstance(self.failure, HounsfieldError):
            raise self.failure
        if self.failure is not None:
            raise self.failure from None


def write_instance(
    folder: Path,
    data: BytesIO,
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
) -> InstanceEntry:
    """Writes one received data set as a DICOM file that appears whole or not at all.

    The data set is not decoded. It is hashed while it is written, synchronised to the disk,
    and then renamed.

    Raises
    ------
    StoreUnavailable
        If the folder cannot be written, for instance because the disk is full.
    """
    header = file_header(sop_class_uid, sop_instance_uid, transfer_syntax_uid)
    digest = hashlib.sha256(header)
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        with data.getbuffer() as body, part.open("wb") as file:
            file.write(header)
            digest.update(body)
            file.write(body)
            size = len(header) + len(body)
            file.flush()
            os.fsync(file.fileno())
        name = f"{digest.hexdigest()}.dcm"
        part.replace(folder / name)
        _sync_folder(folder)
    except OSError as error:
        raise StoreUnavailable(
            f"a received instance could not be written: {error.strerror}",
            remedy="see the space and the permissions of the landing folder",
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return InstanceEntry(
        SOPInstanceUID=sop_instance_uid,
        SOPClassUID=sop_class_uid,
        TransferSyntaxUID=transfer_syntax_uid,
        path=name,
        size=size,
        sha256=digest.hexdigest(),
    )


def file_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble, prefix and File Meta Information (PS3.10 Section 7.1).

    Nothing of it depends on the release, the peer or the hour: the same instance fetched
    twice is the same file.
    """
    meta = FileMetaDataset()
    for tag, vr, value in (
        (0x00020000, "UL", 0),
        (0x00020001, "OB", b"\x00\x01"),
        (0x00020002, "UI", sop_class_uid),
        (0x00020003, "UI", sop_instance_uid),
        (0x00020010, "UI", transfer_syntax_uid),
        (0x00020012, "UI", IMPLEMENTATION_CLASS_UID),
        (0x00020013, "SH", IMPLEMENTATION_VERSION_NAME),
    ):
        # A UID may be anything that a peer sends: kept as it is, and no warning quotes it.
        meta.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))
    buffer = BytesIO()
    buffer.write(b"\x00" * 128 + b"DICM")
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return buffer.getvalue()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
