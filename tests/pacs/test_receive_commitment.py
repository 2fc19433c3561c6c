"""Storage Commitment as SCP: what is here is committed to, and nothing else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import Dataset, dcmread
from pynetdicom import AE, Association, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from hounsfield.errors import HounsfieldError
from hounsfield.pacs.commitment import CommitmentScp, Transaction, Transactions, report_of
from hounsfield.pacs.counters import Tally
from tests.pacs.contract.servers import MOVE_TITLE, orthanc
from tests.pacs.receiving import CT, EXPLICIT, Receiver, associate, encoded, receiving, send, until
from tests.pacs.studies import write_study

PUSH = str(StorageCommitmentPushModel)
HELD = {"1.2.3": CT, "1.2.4": CT}

Report = tuple[int, Dataset]


@dataclass
class Peer:
    """A modality that asks, and takes reports.

    Attributes
    ----------
    status
        What it answers to a report.
    """

    status: int = 0
    reports: queue.Queue[Report] = field(default_factory=queue.Queue)

    def report(self, seconds: float = 20) -> Report:
        return self.reports.get(timeout=seconds)

    @property
    def handler(self) -> tuple[Any, ...]:
        return (evt.EVT_N_EVENT_REPORT, self._take)

    def _take(self, event: evt.Event) -> tuple[int, None]:
        self.reports.put((event.request.EventTypeID, event.event_information))
        return self.status, None

    @contextmanager
    def listening(self, port: int, *, is_scp: bool = True) -> Iterator[None]:
        entity = AE("MODALITY")
        entity.add_supported_context(PUSH, scu_role=not is_scp, scp_role=is_scp)
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[self.handler])
        try:
            yield
        finally:
            server.shutdown()
            entity.shutdown()


@dataclass
class Scp:
    """A receiver that holds what the test says, and what is swept like the daemon sweeps."""

    receiver: Receiver
    commitment: CommitmentScp
    errors: list[HounsfieldError] = field(default_factory=list)

    def sweep(self) -> None:
        def attempt(_: str, action: Callable[[], object]) -> None:
            try:
                action()
            except HounsfieldError as error:
                self.errors.append(error)

        self.commitment.sweep(attempt)


@contextmanager
def committing(
    folder: Path,
    port: int,
    *,
    peers: Mapping[str, Mapping[str, Any]] | None = None,
    give_up_after: float = 60,
    ae_title: str = "HOUNSFIELD",
    held: Mapping[str, str] = HELD,
) -> Iterator[Scp]:
    commitment = CommitmentScp(
        folder / "landing",
        lambda uids: {uid: held[uid] for uid in uids if uid in held},
        Tally(),
        ae_title=ae_title,
        peers=peers or {},
        give_up_after=give_up_after,
    )
    with receiving(folder, port, commitment.handlers, ae_title=ae_title) as receiver:
        yield Scp(receiver, commitment)


def request(*uids: str, transaction: str = "1.9", sop_class: str = CT) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        information.ReferencedSOPSequence.append(item)
    return information


def ask(association: Association, information: Dataset, action: int = 1, instance: str = "") -> int:
    status, _ = association.send_n_action(
        information, action, PUSH, instance or StorageCommitmentPushModelInstance
    )
    return int(status.Status)


def told(report: Report) -> tuple[int, list[str], dict[str, int]]:
    """Event type, what is committed to, and what is not, with its reason."""
    event_type, information = report
    assert information.TransactionUID == "1.9"
    committed = [
        item.ReferencedSOPInstanceUID for item in information.get("ReferencedSOPSequence", ())
    ]
    failed = {
        item.ReferencedSOPInstanceUID: item.FailureReason
        for item in information.get("FailedSOPSequence", ())
    }
    return event_type, committed, failed


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request("1.2.3", "1.2.4"), (1, ["1.2.3", "1.2.4"], {})),
        (request("1.2.3", "1.2.5"), (2, ["1.2.3"], {"1.2.5": 0x0112})),
        (request("1.2.3", sop_class="1.2.840.10008.5.1.4.1.1.4"), (2, [], {"1.2.3": 0x0119})),
    ],
)
def test_the_report_comes_over_the_same_association(
    tmp_path: Path, free_port: Callable[[], int], asked: Dataset, expected: object
) -> None:
    peer = Peer()
    with committing(tmp_path, free_port()) as scp:
        association = associate(
            scp.receiver.port, (PUSH, EXPLICIT), (CT, EXPLICIT), evt_handlers=[peer.handler]
        )
        assert ask(association, asked) == 0
        assert told(peer.report()) == expected
        until(lambda: scp.commitment.transactions.all() == [])
        assert send(association, encoded()) == 0, "it goes on taking instances"
        association.release()


def test_instances_come_in_while_a_report_is_answered(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """A peer that is slow to take a report and goes on sending; pynetdicom would mix them up."""
    peer, begun, go_on = Peer(), threading.Event(), threading.Event()

    def slow(event: evt.Event) -> tuple[int, None]:
        begun.set()
        go_on.wait(20)
        return peer._take(event)

    with committing(tmp_path, free_port()) as scp:
        handlers = [(evt.EVT_N_EVENT_REPORT, slow)]
        association = associate(
            scp.receiver.port, (PUSH, EXPLICIT), (CT, EXPLICIT), evt_handlers=handlers
        )
        assert ask(association, request("1.2.3")) == 0
        assert begun.wait(20)
        assert send(association, encoded()) == 0
        go_on.set()
        assert told(peer.report())[0] == 1
        until(lambda: scp.commitment.transactions.all() == [])
        association.release()


def test_a_peer_that_hung_up_is_called_back(tmp_path: Path, free_port: Callable[[], int]) -> None:
    peer, port = Peer(), free_port()
    peers = {"MODALITY": {"host": "127.0.0.1", "port": port}}
    with committing(tmp_path, free_port(), peers=peers) as scp:
        leave(scp, request("1.2.3", "1.2.5"))
        scp.sweep()
        assert [error.code for error in scp.errors] == ["pacs-unavailable"], "nobody listens yet"
        with peer.listening(port):
            scp.sweep()
            assert told(peer.report()) == (2, ["1.2.3"], {"1.2.5": 0x0112})
        assert scp.commitment.transactions.all() == []


@pytest.mark.server
def test_orthanc_asks_hangs_up_and_is_told(
    tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    _, files = write_study(tmp_path / "study", 3)
    sent = {str(dcmread(path).SOPInstanceUID) for path in files}
    lost = min(sent)
    (tmp_path / "orthanc").mkdir()
    with orthanc(tmp_path / "orthanc", need_program("Orthanc")) as running:
        dimse, url = running.dimse, f"http://127.0.0.1:{running.web.port}"
        dimse.client().store(files)
        with committing(
            tmp_path,
            dimse.move_port,
            ae_title=MOVE_TITLE,
            held=dict.fromkeys(sent - {lost}, CT),
            peers={dimse.ae_title: {"host": "127.0.0.1", "port": dimse.port}},
        ) as scp:
            asked = {"Resources": requests.get(f"{url}/studies").json(), "StorageCommitment": True}
            answer = requests.post(f"{url}/modalities/us/store", json=asked).json()
            until(scp.commitment.transactions.all)
            until(lambda: scp.sweep() or not scp.commitment.transactions.all())
            uid = answer["StorageCommitmentTransactionUID"]
            report = requests.get(f"{url}/storage-commitment/{uid}").json()
            assert scp.errors == []
    assert {item["SOPInstanceUID"] for item in report["Success"]} == sent - {lost}
    assert [item["FailureReason"] for item in report["Failures"]] == [0x0112]


def test_a_report_is_owed_over_a_restart(tmp_path: Path, free_port: Callable[[], int]) -> None:
    peer, port = Peer(), free_port()
    peers = {"MODALITY": {"host": "127.0.0.1", "port": port}}
    with committing(tmp_path, free_port()) as scp:
        leave(scp, request("1.2.3"))
        scp.sweep()
        assert len(scp.commitment.transactions.all()) == 1, "it is not known where to go"
    with committing(tmp_path, free_port(), peers=peers) as scp, peer.listening(port):
        scp.sweep()
        assert told(peer.report()) == (1, ["1.2.3"], {})
        assert scp.commitment.transactions.all() == []


def test_a_peer_that_hangs_up_and_has_no_place_is_told_of_once(
    tmp_path: Path, free_port: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    with committing(tmp_path, free_port(), give_up_after=3600) as scp:
        leave(scp, request("1.2.3"))
        scp.sweep()
        assert "commitment.peers" not in caplog.text, "it may be about to be answered"
        for number in range(2):
            asked = time.time() - 120
            transaction = Transaction(f"1.{number}", "MODALITY", ((CT, "1.2.3"),), asked)
            scp.commitment.transactions.add(transaction)
        scp.sweep()
        scp.sweep()
    assert caplog.text.count("Commitment reports to MODALITY wait") == 1


def test_a_peer_that_refuses_the_report_or_the_role_is_tried_again(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    peer, port = Peer(status=0x0110), free_port()
    peers = {"MODALITY": {"host": "127.0.0.1", "port": port}}
    with committing(tmp_path, free_port(), peers=peers) as scp:
        leave(scp, request("1.2.3"))
        with peer.listening(port):
            scp.sweep()
        with peer.listening(port, is_scp=False):
            scp.sweep()
        assert len(scp.errors) == 2
        assert len(scp.commitment.transactions.all()) == 1


def test_what_cannot_be_brought_is_given_up_one_day(
    tmp_path: Path, free_port: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    with committing(tmp_path, free_port(), give_up_after=0.01) as scp:
        leave(scp, request("1.2.3"))
        time.sleep(0.02)
        scp.sweep()
        assert scp.commitment.transactions.all() == []
    assert "given up" in caplog.text


@pytest.mark.parametrize(
    ("information", "action", "instance", "status"),
    [
        (request("1.2.3"), 2, "", 0x0123),
        (request("1.2.3"), 1, "1.2.3", 0x0112),
        (request(), 1, "", 0x0115),
        (request(""), 1, "", 0x0115),
        (request("1.2.3", transaction=""), 1, "", 0x0115),
    ],
)
def test_what_is_no_request_is_refused(
    tmp_path: Path,
    free_port: Callable[[], int],
    information: Dataset,
    action: int,
    instance: str,
    status: int,
) -> None:
    with committing(tmp_path, free_port()) as scp:
        association = associate(scp.receiver.port, (PUSH, EXPLICIT))
        assert ask(association, information, action, instance) == status
        association.release()
        assert scp.commitment.transactions.all() == []


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"uid": "1.9"}', '{"references": [1]}'])
def test_a_request_that_cannot_be_read_is_removed(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    transactions = Transactions(tmp_path)
    transaction = Transaction("1.9", "MODALITY", ((CT, "1.2.3"),), 1.0)
    transactions.add(transaction)
    (tmp_path / ".commitments" / "damaged.json").write_text(content)
    for _ in range(2):
        assert transactions.all() == [transaction]
    assert not list((tmp_path / ".commitments").glob("damaged*")), "nobody erases a patient from it"
    assert caplog.text.count("is damaged") == 1


def test_one_process_answers_a_transaction(tmp_path: Path) -> None:
    transactions = Transactions(tmp_path)
    transaction = Transaction("../../x", "MODALITY", ((CT, "1.2.3"),), 1.0)
    transactions.add(transaction)
    assert Transactions(tmp_path).all() == [transaction]
    with transactions.taken(transaction) as first:
        assert first
        with Transactions(tmp_path).taken(transaction) as second:
            assert not second
    transactions.remove(transaction)
    with transactions.taken(transaction) as third:
        assert not third
    assert "1.2.3" not in repr(transaction)
    assert "x" not in repr(transaction)
    assert report_of(transaction, {})[0] == 2


def leave(scp: Scp, information: Dataset) -> None:
    """Asks, and hangs up; a report that comes nevertheless is not taken."""
    association = associate(scp.receiver.port, (PUSH, EXPLICIT))
    assert ask(association, information) == 0
    association.abort()
    until(lambda: _is_free(scp.commitment.transactions))


def _is_free(transactions: Transactions) -> bool:
    (transaction,) = transactions.all()
    with transactions.taken(transaction) as is_free:
        return is_free
