"""Associations as a context manager, and how their failures are named.

Importing this module sets three of pynetdicom's process-wide options: its logging is
switched off, because it quotes identifiers (PHI); files are sent as they are, in chunks,
without being decoded.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pynetdicom import AE, Association, _config, build_context, evt
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext

from hounsfield.errors import ConfigError, HounsfieldError, PacsUnavailable
from hounsfield.pacs.gate import guard
from hounsfield.pacs.patience import Pulse, wait_while_it_beats
from hounsfield.pacs.peer import DimsePeer

__all__ = [
    "SOCKET_HANDLERS",
    "WAITING_HANDLERS",
    "NothingAccepted",
    "application_entity",
    "associate",
    "context",
    "lost",
    "send_at_once",
]

_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.STORE_SEND_CHUNKED_DATASET = True
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)

_REJECTED_PERMANENT = 1
_PRESENTATION_PROVIDER = 3
# (source, reason) of an A-ASSOCIATE-RJ: PS3.8 Table 9-21.
_REJECTIONS: dict[tuple[int, int], tuple[str, str]] = {
    (1, 1): ("without a reason", "ask its administrator whether it knows us"),
    (1, 2): ("it does not know DICOM's application context", "is it a DICOM server?"),
    (1, 3): ("it does not know our calling AE title", "register calling_ae_title there"),
    (1, 7): ("the called AE title is not its own", "check ae_title"),
    (2, 1): ("without a reason", "ask its administrator"),
    (2, 2): ("it speaks another protocol version", "is it a DICOM server?"),
    (3, 1): ("it is congested for now", "it is tried again"),
    (3, 2): ("it has too many associations just now", "it is tried again"),
}


class NothingAccepted(ConfigError):
    """The PACS accepted the association, but none of its presentation contexts."""


def application_entity(peer: DimsePeer, ae_title: str | None = None) -> AE:
    """pynetdicom's AE with the peer's time-outs and PDU length."""
    entity = AE(ae_title=ae_title or peer.calling_ae_title)
    entity.connection_timeout = peer.timeouts.connect
    entity.acse_timeout = peer.timeouts.associate
    entity.dimse_timeout = peer.timeouts.message
    entity.network_timeout = peer.timeouts.idle
    entity.maximum_pdu_size = peer.max_pdu
    return entity


@contextmanager
def associate(
    peer: DimsePeer,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[Any] = (),
    handlers: Sequence[tuple[Any, ...]] = (),
    calling: str | None = None,
    pulse: Pulse | None = None,
) -> Iterator[Association]:
    """An established association; released at the end, aborted on an error.

    Parameters
    ----------
    calling
        The AE title that we call with, if it is not the peer's ``calling_ae_title``.
    pulse
        What shows that the PACS is at it; None: what moves on this association.

    Raises
    ------
    PacsUnavailable
        No connection, no answer in time, an abort, or a transient rejection.
    ConfigError
        The PACS rejected us for good, or accepts none of the contexts.
    """
    pulse = pulse or Pulse()
    handlers = [*pulse.handlers, *handlers]
    association = _request(peer, application_entity(peer, calling), contexts, roles, handlers)
    wait_while_it_beats(association, pulse)
    try:
        yield association
    except BaseException:
        with suppress(Exception):
            association.abort()
        raise
    else:
        association.release()


def lost(peer: DimsePeer) -> PacsUnavailable:
    """The association ended, or nothing came in time, before the answer was whole."""
    return PacsUnavailable(
        "the association broke off, or the PACS fell silent", where=peer.where, remedy="try again"
    )


def send_at_once(event: evt.Event) -> None:
    """A handler of EVT_CONN_OPEN: sets TCP_NODELAY.

    A DIMSE exchange is many small writes that wait for each other: with Nagle's algorithm
    each costs up to 40 ms.
    """
    _set_option(event, "TCP_NODELAY")


def acknowledge_at_once(event: evt.Event) -> None:
    """A handler of EVT_PDU_RECV: sets TCP_QUICKACK, which the kernel forgets after a while.

    A peer that has not switched Nagle's algorithm off (qrscp, DCMTK, Orthanc by default)
    sends the second PDU of a message only when we acknowledged the first.
    """
    _set_option(event, "TCP_QUICKACK")


def wait_no_longer(event: evt.Event) -> None:
    """A handler of EVT_CONN_OPEN: no read and no write takes longer than the network time-out.

    pynetdicom waits without end for the rest of a PDU, and for a peer to read what is sent;
    and whoever aborts the association then waits with it.
    """
    event.assoc.dul.socket.socket.settimeout(event.assoc.network_timeout)


SOCKET_HANDLERS = (
    (evt.EVT_CONN_OPEN, send_at_once),
    (evt.EVT_PDU_RECV, acknowledge_at_once),
)
#: Where the association is pynetdicom's own; the receiver's waits for nothing.
WAITING_HANDLERS = (*SOCKET_HANDLERS, (evt.EVT_CONN_OPEN, wait_no_longer))


def _set_option(event: evt.Event, name: str) -> None:
    connection, option = event.assoc.dul.socket, getattr(socket, name, None)
    if option is not None and connection is not None and connection.socket is not None:
        with suppress(OSError):  # closed meanwhile: its end is noticed elsewhere
            connection.socket.setsockopt(socket.IPPROTO_TCP, option, 1)


class _Answers:
    """Notes how the peer answered the association request.

    pynetdicom itself misses a rejection after which the peer hangs up at once: it then finds
    the connection closed, and takes it for one that never was.
    """

    def __init__(self) -> None:
        self.rejection: A_ASSOCIATE_RJ | None = None
        self.accepted = False

    def note(self, event: evt.Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            self.rejection = event.pdu
        elif isinstance(event.pdu, A_ASSOCIATE_AC):
            self.accepted = True


def _request(
    peer: DimsePeer,
    entity: AE,
    contexts: Sequence[PresentationContext],
    roles: Sequence[Any],
    handlers: Sequence[tuple[Any, ...]],
) -> Association:
    answers = _Answers()
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.ae_title,
            max_pdu=peer.max_pdu,
            ext_neg=list(roles),
            tls_args=(peer.tls.client(), peer.host) if peer.tls else None,
            evt_handlers=[*WAITING_HANDLERS, (evt.EVT_PDU_RECV, answers.note), *handlers],
        )
    except socket.gaierror:
        raise PacsUnavailable(
            "the host name has no address", where=peer.where, remedy="check host"
        ) from None
    if not association.is_established:
        raise _failure(peer, association, answers)
    guard(association)
    return association


def _failure(peer: DimsePeer, association: Association, answers: _Answers) -> HounsfieldError:
    if answers.rejection is not None:
        return _rejection(peer, answers.rejection)
    if answers.accepted and not association.accepted_contexts:
        return NothingAccepted(
            "the PACS offers none of the services that were asked for", where=peer.where
        )
    remedy = "is it running, and are host and port right?"
    if peer.tls is not None:
        remedy += " Does each side trust the other's certificate?"
    return PacsUnavailable("no association with the PACS", where=peer.where, remedy=remedy)


def _rejection(peer: DimsePeer, pdu: A_ASSOCIATE_RJ) -> HounsfieldError:
    key = (int(pdu.source or 0), int(pdu.reason_diagnostic or 0))
    words, remedy = _REJECTIONS.get(key, _REJECTIONS[1, 1])
    permanent = pdu.result == _REJECTED_PERMANENT and key[0] != _PRESENTATION_PROVIDER
    error = ConfigError if permanent else PacsUnavailable
    return error(f"the PACS rejected the association: {words}", where=peer.where, remedy=remedy)


def context(abstract_syntax: str, *transfer_syntaxes: str) -> PresentationContext:
    """One presentation context; pynetdicom's default transfer syntaxes if none are given."""
    return build_context(abstract_syntax, list(transfer_syntaxes) or None)
