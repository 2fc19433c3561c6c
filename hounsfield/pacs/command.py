"""Command sets of C-STORE, read and written by hand (PS3.7 Sections 6.3.1 and 9.3.1).

A command set is always Implicit VR Little Endian and never nested, so that one loop reads it;
pydicom needs a tenth of the time that a whole CT slice takes to arrive.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hounsfield.errors import UnreadableFile

__all__ = ["StoreRequest", "elements", "store_request", "store_response"]

_AFFECTED_SOP_CLASS_UID = 0x00000002
_COMMAND_FIELD = 0x00000100
_MESSAGE_ID = 0x00000110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x00000120
_COMMAND_DATA_SET_TYPE = 0x00000800
_STATUS = 0x00000900
_AFFECTED_SOP_INSTANCE_UID = 0x00001000

_C_STORE_RQ = 0x0001
_C_STORE_RSP = 0x8001
_NO_DATA_SET = 0x0101


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ. A UID that was left out is empty; its repr tells nothing of whom."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    has_data_set: bool


def elements(command: bytes) -> dict[int, bytes]:
    """The values of a command set by tag.

    Raises
    ------
    UnreadableFile
        If an element goes on behind the end.
    """
    found, offset, end = {}, 0, len(command)
    while offset < end:
        if offset + 8 > end:
            raise _unreadable()
        group, element, length = struct.unpack_from("<HHI", command, offset)
        offset += 8
        if offset + length > end:
            raise _unreadable()
        found[group << 16 | element] = command[offset : offset + length]
        offset += length
    return found


def store_request(command: bytes) -> StoreRequest | None:
    """Parses a C-STORE-RQ; None if the command set is another one.

    Raises
    ------
    UnreadableFile
        If it is no command set.
    """
    values = elements(command)
    if _number(values, _COMMAND_FIELD) != _C_STORE_RQ:
        return None
    return StoreRequest(
        message_id=_number(values, _MESSAGE_ID),
        sop_class_uid=_uid(values, _AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(values, _AFFECTED_SOP_INSTANCE_UID),
        has_data_set=_number(values, _COMMAND_DATA_SET_TYPE) != _NO_DATA_SET,
    )


def store_response(request: StoreRequest, status: int) -> bytes:
    """The C-STORE-RSP to a request."""
    body = b"".join(
        (
            _element(_AFFECTED_SOP_CLASS_UID, _padded(request.sop_class_uid)),
            _element(_COMMAND_FIELD, struct.pack("<H", _C_STORE_RSP)),
            _element(_MESSAGE_ID_BEING_RESPONDED_TO, struct.pack("<H", request.message_id)),
            _element(_COMMAND_DATA_SET_TYPE, struct.pack("<H", _NO_DATA_SET)),
            _element(_STATUS, struct.pack("<H", status)),
            _element(_AFFECTED_SOP_INSTANCE_UID, _padded(request.sop_instance_uid)),
        )
    )
    return _element(0, struct.pack("<I", len(body))) + body


def _element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def _padded(uid: str) -> bytes:
    value = uid.encode("latin-1")
    return value + b"\0" * (len(value) % 2)


def _uid(values: dict[int, bytes], tag: int) -> str:
    # Latin-1 takes every byte, so that what a peer sent goes back as it came.
    return values.get(tag, b"").rstrip(b"\0 ").decode("latin-1")


def _number(values: dict[int, bytes], tag: int) -> int:
    value = values.get(tag, b"\0\0")
    if len(value) != 2:
        raise _unreadable()
    return int.from_bytes(value, "little")


def _unreadable() -> UnreadableFile:
    return UnreadableFile("a DIMSE command set cannot be read", remedy="see its sender")
