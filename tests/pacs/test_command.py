"""Command sets by hand are those of pynetdicom, and rubbish has a name."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import decode, encode

from hounsfield.errors import UnreadableFile
from hounsfield.pacs.command import StoreRequest, elements, store_request, store_response
from tests.pacs.receiving import CT

uids = st.from_regex(r"[0-9.]{1,64}", fullmatch=True).filter(lambda uid: uid.strip() == uid)


def request(uid: str = "1.2.3", data: bytes | None = b"data") -> bytes:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 7, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CT, uid
    primitive.DataSet = None if data is None else BytesIO(data)
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    return bytes(encode(message.command_set, True, True) or b"")


@given(uid=uids)
def test_a_request_is_read_as_pynetdicom_writes_it(uid: str) -> None:
    assert store_request(request(uid)) == StoreRequest(7, CT, uid, has_data_set=True)


def test_a_request_without_a_data_set_says_so() -> None:
    parsed = store_request(request(data=None))
    assert parsed is not None
    assert not parsed.has_data_set


def test_another_message_is_none() -> None:
    primitive = C_ECHO()
    primitive.MessageID, primitive.AffectedSOPClassUID = 1, "1.2.840.10008.1.1"
    message = C_ECHO_RQ()
    message.primitive_to_message(primitive)
    assert store_request(bytes(encode(message.command_set, True, True) or b"")) is None


@given(uid=uids, number=st.integers(0, 65535), status=st.sampled_from([0, 0xA700, 0xC000]))
def test_a_response_is_what_pynetdicom_writes(uid: str, number: int, status: int) -> None:
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo, primitive.Status = number, status
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CT, uid
    message = C_STORE_RSP()
    message.primitive_to_message(primitive)
    message.command_set.pop("MessageID", None)
    ours = store_response(StoreRequest(number, CT, uid, has_data_set=True), status)
    assert ours == encode(message.command_set, True, True)


@given(command=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(command: bytes) -> None:
    with suppress(UnreadableFile):
        store_request(command)


@given(cut=st.integers(1, 200))
def test_a_request_that_stops_is_refused(cut: int) -> None:
    whole = request()
    end = len(whole) - 1 - cut % (len(whole) - 1)
    try:
        found = elements(whole[:end])
    except UnreadableFile:
        return
    assert found.items() < elements(whole).items(), "only where an element ends"


def test_a_repr_names_no_instance() -> None:
    assert "1.2.3.4" not in repr(StoreRequest(1, CT, "1.2.3.4", has_data_set=True))
    assert decode(BytesIO(request()), True, True).MessageID == 7


def test_an_empty_command_is_no_request() -> None:
    assert store_request(b"") is None
    with pytest.raises(UnreadableFile):
        store_request(b"\0\0\0\1\1\0\0\0\1")
