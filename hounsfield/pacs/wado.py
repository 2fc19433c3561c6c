"""WADO-RS (PS3.18 Section 10.4): instances as the PACS keeps them, each on disk once it is whole.

dicomweb-client gives parsed data sets, and holds half of one for whole where a connection
broke; bytes that must stay as they are do not pass through it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from http.client import NOT_FOUND
from io import BytesIO
from pathlib import Path

import requests
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag

from hounsfield.dicom.reading import is_cut_short
from hounsfield.pacs.client import EntrySink, InstanceRef
from hounsfield.pacs.contexts import TRANSFER_SYNTAXES
from hounsfield.pacs.landing import too_long, write_instance
from hounsfield.pacs.multipart import CutOffBody, PartTooLong, boundary_of, parts
from hounsfield.pacs.retrieve import requests_for
from hounsfield.pacs.web_peer import WebPeer
from hounsfield.pacs.web_session import (
    asking,
    open_session,
    segment,
    timeout,
    unavailable,
    unreadable,
)
from hounsfield.records import InstanceEntry

__all__ = ["Arrivals", "fetch_instances"]

log = logging.getLogger(__name__)

_CHUNK = 1 << 20  # bytes
# The asterisk: each instance in the transfer syntax in which it is kept (Section 8.7.3.5.2).
_HEADERS = {
    "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*',
    "Accept-Encoding": "identity",
}
_LEVELS = (
    ("StudyInstanceUID", "studies"),
    ("SeriesInstanceUID", "series"),
    ("SOPInstanceUID", "instances"),
)


class Arrivals:
    """A folder that takes the parts of answers.

    Parameters
    ----------
    wanted
        SOPInstanceUIDs to keep. Others came to the PACS since it was asked: it lists them when
        it is asked next.
    sink
        Called with each entry when its file is on disk. What it raises ends the retrieval.

    Attributes
    ----------
    cut_short
        How many came without their end.
    """

    def __init__(self, folder: Path, wanted: frozenset[str], sink: EntrySink | None = None) -> None:
        self.folder = folder
        self.wanted = wanted
        self.cut_short = 0
        self._entries: dict[tuple[str, str], InstanceEntry] = {}
        self._sink = sink
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def entries(self) -> tuple[InstanceEntry, ...]:
        """What has arrived, in order; one for each UID and content."""
        return tuple(self._entries.values())

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(sorted(self.wanted - {uid for uid, _ in self._entries}))

    def take(self, part: bytes) -> None:
        """Writes an instance, under the File Meta Information that C-STORE would give it.

        So the same instance is the same file, by whichever way it came. One that is cut short is
        left out, and still missing: a gateway may end in form a part that its server left off,
        and a half that is held would keep the whole from being fetched.

        Raises
        ------
        StoreUnavailable
            If the folder cannot be written.
        """
        meta, offset = _split(part)
        instance = _uid(meta, "MediaStorageSOPInstanceUID")
        sop_class = _uid(meta, "MediaStorageSOPClassUID")
        if instance not in self.wanted:
            # A PACS may hand on what a sender wrote there; the data set's own UID counts.
            data_set = _identify(part)
            instance, sop_class = (_uid(data_set, k) for k in ("SOPInstanceUID", "SOPClassUID"))
        syntax = _uid(meta, "TransferSyntaxUID")
        if instance not in self.wanted or not syntax:
            return
        entry = write_instance(
            self.folder,
            BytesIO(memoryview(part)[offset:]),
            sop_class_uid=sop_class,
            sop_instance_uid=instance,
            transfer_syntax_uid=syntax,
        )
        path = self.folder / entry.path
        # How others encode a data set, and so where it ends, is not known.
        if syntax in TRANSFER_SYNTAXES and is_cut_short(path):
            log.warning("An instance came cut short, and is not kept: it is asked for again.")
            path.unlink()
            self.cut_short += 1
            return
        key = entry.SOPInstanceUID, entry.sha256
        if self._sink is not None and key not in self._entries:
            self._sink(entry)
        self._entries[key] = entry


def fetch_instances(
    peer: WebPeer,
    study_instance_uid: str,
    wanted: Sequence[InstanceRef],
    every: Collection[InstanceRef],
    arrivals: Arrivals,
) -> None:
    """Fetches `wanted` out of `every`: a whole study or series at once, else one by one.

    Raises
    ------
    PacsUnavailable
        If the connection breaks; what had arrived whole by then stays.
    PermanentError
        If an instance is longer than ``max_instance``.
    """
    with open_session(peer) as session:
        for identifier in requests_for(study_instance_uid, wanted, every):
            url = _url(peer, identifier)
            with asking(peer), _get(peer, session, url) as response:
                if response.status_code == NOT_FOUND:
                    continue  # it went away since it was listed: the report tells
                response.raise_for_status()
                for part in _parts(peer, response):
                    arrivals.take(part)


def _url(peer: WebPeer, identifier: Dataset) -> str:
    levels = [(name, identifier[uid].value) for uid, name in _LEVELS if uid in identifier]
    path = "/".join(f"{name}/{segment(uid)}" for name, uid in levels)
    return peer.address(peer.wado_prefix, path)


def _get(peer: WebPeer, session: requests.Session, url: str) -> requests.Response:
    return session.get(url, headers=_HEADERS, stream=True, timeout=timeout(peer))


def _parts(peer: WebPeer, response: requests.Response) -> Iterator[bytes]:
    content_type = response.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() == "application/dicom":
        # One instance as it is, which the Standard does not have: its length must be told, or
        # nothing could tell whether it is whole.
        if "Content-Length" not in response.headers:
            raise unavailable(peer)
        whole = bytearray()
        for chunk in response.iter_content(_CHUNK):
            whole += chunk
            if len(whole) > peer.max_instance:
                raise too_long()
        yield bytes(whole)
        return
    boundary = boundary_of(content_type)
    if boundary is None:
        raise unreadable(peer)
    try:
        yield from parts(response.iter_content(_CHUNK), boundary, longest=peer.max_instance)
    except CutOffBody:
        raise unavailable(peer) from None
    except PartTooLong:
        raise too_long() from None


def _split(part: bytes) -> tuple[Dataset, int]:
    """The File Meta Information, and where the data set begins; both empty in no DICOM file."""
    stream = BytesIO(part)
    try:
        read_preamble(stream, force=False)
        meta = read_dataset(
            stream, is_implicit_VR=False, is_little_endian=True, stop_when=_is_past_meta
        )
    except Exception:  # pydicom raises whatever the bytes lead it to
        return Dataset(), 0
    return meta, stream.tell()


def _is_past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2


def _identify(part: bytes) -> Dataset:
    try:
        return dcmread(
            BytesIO(part), stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"]
        )
    except Exception:
        return Dataset()


def _uid(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "").strip("\0 ")
    except Exception:  # a value that its VR does not allow
        return ""
