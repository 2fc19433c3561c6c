"""STOW-RS (PS3.18 Section 10.5): one object a request, so that each has an answer of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http.client import INTERNAL_SERVER_ERROR, MULTIPLE_CHOICES, OK
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import requests
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from requests import exceptions

from hounsfield.errors import ConfigError
from hounsfield.pacs import dicom_json as dj
from hounsfield.pacs.client import OutcomeSink, StoreOutcome
from hounsfield.pacs.outgoing import BROKE_OFF, MAX_BREAKS, Outgoing, Unsendable, prepare
from hounsfield.pacs.web_peer import WebPeer
from hounsfield.pacs.web_session import asking, open_session, status_error, timeout, unavailable

__all__ = ["store_objects"]

_CHUNK = 1 << 20  # bytes
_LONGEST_COMMENT = 2000  # characters
# HTTP status → the object is refused for good, whoever asks: PS3.18 Table 10.5.3-1.
_REFUSED: dict[int, str] = {
    400: "the PACS cannot understand the object",
    409: "the PACS does not take the object",
    413: "the object is too large for the PACS",
    415: "the PACS does not take objects of this kind",
    422: "the PACS cannot process the object",
}
_NOT_TOLD = "the PACS did not tell what became of it"
_BREAKS = (
    exceptions.ConnectionError,
    exceptions.Timeout,
    exceptions.ChunkedEncodingError,
    exceptions.ContentDecodingError,
)
_PROCESSING_FAILURE = 0x0110
_CANNOT_UNDERSTAND = 0xC000


def store_objects(
    peer: WebPeer, objects: Iterable[Path | Dataset], sink: OutcomeSink | None = None
) -> list[StoreOutcome]:
    """Sends each object as it is.

    One that the PACS breaks off at, or falls silent at, is ``busy``, and does not keep the
    others from being sent.

    Raises
    ------
    ConfigError
        The PACS does not let us store, or has no STOW-RS.
    PacsUnavailable
        Several breaks in a row. `sink` has seen the outcomes of what went before; sending
        everything again is safe.
    """
    outcomes: list[StoreOutcome] = []
    breaks = 0
    with open_session(peer) as session:
        for source in objects:
            outcome = _store(peer, session, source)
            breaks = breaks + 1 if outcome.reason == BROKE_OFF else 0
            outcomes.append(outcome)
            if sink is not None:
                sink(outcome)
            if breaks == MAX_BREAKS:
                raise unavailable(peer)
    return outcomes


def _store(peer: WebPeer, session: requests.Session, source: Path | Dataset) -> StoreOutcome:
    try:
        item = prepare(source)
    except Unsendable as reason:
        return StoreOutcome("", "", "refused", None, str(reason))
    try:
        body = _Body(_file(item))
    except Unsendable as reason:
        return item.refused(str(reason))
    except Exception as error:
        return item.refused(f"it cannot be encoded ({type(error).__name__})")
    with asking(peer):
        try:
            response = session.post(
                peer.address(peer.stow_prefix, "studies"),
                data=body,
                headers={"Content-Type": body.content_type, "Accept": "application/dicom+json"},
                timeout=timeout(peer),
            )
        except exceptions.SSLError:
            raise
        except _BREAKS:
            return item.outcome("busy", BROKE_OFF)
    return _outcome(peer, item, response)


def _file(item: Outgoing) -> Path | bytes:
    """The file as it is where it is one that can be sent so; else the object encoded anew."""
    if item.as_is and isinstance(item.source, Path):
        return item.source
    buffer = BytesIO()
    dcmwrite(buffer, item.load(), enforce_file_format=True)
    return buffer.getvalue()


class _Body:
    """A multipart body of one part, read from disk while it is sent."""

    def __init__(self, content: Path | bytes) -> None:
        boundary = uuid4().hex
        self.content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._content = content

    def __len__(self) -> int:
        content = self._content
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        return len(self._head) + size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        if isinstance(self._content, Path):
            with self._content.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        else:
            yield self._content
        yield self._tail


def _outcome(peer: WebPeer, item: Outgoing, response: requests.Response) -> StoreOutcome:
    """What the response says of the object; where it says nothing, what its status means."""
    comment = response.content.decode(errors="replace")[:_LONGEST_COMMENT]
    for answer in _answers(response):
        for failed in _about(item, answer, "FailedSOPSequence"):
            is_ours = response.status_code < INTERNAL_SERVER_ERROR
            default = _CANNOT_UNDERSTAND if is_ours else _PROCESSING_FAILURE
            code = dj.count(failed, "FailureReason") or default
            return item.answered(code, comment, f"HTTP {response.status_code}")
        for stored in _about(item, answer, "ReferencedSOPSequence"):
            warning = dj.count(stored, "WarningReason")
            if warning is None:
                return item.outcome("stored", "success")
            return item.outcome("warning", f"stored, with a warning (0x{warning:04X})", warning)
    return _by_status(peer, item, response.status_code, comment)


def _answers(response: requests.Response) -> list[dj.Answer]:
    try:
        return dj.objects(response.content)
    except ValueError:
        return []  # XML, or a page of a proxy


def _about(item: Outgoing, answer: dj.Answer, sequence: str) -> list[dj.Answer]:
    found = dj.items(answer, sequence)
    return [i for i in found if dj.text(i, "ReferencedSOPInstanceUID") == item.sop_instance_uid]


def _by_status(peer: WebPeer, item: Outgoing, status: int, comment: str) -> StoreOutcome:
    if status == OK:
        return item.outcome("stored", "success")
    if status < MULTIPLE_CHOICES:
        return item.outcome("warning", f"{_NOT_TOLD} (HTTP {status})")
    if status in _REFUSED:
        return item.outcome("refused", f"{_REFUSED[status]} (HTTP {status})", None, comment)
    error = status_error(peer, status)
    if isinstance(error, ConfigError):
        raise error
    return item.outcome("busy", error.what, None, comment)
