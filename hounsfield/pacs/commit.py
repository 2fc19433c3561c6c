"""Storage Commitment as an SCU (PS3.4 Annex J, Push Model)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from hounsfield.errors import (
    ConfigError,
    HounsfieldError,
    InternalError,
    NotYet,
    PacsUnavailable,
)
from hounsfield.pacs.association import NothingAccepted, associate, context, lost
from hounsfield.pacs.client import Commitment, CommitmentNotSupported
from hounsfield.pacs.own_scp import called_back, entity_for
from hounsfield.pacs.peer import DimsePeer, MoveDestination

__all__ = ["commit_objects", "read_report", "report_handlers"]

log = logging.getLogger(__name__)

_REQUEST = 1  # Action Type ID (Table J.3-1)
_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
# Failure Reason (0008,1197) in the report: PS3.3 Section C.14.1.1.
_REASONS: dict[int, str] = {
    0x0110: "processing failure",
    0x0112: "the PACS has no such object",
    0x0119: "the object is of another class in the PACS",
    0x0122: "the PACS does not commit to objects of this class",
    0x0131: "the PACS has seen this transaction before",
    0x0213: "the PACS is out of resources",
}
# What it commits itself to, and what not (Table J.3-2).
_SEQUENCES = ("ReferencedSOPSequence", "FailedSOPSequence")
_NOT_TOLD = "the report does not mention it"
# Status of the N-ACTION response (PS3.7 Section 10.1.4.1.10) → the PACS has no such service.
_NO_SERVICE = frozenset({0x0112, 0x0118, 0x0122, 0x0123, 0x0211})
_NOT_AUTHORISED = 0x0124


class _Mailbox:
    """Takes the report on some objects, from whichever association brings it.

    That is the one on our transaction, or one on all of these objects: who asked before and did
    not wait for so long began that. A PACS that always takes longer would never be heard.
    """

    def __init__(self, asked: Collection[str]) -> None:
        self.transaction = str(generate_uid())
        self._asked = frozenset(asked)
        self.report: Dataset | None = None
        self._is_answered = threading.Event()

    @property
    def handlers(self) -> list[tuple[Any, ...]]:
        """For the association of the request, and for those that the PACS opens."""
        return [(evt.EVT_N_EVENT_REPORT, self._take), (evt.EVT_PDU_SENT, self._note)]

    def wait(self, seconds: float) -> None:
        """Returns when a report is here and our answer to it is sent, or after so long."""
        self._is_answered.wait(seconds)

    def _take(self, event: evt.Event) -> tuple[int, None]:
        """Reports on other objects, which came too late for who asked, are acknowledged too, so
        that the PACS does not repeat them for ever.
        """
        report = event.event_information
        if self.report is None and self._is_wanted(report):
            self.report = report
        return _SUCCESS, None

    def _is_wanted(self, report: Dataset) -> bool:
        return report.get("TransactionUID") == self.transaction or self._asked <= _told(report)

    def _note(self, event: evt.Event) -> None:
        if self.report is not None and isinstance(event.pdu, P_DATA_TF):
            self._is_answered.set()


def commit_objects(peer: DimsePeer, objects: Collection[tuple[str, str]]) -> Commitment:
    """Asks the PACS to take responsibility for objects (SOPClassUID, SOPInstanceUID).

    The report may come on the association of the request or, where there is a destination for
    it, on one that the PACS opens. Some wait for ours to be released before: it is held for
    half of the time only. Where the PACS reports to the receiver, that writes it down.

    Raises
    ------
    CommitmentNotSupported
        The PACS accepts no such presentation context, or says that it has no such service.
    NotYet
        No report came in time. Asking again is a new transaction; a report on the one before
        counts then, too.
    PacsUnavailable
        No association, or the PACS could not process the request.
    """
    if not objects:
        return Commitment(frozenset(), {})
    destination = None if peer.reports_to_receiver else peer.commitment or peer.move
    uids = {uid for _, uid in objects}
    mailbox = _Mailbox(uids)
    if destination is None:
        _ask(peer, peer.calling_ae_title, objects, mailbox, peer.timeouts.commitment)
    else:
        patience = peer.timeouts.commitment / 2
        with _callback(peer, destination, mailbox):
            _ask(peer, destination.ae_title, objects, mailbox, patience)
            mailbox.wait(patience)
    if mailbox.report is None:
        raise NotYet(
            "the PACS has not reported on a Storage Commitment",
            where=peer.where,
            remedy="does it know where to report to, and may it take longer? See commitment, "
            "move and timeouts of its peer",
            seconds=peer.timeouts.commitment,
        )
    return read_report(mailbox.report, uids)


def read_report(report: Dataset, asked: Collection[str]) -> Commitment:
    """What a report (Table J.3-2) says of each object that was asked about."""
    kept, refused = (_items(report, keyword) for keyword in _SEQUENCES)
    committed = {_text(item) for item in kept}
    failed = {_text(item): _reason(item) for item in refused}
    return Commitment(
        committed=frozenset(uid for uid in asked if uid in committed and uid not in failed),
        failed={
            uid: failed.get(uid, _NOT_TOLD)
            for uid in asked
            if uid in failed or uid not in committed
        },
    )


def report_handlers(sink: Callable[[str, Commitment], None]) -> list[tuple[Any, ...]]:
    """Handlers for a server that takes reports which nobody waits for.

    Parameters
    ----------
    sink
        Called with the AE title of who reports, and with what it says. Where it raises, the PACS
        is told so, and may repeat its report.
    """

    def take(event: evt.Event) -> tuple[int, None]:
        try:
            report = event.event_information
            said = read_report(report, _told(report))
            sink(str(event.assoc.requestor.ae_title).strip(), said)
        except Exception as error:  # pydicom raises whatever the bytes lead it to
            log.error("A commitment report could not be taken: %s", InternalError.of(error))
            return _PROCESSING_FAILURE, None
        return _SUCCESS, None

    return [(evt.EVT_N_EVENT_REPORT, take)]


def _ask(
    peer: DimsePeer,
    title: str,
    objects: Collection[tuple[str, str]],
    mailbox: _Mailbox,
    patience: float,
) -> None:
    """N-ACTION as `title`, to which the PACS will report; then waits for the report."""
    contexts = [context(StorageCommitmentPushModel)]
    with (
        _supported(peer),
        associate(peer, contexts, calling=title, handlers=mailbox.handlers) as association,
    ):
        status, _ = association.send_n_action(
            _request(mailbox.transaction, objects),
            _REQUEST,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        if "Status" not in status:
            raise lost(peer)
        if status.Status != _SUCCESS:
            raise _refusal(peer, int(status.Status))
        association.network_timeout = None  # The report has a time-out of its own.
        mailbox.wait(patience)


@contextmanager
def _supported(peer: DimsePeer) -> Iterator[None]:
    try:
        yield
    except NothingAccepted:
        raise CommitmentNotSupported(
            "the PACS has no Storage Commitment", where=peer.where
        ) from None


@contextmanager
def _callback(peer: DimsePeer, destination: MoveDestination, mailbox: _Mailbox) -> Iterator[None]:
    entity = entity_for(peer, destination)
    # The PACS calls, and is the SCP all the same (Section J.3.3).
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    with called_back(peer, destination, entity, mailbox.handlers):
        yield


def _request(transaction: str, objects: Collection[tuple[str, str]]) -> Dataset:
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = [_reference(*pair) for pair in objects]
    return request


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _refusal(peer: DimsePeer, status: int) -> HounsfieldError:
    if status in _NO_SERVICE:
        return CommitmentNotSupported(
            f"the PACS has no Storage Commitment (0x{status:04X})", where=peer.where
        )
    if status == _NOT_AUTHORISED:
        return ConfigError(
            "the PACS does not authorise a Storage Commitment",
            where=peer.where,
            remedy="ask its administrator",
        )
    return PacsUnavailable(
        f"the PACS could not process the request (0x{status:04X})",
        where=peer.where,
        remedy="try again",
    )


def _items(report: Dataset, keyword: str) -> list[Dataset]:
    items = report.get(keyword)
    return list(items) if isinstance(items, Sequence) else []


def _told(report: Dataset) -> set[str]:
    """The SOPInstanceUIDs that a report mentions."""
    return {_text(item) for keyword in _SEQUENCES for item in _items(report, keyword)}


def _text(item: Dataset) -> str:
    return str(item.get("ReferencedSOPInstanceUID") or "")


def _reason(item: Dataset) -> str:
    value = item.get("FailureReason")
    code = value if isinstance(value, int) else 0
    return f"{_REASONS.get(code, 'for a reason that the Standard does not know')} (0x{code:04X})"
