"""The receiver's C-STORE and C-ECHO SCP (PS3.4 Annex B; PS3.7 Section 9.1)."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt
from pynetdicom.dsutils import split_dataset

from hounsfield.errors import ConfigError, HounsfieldError, InternalError, UnreadableFile
from hounsfield.pacs.association import SOCKET_HANDLERS
from hounsfield.pacs.contexts import mirror
from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.peer import Timeouts
from hounsfield.records import InstanceEntry
from hounsfield.store.product import file_digest

__all__ = ["Place", "listening", "place_of", "read_landed"]

log = logging.getLogger(__name__)

# Statuses of the response: PS3.4 Table B.2-1, PS3.7 Annex C.
_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
_INVALID_INSTANCE = 0x0117
_OUT_OF_RESOURCES = 0xA700
_CANNOT_UNDERSTAND = 0xC000

_ASSOCIATIONS = 32
_PDU = 131_072  # bytes
_LAST = 0x0020000E  # SeriesInstanceUID: what lies behind it need not be read.
_INFLATED = 1 << 20  # bytes of a deflated data set in which the attributes below must lie
# Deflated as a whole: these, and the JPIP references (PS3.5 Annex A.5, A.7, A.11).
_DEFLATED = frozenset(
    (str(DeflatedExplicitVRLittleEndian), "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance belongs. PHI: its repr tells nothing of whom."""

    StudyInstanceUID: str = field(repr=False)
    SeriesInstanceUID: str = field(default="", repr=False)
    StudyDate: str = field(default="", repr=False)
    Modality: str = ""


@contextmanager
def listening(
    inbox: Inbox,
    *,
    port: int,
    ae_title: str,
    study_key: Callable[[str], str],
    bind: str = "",
    allow: Sequence[str] = (),
) -> Iterator[None]:
    """Takes instances of every storage SOP class into `inbox` while the block lasts.

    Success is answered only when the instance is on the disk. A peer that was not answered,
    or was refused, has the instance still.

    Parameters
    ----------
    study_key
        Gives the pseudonym of a StudyInstanceUID; called in the associations' threads.
    bind
        Address to listen on; empty: all.
    allow
        Calling AE titles to accept; empty: all.

    Raises
    ------
    ConfigError
        If an AE title is none, or the port cannot be had.
    """

    def store(event: evt.Event) -> int:
        return _store(inbox, study_key, event)

    handlers: list[tuple[Any, Callable[..., Any]]] = [
        *SOCKET_HANDLERS,
        (evt.EVT_REQUESTED, mirror),
        (evt.EVT_C_STORE, store),
    ]
    entity = _entity(ae_title, allow)
    try:
        server = entity.start_server((bind, port), block=False, evt_handlers=handlers)
    except OSError as error:
        raise ConfigError(
            f"port {port} cannot be had: {error.strerror}", remedy="does another receiver run?"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        entity.shutdown()


def place_of(data: BinaryIO, transfer_syntax_uid: str) -> Place:
    """Reads where an instance belongs, and no further.

    Parameters
    ----------
    data
        A data set without File Meta Information, from its current position.

    Raises
    ------
    UnreadableFile
        If it has no StudyInstanceUID, or is not in its transfer syntax up to there.
    """
    if transfer_syntax_uid in _DEFLATED:
        data = _inflated(data)
    try:
        dataset = read_dataset(
            data,
            transfer_syntax_uid == ImplicitVRLittleEndian,
            transfer_syntax_uid != ExplicitVRBigEndian,
            stop_when=lambda tag, vr, length: tag > _LAST,
        )
        place = Place(
            StudyInstanceUID=_text(dataset, "StudyInstanceUID"),
            SeriesInstanceUID=_text(dataset, "SeriesInstanceUID"),
            StudyDate=_text(dataset, "StudyDate"),
            Modality=_text(dataset, "Modality"),
        )
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise _unreadable(type(error).__name__) from None
    if not place.StudyInstanceUID:
        raise _unreadable("no StudyInstanceUID")
    return place


def read_landed(path: Path) -> tuple[InstanceEntry, Place]:
    """What a landed file is, from the file alone, as after a restart.

    Raises
    ------
    UnreadableFile
        If it is not a file that the receiver wrote.
    """
    try:
        meta, offset = split_dataset(path)
    except Exception as error:
        raise _unreadable(type(error).__name__) from None
    syntax = str(meta.TransferSyntaxUID)
    with path.open("rb") as file:
        file.seek(offset)
        place = place_of(file, syntax)
    digest = file_digest(path)
    entry = InstanceEntry(
        SOPInstanceUID=str(meta.MediaStorageSOPInstanceUID),
        SOPClassUID=str(meta.MediaStorageSOPClassUID),
        TransferSyntaxUID=syntax,
        path=f"{digest}.dcm",
        size=path.stat().st_size,
        sha256=digest,
    )
    return entry, place


def _store(inbox: Inbox, study_key: Callable[[str], str], event: evt.Event) -> int:
    """The status of the response; nothing is raised, for pynetdicom would log what it quotes."""
    request = event.request
    if not request.AffectedSOPInstanceUID or not request.AffectedSOPClassUID:
        return _INVALID_INSTANCE
    if request.DataSet is None:
        return _CANNOT_UNDERSTAND
    syntax = str(event.context.transfer_syntax)
    try:
        request.DataSet.seek(0)  # It stands where its last fragment was written.
        place = place_of(request.DataSet, syntax)
        inbox.store(
            study_key(place.StudyInstanceUID),
            request.DataSet,
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=syntax,
        )
    except UnreadableFile as error:
        log.warning("An instance was refused: %s", error)
        return _CANNOT_UNDERSTAND
    except HounsfieldError as error:
        log.error("An instance could not be taken: %s", error)
        return _OUT_OF_RESOURCES
    except Exception as error:
        log.error("An instance could not be taken: %s", InternalError.of(error))
        return _PROCESSING_FAILURE
    return _SUCCESS


def _entity(ae_title: str, allow: Sequence[str]) -> AE:
    timeouts = Timeouts()
    try:
        entity = AE(ae_title=ae_title)
        entity.require_calling_aet = list(allow)
    except ValueError:
        raise ConfigError(
            "an AE title has 1 to 16 characters of ASCII, and no backslash", where="AE title"
        ) from None
    entity.require_called_aet = True
    entity.maximum_associations = _ASSOCIATIONS
    entity.maximum_pdu_size = _PDU
    entity.acse_timeout = timeouts.associate
    entity.dimse_timeout = timeouts.message
    entity.network_timeout = timeouts.idle
    # pynetdicom starts no server without a context; `mirror` replaces it by the peer's own.
    entity.add_supported_context("1.2.840.10008.1.1")
    return entity


def _inflated(data: BinaryIO) -> BinaryIO:
    try:
        return BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data.read(), _INFLATED))
    except zlib.error:
        raise _unreadable("not deflated") from None


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return value.strip() if isinstance(value, str) else ""


def _unreadable(why: str) -> UnreadableFile:
    return UnreadableFile(
        f"the study that it belongs to cannot be read ({why})", remedy="see its sender"
    )
