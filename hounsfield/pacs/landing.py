"""Where instances land: bytes as they came, on disk before they are acknowledged."""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pynetdicom import evt

from hounsfield.dicom.writing import file_header
from hounsfield.errors import HounsfieldError, PermanentError, StoreUnavailable
from hounsfield.pacs.client import EntrySink
from hounsfield.records import InstanceEntry

__all__ = ["Landing", "Part", "name_anew", "sync_entry", "too_long", "write_instance"]

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
    longest
        Bytes of an instance above which the retrieval ends.

    Attributes
    ----------
    elsewhere
        As in `FetchReport`.
    """

    def __init__(
        self,
        folder: Path,
        wanted: frozenset[str],
        sink: EntrySink | None = None,
        *,
        longest: float = math.inf,
    ) -> None:
        self.folder = folder
        self.wanted = wanted
        self._entries: dict[tuple[str, str], InstanceEntry] = {}
        self.failure: Exception | None = None
        self._sink = sink
        self._longest = longest
        self.elsewhere = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def handlers(self) -> tuple[tuple[Any, ...], ...]:
        """For the association on which instances come."""
        return (evt.EVT_C_STORE, self.handle_store), (evt.EVT_PDU_RECV, self.bound)

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

    def bound(self, event: evt.Event) -> None:
        """A handler of EVT_PDU_RECV: hangs up where an instance has no end.

        pynetdicom puts each together in memory, however much comes.
        """
        message = event.assoc.dimse.message
        if message is not None and message.data_set.tell() > self._longest:
            self.failure = too_long()
            event.assoc.dul.socket.close()

    def raise_failure(self) -> None:
        """Raises what went wrong while landing, if anything did."""
        if isinstance(self.failure, HounsfieldError):
            raise self.failure
        if self.failure is not None:
            raise self.failure from None


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class Part:
    """An instance on its way in: a file that nobody takes for whole until it is.

    Its bytes are hashed as they are written, and never held.

    Parameters
    ----------
    folder
        On the disk where the instance will be.
    hasher
        Makes what its bytes are hashed with.

    Attributes
    ----------
    size
        Bytes of the file, as far as it is written.

    Raises
    ------
    StoreUnavailable
        If the folder cannot be written, for instance because the disk is full. Nothing is left
        there then; the same goes for what it does later.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        hasher: Callable[[], _Hash] = hashlib.sha256,
    ) -> None:
        # Names are text here and not paths, whose making takes longer than what is done to them.
        self._path = f"{folder}/.{uuid.uuid4().hex}.part"
        self._hash = hasher()
        self.size = 0
        header = file_header(sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        self._offset = len(header)
        try:
            # Unbuffered: a fragment is large, and is the network's again when `write` returns.
            self._file = open(self._path, "w+b", buffering=0)  # noqa: PTH123, SIM115
        except OSError as error:
            raise _unwritable(error) from None
        self.write(header)

    def write(self, data: bytes | memoryview) -> None:
        """Appends to the file."""
        self._hash.update(data)
        self.size += len(data)
        try:
            with memoryview(data) as view:
                written = 0
                while written < len(view):  # A system call takes at most 2 GiB.
                    written += self._file.write(view[written:])
        except OSError as error:
            self.discard()
            raise _unwritable(error) from None

    def data_set(self) -> BinaryIO:
        """What was written behind the header, to be read from its first byte."""
        self._file.seek(self._offset)
        return self._file

    def settle(self, name: str = "") -> None:
        """Sees what is written onto the disk; before it is published.

        Parameters
        ----------
        name
            That it has from now on where it is, and that goes onto the disk with it, as ext4
            and XFS do it. Without one it stays what nobody takes for whole.
        """
        try:
            if name:
                named = f"{os.path.dirname(self._path)}/{name}"  # noqa: PTH120
                os.rename(self._path, named)  # noqa: PTH104
                self._path = named
            os.fsync(self._file.fileno())
        except OSError as error:
            self.discard()
            raise _unwritable(error) from None

    def publish(self, folder: Path, *, sync: bool = True) -> bool:
        """Gives the file its name in `folder`: its digest.

        Parameters
        ----------
        sync
            Whether the name is to survive a power cut, too, when this returns.

        Returns
        -------
        bool
            Whether it is new there. A file of this content that is there already stays, with
            its time of arrival.

        Raises
        ------
        FileNotFoundError
            If there is no such folder. The file is still there, for another try.
        """
        try:
            is_new = name_anew(self._path, f"{folder}/{self.digest}.dcm")
            if sync:
                sync_entry(folder)
        except FileNotFoundError:
            raise
        except OSError as error:
            self.discard()
            raise _unwritable(error) from None
        self.discard()
        return is_new

    def discard(self) -> None:
        """Removes the name that it came under, which is all there is of what was not published."""
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108

    @property
    def digest(self) -> str:
        """Of the file, as far as it is written; in hexadecimal."""
        return self._hash.hexdigest()


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
    and then renamed to its SHA-256.

    Raises
    ------
    StoreUnavailable
        If the folder cannot be written, for instance because the disk is full.
    """
    part = Part(
        folder,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
    )
    with data.getbuffer() as body:
        part.write(body)
    try:
        part.settle()
        part.publish(folder)
    except FileNotFoundError as error:
        raise _unwritable(error) from None
    finally:
        part.discard()
    return InstanceEntry(
        SOPInstanceUID=sop_instance_uid,
        SOPClassUID=sop_class_uid,
        TransferSyntaxUID=transfer_syntax_uid,
        path=f"{part.digest}.dcm",
        size=part.size,
        sha256=part.digest,
    )


def too_long() -> PermanentError:
    """What to raise where an instance goes on beyond what is taken."""
    return PermanentError(
        "an instance that comes is longer than max_instance, if it has an end",
        remedy="raise that where its source is configured, or tell who administers the PACS",
    )


def sync_entry(path: Path) -> None:
    """Sees a file, or what a folder lists, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def name_anew(path: str | Path, target: str | Path) -> bool:
    """Gives a file a name that is nobody's yet, and says whether it was.

    A rename would take the name from the file of another process that came in between, and
    both would call theirs the first.
    """
    try:
        os.link(path, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        if Path(target).exists():
            return False
        Path(path).replace(target)  # A disk without second names: as good as it can be there.
    return True


def _unwritable(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"a received instance could not be written: {error.strerror}",
        remedy="see the space and the permissions of the landing folder",
    )
