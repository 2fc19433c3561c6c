"""A report that comes to the receiver, when no try waits for it, proves a delivery all the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel as PushModel
from pynetdicom.sop_class import StorageCommitmentPushModelInstance as PushModelInstance

from hounsfield.errors import NotYet, StoreUnavailable
from hounsfield.pacs import Commitment, DimseClient
from hounsfield.pacs.commit import report_handlers
from hounsfield.pacs.gate import guard
from hounsfield.stages.commitments import note_commitment, warn_of_rejected
from tests.pacs.fake import FakePacs
from tests.pacs.receiving import receiving, settings_of
from tests.stages.outbox import Outbox, peer_of, received, scripted

TOLD_LATER = {"reports_to_receiver": True}


def report_on(outbox: Outbox, failed: Collection[str] = ()) -> Dataset:
    """On both results, of which those of some kinds are `failed`."""
    report = Dataset()
    report.TransactionUID = "1.9"
    report.ReferencedSOPSequence, report.FailedSOPSequence = [], []
    for kind, row in outbox.rows.items():
        item = Dataset()
        item.ReferencedSOPClassUID = row.SOPClassUID
        item.ReferencedSOPInstanceUID = row.SOPInstanceUID
        if kind in failed:
            item.FailureReason = 0x0112
        (report.FailedSOPSequence if kind in failed else report.ReferencedSOPSequence).append(item)
    return report


def call(port: int, report: Dataset, calling: str = "FAKE") -> int:
    """Reports to the receiver as a PACS does, which is the SCP though it calls."""
    entity = AE(calling)
    entity.add_requested_context(PushModel)
    role = build_role(PushModel, scp_role=True)
    association = entity.associate("127.0.0.1", port, ae_title="HOUNSFIELD", ext_neg=[role])
    assert association.is_established
    guard(association)
    kind = 2 if report.FailedSOPSequence else 1
    status, _ = association.send_n_event_report(report, kind, PushModel, PushModelInstance)
    association.release()
    return int(status.Status)


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with scripted().running() as running:
        yield running


@pytest.fixture
def there(outbox: Outbox, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """Results that a PACS took which reports later than anybody waits."""

    def late(self: DimseClient, objects: Collection[tuple[str, str]]) -> Commitment:
        raise NotYet("the PACS has not reported on a Storage Commitment", seconds=1)

    monkeypatch.setattr(DimseClient, "commit", late)
    outbox = outbox.to({**peer_of(pacs), **TOLD_LATER}, proof="commitment")
    outbox.deliver()
    with pytest.raises(NotYet):
        outbox.confirm()
    return outbox


@pytest.fixture
def port(there: Outbox, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[int]:
    """Where the receiver listens."""
    handlers = report_handlers(partial(note_commitment, there.site))
    with receiving(tmp_path, free_port(), handlers) as receiver:
        yield receiver.port


def test_a_report_that_comes_in_between_is_found_by_the_next_try(there: Outbox, port: int) -> None:
    assert call(port, report_on(there)) == 0x0000
    assert there.confirm()["confirmed"] == 2
    assert {(row.state, row.proof) for row in there.rows.values()} == {("confirmed", "commitment")}


def test_what_it_does_not_commit_itself_to_is_sent_again(
    there: Outbox, port: int, pacs: FakePacs
) -> None:
    assert call(port, report_on(there, failed=["seg"])) == 0x0000
    assert there.states == {"sr": "confirmed", "seg": "missing"}
    with pytest.raises(NotYet, match="the PACS has no such object"):
        there.confirm()
    assert [received(pacs).count(kind) for kind in ("sr", "seg")] == [1, 2]
    assert call(port, report_on(there)) == 0x0000
    there.confirm()


def test_who_is_not_the_destination_proves_nothing(
    there: Outbox, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(port, report_on(there), calling="OTHER") == 0x0000
    assert set(there.states.values()) == {"sent"}
    assert "'OTHER' reports" in caplog.text, "as where somebody forgot reports_to_receiver"


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ({"ae_title": "ROUTER"}, "archive calls 'HOUNSFIELD' .+, and this receiver is 'ROUTER'"),
        ({"calling_ae_titles": ("CT",)}, "archive calls as 'FAKE' .+, and is not let in"),
        ({"calling_ae_titles": ("CT", "FAKE")}, "^$"),
        ({}, "^$"),
    ],
)
def test_reports_that_would_be_rejected_are_told_of(
    there: Outbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    given: dict[str, Any],
    warning: str,
) -> None:
    warn_of_rejected(there.site, settings_of(tmp_path, 1).but(**given))
    assert re.search(warning, caplog.text)


def test_what_cannot_be_written_down_the_pacs_may_repeat(
    there: Outbox, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    def full(ae_title: str, said: Commitment) -> None:
        raise StoreUnavailable("the catalog cannot be written")

    with receiving(tmp_path, free_port(), report_handlers(full)) as receiver:
        assert call(receiver.port, report_on(there)) == 0x0110
