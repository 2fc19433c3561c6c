"""Storage Commitment with a scripted PACS: each way that the Standard leaves it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel as PushModel
from pynetdicom.sop_class import StorageCommitmentPushModelInstance as PushModelInstance

from hounsfield.errors import ConfigError, NotYet, PacsUnavailable
from hounsfield.pacs import (
    CommitmentNotSupported,
    DimseClient,
    DimsePeer,
    MoveDestination,
)
from hounsfield.pacs.commit import read_report
from hounsfield.pacs.gate import guard
from tests.pacs.fake import TIMEOUTS, FakePacs
from tests.ports import free_port

ASKED = [(CTImageStorage, f"1.2.{number}") for number in range(3)]
ONE_GONE = {"1.2.2": 0x0112}


def report_on(request: Dataset, failed: dict[str, int]) -> Dataset:
    """What a PACS says that keeps all but `failed`."""
    report = Dataset()
    report.TransactionUID = request.TransactionUID
    items = list(request.ReferencedSOPSequence)
    report.ReferencedSOPSequence = [i for i in items if i.ReferencedSOPInstanceUID not in failed]
    report.FailedSOPSequence = [i for i in items if i.ReferencedSOPInstanceUID in failed]
    for item in report.FailedSOPSequence:
        item.FailureReason = failed[item.ReferencedSOPInstanceUID]
    return report


@dataclass
class Committer:
    """A PACS that answers an N-ACTION with `status`, and then reports as `way` says."""

    way: Callable[[Committer, evt.Event, Dataset], None]
    status: int = 0x0000
    failed: dict[str, int] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    callback_port: int = field(default_factory=free_port)
    answers: list[int] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def client(self, seconds: float = 10, **changes: Any) -> DimseClient:
        timeouts = replace(TIMEOUTS, commitment=seconds)
        destination = MoveDestination("HFCALL", self.callback_port)
        settings: dict[str, Any] = {"timeouts": timeouts, "commitment": destination}
        return DimseClient(DimsePeer("FAKE", "127.0.0.1", self.port, **{**settings, **changes}))

    @contextmanager
    def running(self) -> Iterator[Committer]:
        entity = AE("FAKE")
        entity.add_supported_context(PushModel)
        handlers = [
            (evt.EVT_ESTABLISHED, lambda event: guard(event.assoc)),  # else it loses our answers
            (evt.EVT_N_ACTION, self._act),
            (evt.EVT_RELEASED, lambda event: self.released.set()),
        ]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            for thread in self.threads:
                thread.join(60)
            server.shutdown()

    def _act(self, event: evt.Event) -> tuple[int, None]:
        report = report_on(event.action_information, self.failed)
        # Not in this thread: the response to the N-ACTION must go first.
        self.threads.append(threading.Thread(target=self.way, args=(self, event, report)))
        self.threads[-1].start()
        return self.status, None

    def send(self, association: Any, report: Dataset) -> None:
        kind = 2 if report.FailedSOPSequence else 1
        status, _ = association.send_n_event_report(report, kind, PushModel, PushModelInstance)
        self.answers.append(int(status.Status))

    def call_back(self, report: Dataset) -> None:
        """Opens an association as the SCP (PS3.4 Section J.3.3)."""
        entity = AE("FAKE")
        entity.add_requested_context(PushModel)
        association = entity.associate(
            "127.0.0.1",
            self.callback_port,
            ae_title="HFCALL",
            ext_neg=[build_role(PushModel, scp_role=True)],
        )
        assert association.is_established
        guard(association)
        self.send(association, report)
        association.release()


def on_the_same(pacs: Committer, event: evt.Event, report: Dataset) -> None:
    pacs.send(event.assoc, report)


def on_a_new_one(pacs: Committer, event: evt.Event, report: Dataset) -> None:
    pacs.call_back(report)


def when_ours_is_released(pacs: Committer, event: evt.Event, report: Dataset) -> None:
    assert pacs.released.wait(60)
    pacs.call_back(report)


def never(pacs: Committer, event: evt.Event, report: Dataset) -> None: ...


@pytest.mark.parametrize(
    ("way", "seconds"), [(on_the_same, 10), (on_a_new_one, 10), (when_ours_is_released, 2)]
)
def test_each_way_of_reporting(way: Any, seconds: float) -> None:
    with Committer(way, failed=ONE_GONE).running() as pacs:
        commitment = pacs.client(seconds).commit(ASKED)
    assert commitment.committed == {"1.2.0", "1.2.1"}
    assert commitment.failed == {"1.2.2": "the PACS has no such object (0x0112)"}
    assert pacs.answers == [0x0000]


def test_without_a_destination_the_same_association_is_enough() -> None:
    with Committer(on_the_same).running() as pacs:
        commitment = pacs.client(commitment=None).commit(ASKED)
    assert len(commitment.committed) == 3
    assert commitment.failed == {}


def test_a_report_may_take_longer_than_the_association_may_be_idle() -> None:
    def late(pacs: Committer, event: evt.Event, report: Dataset) -> None:
        time.sleep(2.5)
        pacs.send(event.assoc, report)

    timeouts = replace(TIMEOUTS, idle=1, commitment=20)
    with Committer(late).running() as pacs:
        commitment = pacs.client(commitment=None, timeouts=timeouts).commit(ASKED)
    assert len(commitment.committed) == 3


def test_the_destination_of_moves_is_that_of_reports() -> None:
    with Committer(on_a_new_one).running() as pacs:
        move = MoveDestination("HFCALL", pacs.callback_port)
        assert len(pacs.client(commitment=None, move=move).commit(ASKED).committed) == 3


def test_a_report_on_other_objects_is_acknowledged_and_not_taken() -> None:
    def stale(pacs: Committer, event: evt.Event, report: Dataset) -> None:
        report.TransactionUID = "1.2.3"
        del report.ReferencedSOPSequence[0]
        pacs.call_back(report)

    with Committer(stale).running() as pacs, pytest.raises(NotYet):
        pacs.client(1).commit(ASKED)
    assert pacs.answers == [0x0000]


def test_a_pacs_that_always_takes_longer_is_heard_when_it_is_asked_again() -> None:
    reports: list[Dataset] = []

    def late(pacs: Committer, event: evt.Event, report: Dataset) -> None:
        reports.append(report)
        if len(reports) > 1:
            pacs.call_back(reports[0])

    with Committer(late, failed=ONE_GONE).running() as pacs:
        with pytest.raises(NotYet):
            pacs.client(0.2).commit(ASKED)
        commitment = pacs.client().commit(ASKED)
    assert commitment.committed == {"1.2.0", "1.2.1"}
    assert set(commitment.failed) == {"1.2.2"}


def test_no_report_in_time() -> None:
    with Committer(never).running() as pacs, pytest.raises(NotYet) as failure:
        pacs.client(0.2).commit(ASKED)
    assert failure.value.seconds == 0.2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0x0112, CommitmentNotSupported),
        (0x0118, CommitmentNotSupported),
        (0x0122, CommitmentNotSupported),
        (0x0124, ConfigError),
        (0x0110, PacsUnavailable),
        (0x0213, PacsUnavailable),
    ],
)
def test_a_request_that_is_refused(status: int, error: type[Exception]) -> None:
    with Committer(never, status=status).running() as pacs, pytest.raises(error):
        pacs.client().commit(ASKED)


def test_a_pacs_without_the_service() -> None:
    with FakePacs().running() as pacs, pytest.raises(CommitmentNotSupported):
        pacs.client().commit(ASKED)


def test_the_port_is_taken() -> None:
    with (
        Committer(never).running() as pacs,
        socket.create_server(("127.0.0.1", pacs.callback_port)),
        pytest.raises(NotYet, match="port"),
    ):
        pacs.client().commit(ASKED)


def test_where_the_receiver_is_told_no_port_is_wanted() -> None:
    with (
        Committer(never).running() as pacs,
        socket.create_server(("127.0.0.1", pacs.callback_port)),
        pytest.raises(NotYet, match="has not reported"),
    ):
        pacs.client(0.2, reports_to_receiver=True).commit(ASKED)


def test_nothing_to_commit_to_asks_nobody() -> None:
    commitment = DimseClient(DimsePeer("FAKE", "127.0.0.1", 1)).commit([])
    assert (commitment.committed, commitment.failed) == (frozenset(), {})


UIDS = st.sampled_from(["1.1", "1.2", "1.3", "1.4", ""])
ITEMS = st.lists(st.tuples(UIDS, st.none() | st.integers(0, 0xFFFF)), max_size=4)


@given(st.sets(UIDS), ITEMS | st.none(), ITEMS | st.none())
def test_each_object_is_committed_or_failed(asked: set[str], kept: Any, lost: Any) -> None:
    """Whatever the report says twice, not at all, or of objects that nobody asked about."""
    report = Dataset()
    for keyword, items in (("ReferencedSOPSequence", kept), ("FailedSOPSequence", lost)):
        if items is not None:
            setattr(report, keyword, [an_item(*item) for item in items])
    commitment = read_report(report, asked)
    assert commitment.committed | set(commitment.failed) == asked
    assert not commitment.committed & set(commitment.failed)
    assert not commitment.committed & {uid for uid, _ in lost or ()}


def an_item(uid: str, reason: int | None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPInstanceUID = uid
    if reason is not None:
        item.FailureReason = reason
    return item
