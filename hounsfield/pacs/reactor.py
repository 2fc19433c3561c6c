"""pynetdicom's association as acceptor (seen in 3.0.4), made to wait where it polls.

As it comes, an association looks every millisecond whether there is something to do, in two
threads; reads 4 KiB at a time; waits without end for the rest of a PDU; and puts a data set
together in memory. Here it sleeps until a byte comes or something is to be sent; reads what
there is; gives up on a peer that does not finish a PDU; refuses a PDU that claims to be
absurdly long; and hands each fragment of a C-STORE on as it comes. The state machine (PS3.8
Section 9.2) and all that it decides are pynetdicom's own.
"""

from __future__ import annotations

import queue
import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pynetdicom import AE, Association
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.transport import AssociationSocket

from hounsfield.pacs.gate import ReactorGate
from hounsfield.pacs.stream import Begin, StreamingDimse

__all__ = ["Acceptor"]

_IDLE = 0.5  # seconds after which time-outs are looked at, if nothing happens
_ROOM = 1 << 18  # bytes read at once; pages that are never written cost no memory
_HEAD = 6  # bytes of a PDU before its variable field: PS3.8 Section 9.3.1
_LONGEST = 1 << 20  # bytes: 128 presentation contexts need less, and we announce less for data
_P_DATA = 0x04
_TYPES = range(1, 8)
_OPEN = "Sta6"  # association established, ready for data transfer
_CLOSING = "Sta13"  # awaiting that the peer closes the connection
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Acceptor(Association):  # type: ignore[misc]
    """An association that a peer has asked for.

    Parameters
    ----------
    begin
        Takes the C-STORE requests.
    ended
        Called once, when the association has ended, however it did.
    """

    def __init__(self, entity: AE, begin: Begin, ended: Callable[[Acceptor], None]) -> None:
        super().__init__(entity, MODE_ACCEPTOR)
        self.work = threading.Event()
        self._ended = ended
        self.dul = Reactor(self)
        self.dimse = StreamingDimse(self, begin, _Queue(self.work))
        self._reactor_checkpoint = _Gate(self)
        # Setting these once more gives them to the new reactor's timers.
        self.acse_timeout = entity.acse_timeout
        self.network_timeout = entity.network_timeout

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        finally:
            self._ended(self)


class Connection(AssociationSocket):  # type: ignore[misc]
    """A socket that is read without waiting, and written within a time."""

    def send(self, bytestream: bytes) -> None:
        try:
            try:
                sent = self.socket.send(bytestream)
            except _LATER:
                sent = 0
            if sent < len(bytestream):
                self.socket.settimeout(self.assoc.network_timeout)
                self.socket.sendall(memoryview(bytestream)[sent:])
                self.socket.settimeout(0)
        except (OSError, AttributeError):  # None where it was closed meanwhile
            self.event_queue.put("Evt17")


class Reactor(DULServiceProvider):  # type: ignore[misc]
    """The upper layer's thread of one association."""

    def __init__(self, association: Acceptor) -> None:
        super().__init__(association)
        self.to_user_queue = _Queue(association.work)
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        self._buffer = bytearray(_ROOM)
        self._start = self._end = 0  # of what is read and not yet used
        self._polled: select.poll | None = None

    def run_reactor(self) -> None:
        """pynetdicom's loop, but for its sleeps. What ends it in disorder is never printed."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                self._turn()
        except Exception:  # A peer that breaks the protocol; its words are in the message.
            self._break_off()
        finally:
            self.assoc.dimse.abandon()
            self._buffer = bytearray()
            self._bell.close()
            self._ringer.close()
            self.assoc.work.set()

    def _turn(self) -> None:
        """Takes one thing to send, or what the peer sent, and one step of the state machine."""
        if self.artim_timer.expired:
            self.event_queue.put("Evt18")
        if (
            self.event_queue.empty()  # Else there is something to do, and nothing to wait for.
            and not self._process_recv_primitive()
            and self._is_transport_event()
        ):
            self._idle_timer.restart()
        with suppress(queue.Empty):
            self.state_machine.do_action(self.event_queue.get(block=False))

    def _break_off(self) -> None:
        """Aborts past the state machine, which is in disorder."""
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00  # the provider, no reason given
        self.socket.send(abort.encode())
        self.socket.close()
        self.assoc.is_aborted = True
        self.assoc.is_established = False
        self.assoc._kill = True

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        self._ring()

    def kill_dul(self) -> None:
        super().kill_dul()
        self._ring()

    def stop_dul(self) -> bool:
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        if threading.current_thread() is not self:
            self.join()
        return True

    def _ring(self) -> None:
        if threading.current_thread() is not self:
            with suppress(OSError):  # It rings already, or the reactor has ended.
                self._ringer.send(b"\0")

    def _is_transport_event(self) -> bool:
        """Waits for the peer, or for us; whether an event of the peer's was queued."""
        if self.state_machine.current_state == _CLOSING:
            return bool(super()._is_transport_event())
        if not self._is_whole() and not self._receive():
            return False
        self._read_pdu_data()
        return True

    def _receive(self) -> bool:
        """Reads what there is; whether that makes a PDU, or ends the connection."""
        connection = self.socket.socket if self.socket else None
        if connection is None:
            self._wait(None)
            return False
        self._make_room()
        try:
            count = connection.recv_into(memoryview(self._buffer)[self._end :])
        except _LATER:
            self._wait(connection)
            return False
        except OSError:
            count = 0
        if not count:
            self.event_queue.put("Evt17")  # transport connection closed
            return True
        self._end += count
        is_whole = self._is_whole()
        if not is_whole and not isinstance(connection, ssl.SSLSocket):
            _acknowledge(connection)
        return is_whole

    def _wait(self, connection: socket.socket | None) -> None:
        if self._polled is None:
            self._polled = select.poll()
            self._polled.register(self._bell, select.POLLIN)
            if connection is not None:
                self._polled.register(connection, select.POLLIN)
        ready = self._polled.poll(_IDLE * 1000)
        if any(descriptor == self._bell.fileno() for descriptor, _ in ready):
            self._bell.recv(4096)

    def _length(self) -> int:
        """Bytes of the PDU that is being read; 0 if its head is not here yet."""
        if self._end - self._start < _HEAD:
            return 0
        return _HEAD + int.from_bytes(self._buffer[self._start + 2 : self._start + _HEAD], "big")

    def _is_whole(self) -> bool:
        """Whether a PDU is here, or the head of one that will not be read."""
        length = self._length()
        return bool(length) and (self._is_absurd(length) or self._end - self._start >= length)

    def _is_absurd(self, length: int) -> bool:
        return length > _LONGEST or self._buffer[self._start] not in _TYPES

    def _make_room(self) -> None:
        """So that the PDU that is being read fits in behind what is here."""
        if self._start == self._end:
            self._start = self._end = 0
        missing = max(self._length(), _HEAD) - (len(self._buffer) - self._start)
        if missing > 0:
            rest = self._buffer[self._start : self._end]
            if missing > self._start:
                self._buffer = bytearray(max(self._length(), _ROOM))
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)

    def _read_pdu_data(self) -> None:
        """Takes one PDU out of the buffer."""
        if not self._is_whole():  # only while closing, where pynetdicom itself calls this
            self._receive()
            return
        length = self._length()
        if self._is_absurd(length):
            self._start = self._end
            self.event_queue.put("Evt19")  # unrecognised or invalid PDU
            return
        start, self._start = self._start, self._start + length
        try:
            with memoryview(self._buffer)[start : start + length] as pdu:
                self._take(pdu)
        except Exception:  # whatever the bytes lead pynetdicom to; its message may quote them
            self.event_queue.put("Evt19")

    def _take(self, pdu: memoryview) -> None:
        if pdu[0] == _P_DATA and self.state_machine.current_state == _OPEN:
            # Action DT-2 of PS3.8 Table 9-9, which keeps the state: without the detour.
            with pdu[_HEAD:] as values:
                self.assoc.dimse.take(values)
            return
        decoded, event = self._decode_pdu(bytearray(pdu))
        self._recv_pdu.put(decoded)
        self.event_queue.put(event)


class _Queue(queue.Queue[Any]):
    """A queue that tells when something was put into it."""

    def __init__(self, work: threading.Event) -> None:
        super().__init__()
        self._work = work

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._work.set()


class _Gate(ReactorGate):
    """The association's thread comes here once a round, and rests till there is work."""

    def __init__(self, association: Acceptor) -> None:
        super().__init__(association)
        self._association = association

    def wait(self) -> bool:
        work, association = self._association.work, self._association
        if association.dimse.msg_queue.empty() and association.dul.to_user_queue.empty():
            work.wait(_IDLE)
        work.clear()
        return super().wait()

    def clear(self) -> None:
        self._is_open = False  # before it is woken, so that it finds the gate closed
        self._association.work.set()
        super().clear()


def _acknowledge(connection: socket.socket) -> None:
    """See `hounsfield.pacs.association.acknowledge_at_once`."""
    with suppress(OSError, AttributeError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
