"""A receiver outlives what comes in at its port."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pacs.receiving import (
    Receiver,
    answer,
    association_request,
    connected,
    encoded,
    established,
    pdu,
    receiving,
    until,
    value,
)
from tests.pacs.test_command import request

ABORT, REJECT, RELEASE = 0x07, 0x03, 0x05
DATA = 0x04
COMMAND, LAST = 1, 2


@pytest.fixture
def receiver(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Receiver]:
    with receiving(tmp_path, free_port(), associate_seconds=1, idle_seconds=1) as made:
        yield made


def gone(connection: socket.socket) -> bool:
    """Whether the receiver hangs up, with an abort or without."""
    with connection:
        return answer(connection) in (ABORT, None)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # a TLS handshake
        bytes(1000),
        b"\xff" * 1000,
        pdu(0x01, b""),
        pdu(0x01, b"\xff" * 300),
        pdu(0x01, bytes(68)),
        pdu(DATA, value(LAST, b"no association")),
        pdu(0x02, bytes(100)),
    ],
)
def test_garbage_is_hung_up_on(receiver: Receiver, garbage: bytes) -> None:
    connection = connected(receiver.port)
    connection.sendall(garbage)
    assert gone(connection)
    assert receiver.is_well()


@pytest.mark.parametrize("begun", [b"", b"\x01", association_request()[:50]])
def test_silence_is_hung_up_on(receiver: Receiver, begun: bytes) -> None:
    connection = connected(receiver.port)
    connection.sendall(begun)
    assert gone(connection)
    until(lambda: receiver.refused("no_request") == 1)
    assert receiver.is_well()


def test_an_association_that_sends_nothing_is_ended(receiver: Receiver) -> None:
    assert gone(established(receiver.port))
    assert receiver.is_well()


def test_one_byte_now_and_then_is_no_sign_of_life(receiver: Receiver) -> None:
    """Slowloris: a request that never becomes whole, and a data set too."""
    for connection, rest in (
        (connected(receiver.port), association_request()),
        (established(receiver.port), pdu(DATA, value(COMMAND, bytes(5000)))),
    ):
        start = time.monotonic()
        with connection:
            try:
                for byte in rest:
                    connection.sendall(bytes((byte,)))
                    time.sleep(0.05)
                    assert time.monotonic() - start < 15
            except ConnectionError:
                pass
            else:
                pytest.fail("it listened to the end")
    assert receiver.is_well()


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 2_000_000])
def test_a_pdu_that_claims_to_be_huge_is_not_waited_for(receiver: Receiver, length: int) -> None:
    for connection, kind in ((connected(receiver.port), 0x01), (established(receiver.port), DATA)):
        connection.sendall(pdu(kind, b"x" * 1000, length))
        assert gone(connection)
    assert receiver.is_well()


@pytest.mark.parametrize(
    "values",
    [
        value(COMMAND | LAST, request(), length=1),
        value(COMMAND | LAST, request(), length=0),
        value(COMMAND | LAST, request(), length=5000),
        value(COMMAND | LAST, request(), length=0xFFFFFFFF),
        value(COMMAND | LAST, request()) + b"\0\0",
        value(COMMAND | LAST, request(), context_id=3),
        value(COMMAND | LAST, request()[:-3]),
        value(COMMAND | LAST, b""),
        value(COMMAND | LAST, request()) + value(LAST, b"x", context_id=3),
        value(COMMAND | LAST, request()) + value(COMMAND | LAST, request()),
        value(LAST, b"a data set without a command"),
        value(COMMAND, b"x" * 70_000),
    ],
)
def test_data_that_lies_ends_the_association(receiver: Receiver, values: bytes) -> None:
    connection = established(receiver.port)
    connection.sendall(pdu(DATA, values))
    assert gone(connection)
    until(lambda: receiver.halves() == [])
    assert receiver.landed() == []
    assert receiver.is_well()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.binary(max_size=80) | st.binary(max_size=80).map(lambda b: value(3, b)))
def test_any_data_is_answered_or_ends_the_association(receiver: Receiver, values: bytes) -> None:
    with established(receiver.port) as connection:
        connection.sendall(pdu(DATA, values) + pdu(RELEASE, bytes(4)))
        assert answer(connection) in (ABORT, DATA, 0x06, None)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 200), body=st.binary(min_size=1, max_size=40))
def test_any_request_is_answered_or_hung_up_on(receiver: Receiver, at: int, body: bytes) -> None:
    whole = association_request()
    with connected(receiver.port) as connection:
        connection.sendall(whole[: at % len(whole)] + body + whole[at % len(whole) + len(body) :])
        connection.shutdown(socket.SHUT_WR)
        assert answer(connection) in (ABORT, REJECT, 0x02, None)


def test_a_sender_that_dies_in_mid_instance_leaves_nothing(receiver: Receiver) -> None:
    connection = established(receiver.port)
    head = value(COMMAND | LAST, request())
    connection.sendall(pdu(DATA, head) + pdu(DATA, value(0, encoded() + b"\0" * 9000)))
    until(lambda: len(receiver.halves()) == 1)
    # As when it is killed: reset, not closed.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    until(lambda: receiver.halves() == [])
    until(lambda: receiver.tally.get("associations_open") == 0)
    assert receiver.landed() == []
    assert receiver.is_well()


def test_an_instance_without_end_does_not_fill_the_disk(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """It is read on, for its sender sends it still, and refused should it end after all."""
    fragment = pdu(DATA, value(0, bytes(50_000)))
    with receiving(tmp_path, free_port(), max_instance=100_000) as receiver:
        with established(receiver.port) as connection:
            connection.sendall(pdu(DATA, value(COMMAND | LAST, request())))
            connection.sendall(fragment)
            until(lambda: len(receiver.halves()) == 1)
            connection.sendall(fragment)
            until(lambda: receiver.halves() == [])
            connection.sendall(fragment + pdu(DATA, value(LAST, b"")))
            assert answer(connection) == DATA
        assert receiver.refused("too_long") == 1
        assert receiver.landed() == []
        assert receiver.is_well()


def test_fragments_of_one_byte_make_the_instance(receiver: Receiver) -> None:
    body = encoded()
    values = [value(COMMAND, bytes((byte,))) for byte in request()[:-1]]
    values += [value(COMMAND | LAST, request()[-1:])]
    values += [value(0, bytes((byte,))) for byte in body[:-1]] + [value(LAST, body[-1:])]
    with established(receiver.port) as connection:
        for start in range(0, len(values), 20):
            connection.sendall(pdu(DATA, b"".join(values[start : start + 20])))
        assert answer(connection) == DATA
    (path,) = receiver.landed()
    assert path.read_bytes().endswith(body)


def test_refused_connections_leave_nothing_behind(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """More of them in tests/bench/refusals.py."""
    process, wrong = psutil.Process(), association_request(called="X")

    def refuse(receiver: Receiver, times: int) -> None:
        for _ in range(times):
            with connected(receiver.port) as connection:
                connection.sendall(wrong)
                assert answer(connection) == REJECT

    with receiving(tmp_path, free_port()) as receiver:
        refuse(receiver, 50)
        until(lambda: receiver.tally.get("associations_open") == 0)
        before, files = process.memory_info().rss, process.num_fds()
        refuse(receiver, 150)
        until(lambda: receiver.tally.get("associations_open") == 0)
        assert process.memory_info().rss - before < 10 << 20
        assert process.num_fds() <= files + 5
        assert receiver.refused("called_ae_title") == 200
        assert receiver.is_well()


def test_a_large_instance_is_never_held(receiver: Receiver) -> None:
    """64 MiB in, and the process grows by no more than a few buffers."""
    process = psutil.Process(os.getpid())
    fragment = pdu(DATA, value(0, bytes(1 << 17)))
    pixels = b"\xe0\x7f\x10\0OW\0\0" + ((512 << 17) + 2).to_bytes(4, "little")
    head = value(COMMAND | LAST, request()) + value(0, encoded() + pixels)
    with established(receiver.port) as connection:
        connection.sendall(pdu(DATA, head))
        for _ in range(20):
            connection.sendall(fragment)
        before = process.memory_info().rss
        for _ in range(492):
            connection.sendall(fragment)
        grown = process.memory_info().rss - before
        connection.sendall(pdu(DATA, value(LAST, b"\0\0")))
        assert answer(connection) == DATA
    assert grown < 8 << 20
    (path,) = receiver.landed()
    assert path.stat().st_size > 64 << 20
