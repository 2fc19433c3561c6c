"""DIMSE messages of an acceptor: the data set of a C-STORE is handed on as it comes.

pynetdicom has an option for that (STORE_RECV_CHUNKED_DATASET), which writes each data set to
the folder for temporary files, on whatever disk that is, flushes it with every fragment, from
a file header of its own making, and leaves the file behind when the association breaks off.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from queue import Queue
from typing import Any, Protocol

from pynetdicom import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from hounsfield.errors import UnreadableFile
from hounsfield.pacs.command import StoreRequest, store_request, store_response

__all__ = ["Begin", "Incoming", "StreamingDimse"]

_COMMAND = 1  # bits of the Message Control Header: PS3.8 Section E.2
_LAST = 2
_VALUE = struct.Struct(">IBB")  # item length, context ID, message control header
_PDU = struct.Struct(">BxI")  # type, length: PS3.8 Section 9.3.1
_P_DATA_TF = 0x04
_LONGEST_COMMAND = 1 << 16  # bytes
_LONGEST_DATA_SET = 1 << 24  # bytes, of a message other than C-STORE
_CANNOT_UNDERSTAND = 0xC000


class Incoming(Protocol):
    """A data set on its way in."""

    def write(self, fragment: memoryview) -> None:
        """Takes the next bytes; they are gone when this returns. Raises nothing."""

    def finish(self) -> int:
        """The last byte is here: gives the status of the response. Raises nothing."""

    def discard(self) -> None:
        """No more will come."""


#: Called with a request and the transfer syntax of its presentation context.
Begin = Callable[[StoreRequest, str], Incoming]


class StreamingDimse(DIMSEServiceProvider):  # type: ignore[misc]
    """Answers C-STORE in the thread that reads; all else goes pynetdicom's way.

    What is refused here raises: the upper layer then aborts the association.
    """

    def __init__(self, association: Association, begin: Begin, messages: Queue[Any]) -> None:
        super().__init__(association)
        self.msg_queue = messages
        self._begin = begin
        self._command = bytearray()
        self._other = 0  # bytes of a data set that pynetdicom is collecting
        self._request: StoreRequest | None = None
        self._context_id = 0
        self._incoming: Incoming | None = None
        self._sending = threading.Lock()

    def take(self, values: memoryview) -> None:
        """The presentation data values of one P-DATA-TF (PS3.8 Section 9.3.5).

        Raises
        ------
        UnreadableFile
            If they are not what they claim, or not what the message before them calls for.
        """
        offset, end = 0, len(values)
        while offset < end:
            if offset + _VALUE.size > end:
                raise _unreadable()
            length, context_id, control = _VALUE.unpack_from(values, offset)
            stop = offset + 4 + length
            if length < 2 or stop > end:
                raise _unreadable()
            with values[offset + _VALUE.size : stop] as fragment:
                self._take(context_id, control, fragment)
            offset = stop

    def abandon(self) -> None:
        """The association has ended, whatever was under way."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _take(self, context_id: int, control: int, fragment: memoryview) -> None:
        if control & _COMMAND:
            self._take_command(context_id, control, fragment)
        elif self._incoming is not None:
            if context_id != self._context_id:
                raise _unreadable()
            self._incoming.write(fragment)
            if control & _LAST:
                incoming, self._incoming = self._incoming, None
                self._respond(incoming.finish())
        else:
            self._other += len(fragment)
            self._pass(context_id, control, bytes(fragment))

    def _take_command(self, context_id: int, control: int, fragment: memoryview) -> None:
        self._command += fragment
        if self._incoming is not None or len(self._command) > _LONGEST_COMMAND:
            raise _unreadable()
        if not control & _LAST:
            return
        command, self._command, self._other = bytes(self._command), bytearray(), 0
        self._request, self._context_id = store_request(command), context_id
        if self._request is None:
            self._pass(context_id, control, command)
            return
        context = self.assoc._accepted_cx.get(context_id)
        if context is None:
            raise _unreadable()
        if self._request.has_data_set:
            self._incoming = self._begin(self._request, str(context.transfer_syntax[0]))
        else:
            self._respond(_CANNOT_UNDERSTAND)

    def _pass(self, context_id: int, control: int, value: bytes) -> None:
        if self._other > _LONGEST_DATA_SET:
            raise _unreadable()
        super().receive_primitive(_p_data(context_id, control, value))

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """pynetdicom's; the fragments of two messages must not mix (PS3.7 Section 6.3.1)."""
        with self._sending:
            super().send_msg(primitive, context_id)

    def _respond(self, status: int) -> None:
        assert self._request is not None
        response = store_response(self._request, status)
        # A peer may announce less room than a response needs; 0 is no limit (PS3.8 D.1.1).
        room = max(self.maximum_pdu_size - _VALUE.size, 1) if self.maximum_pdu_size else 1 << 16
        with self._sending:
            if len(response) <= room and self.dul.to_provider_queue.empty():
                # Action DT-1 of PS3.8 Table 9-9, which keeps the state: without the detour.
                value = (
                    _VALUE.pack(len(response) + 2, self._context_id, _COMMAND | _LAST) + response
                )
                self.dul.socket.send(_PDU.pack(_P_DATA_TF, len(value)) + value)
                return
            for start in range(0, len(response), room):
                part = response[start : start + room]
                control = _COMMAND | (_LAST if start + room >= len(response) else 0)
                self.dul.send_pdu(_p_data(self._context_id, control, part))


def _p_data(context_id: int, control: int, value: bytes) -> P_DATA:
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((context_id, bytes((control,)) + value))
    return primitive


def _unreadable() -> UnreadableFile:
    return UnreadableFile("a peer broke the protocol", remedy="see its sender")
