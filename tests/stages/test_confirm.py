"""A delivery counts when it is proven: by commitment, or by the list of the destination."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
from pydicom.uid import CTImageStorage

from hounsfield.catalog.models import Delivery
from hounsfield.errors import DeliveryRefused, NotYet, PacsUnavailable, Undelivered
from hounsfield.pacs import Commitment, CommitmentNotSupported, InstanceRef, PacsClient
from hounsfield.settings import DestinationSettings, SourceSettings
from hounsfield.site import Site
from hounsfield.stages.ingest import client_of
from hounsfield.stages.prove import NOT_COMMITTED, NOT_LISTED, OTHER_CLASS, prove
from tests.stages.conftest import FakePacs as Client
from tests.stages.outbox import STUDY, Outbox, by_kind, peer_of, received, scripted

SR, SEG = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.66.4"
ROWS = [
    Delivery(SOPInstanceUID="1.1", SOPClassUID=SR),
    Delivery(SOPInstanceUID="1.2", SOPClassUID=SEG),
]


def test_what_is_acknowledged_and_never_listed_is_never_confirmed(outbox: Outbox) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs), give_up_after_seconds=3600)
    with pacs.running():
        there.deliver()
        sent = []
        for _ in range(4):
            with pytest.raises(NotYet, match="2 of 2 results not proven by archive"):
                there.confirm()
            sent.append(received(pacs).count("sr"))
        # It may be on its way into the index: what is not there at the second look is sent again.
        assert sent == [1, 2, 2, 3]
        assert there.attempts == {"sr": 3, "seg": 3}
        there.pass_time(3600)
        with pytest.raises(Undelivered, match=r"given up after .+, 2 of 2 results not proven"):
            there.confirm()
    assert set(there.states.values()) == {"missing"}
    assert not any(row.confirmed_at or row.proof for row in there.rows.values())


def test_what_is_listed_late_is_not_sent_again(outbox: Outbox) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        there.deliver()
        with pytest.raises(NotYet, match="does not list it"):
            there.confirm()
        assert set(there.states.values()) == {"missing"}
        pacs.instances = [dataset for dataset, _ in pacs.received]
        there.confirm()
    assert {(row.state, row.reason) for row in there.rows.values()} == {("confirmed", "")}
    assert not any(row.trying_since for row in there.rows.values())
    assert there.attempts == {"sr": 1, "seg": 1}


def test_a_pacs_that_is_down_when_it_is_asked(outbox: Outbox) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        there.deliver()
    with pytest.raises(NotYet, match="no association"):
        there.confirm()
    assert there.states == {"sr": "sent", "seg": "sent"}
    assert "no association" in there.rows["sr"].reason


Committing = Callable[[set[str]], Commitment]


def commit_by(script: Committing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client that confirms is the real one, but for its commitment."""

    def make(settings: DestinationSettings, name: str) -> PacsClient:
        client = client_of(settings, name)

        def commit(objects: Collection[tuple[str, str]]) -> Commitment:
            assert {sop_class for sop_class, _ in objects} <= {SR, SEG}
            return script({uid for _, uid in objects})

        monkeypatch.setattr(client, "commit", commit)
        return client

    monkeypatch.setattr("hounsfield.stages.confirm.client_of", make)


def keeps_all(uids: set[str]) -> Commitment:
    return Commitment(frozenset(uids), {})


@pytest.mark.parametrize("proof", ["auto", "commitment"])
def test_it_is_proven_by_commitment(
    outbox: Outbox, proof: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs), proof=proof)
    commit_by(keeps_all, monkeypatch)
    with pacs.running():
        there.deliver()
        there.confirm()
    assert {(row.state, row.proof) for row in there.rows.values()} == {("confirmed", "commitment")}


def test_what_the_commitment_names_as_failed_is_sent_again(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs))

    def only_what_came_twice(uids: set[str]) -> Commitment:
        twice = [str(dataset.SOPInstanceUID) for dataset, _ in pacs.received]
        kept = {uid for uid in uids if twice.count(uid) > 1 or uid == sr}
        return Commitment(frozenset(kept), {uid: "no such object" for uid in uids - kept})

    commit_by(only_what_came_twice, monkeypatch)
    with pacs.running():
        there.deliver()
        sr = there.rows["sr"].SOPInstanceUID
        for _ in range(2):
            with pytest.raises(NotYet, match="1 of 2 results not proven"):
                there.confirm()
        there.confirm()
    assert set(there.states.values()) == {"confirmed"}
    assert there.attempts == {"sr": 1, "seg": 2}


def test_without_commitment_a_person_who_asked_for_it_is_told(outbox: Outbox) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs), proof="commitment")
    with pacs.running():
        there.deliver()
        with pytest.raises(CommitmentNotSupported):
            there.confirm()


def test_what_goes_back_to_its_source_is_proven_as_that_says(outbox: Outbox) -> None:
    pacs = scripted()
    source = SourceSettings(peer=peer_of(pacs), proof="commitment")
    settings = outbox.site.settings.model_copy(update={"sources": {"scanner": source}})
    there = Outbox(Site(settings), outbox.product_id)
    with pacs.running():
        there.deliver()
        with pytest.raises(CommitmentNotSupported):
            there.confirm()


def test_a_commitment_that_takes_its_time_is_no_failure(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing but a commitment counts: it is asked for again, till it is given up."""
    pacs = scripted()
    there = outbox.to(peer_of(pacs), proof="commitment")

    def silent(uids: set[str]) -> Commitment:
        raise NotYet("the PACS has not reported yet")

    commit_by(silent, monkeypatch)
    with pacs.running():
        there.deliver()
        with pytest.raises(NotYet, match="has not reported yet"):
            there.confirm()
    assert there.states == {"sr": "sent", "seg": "sent"}
    assert there.attempts == {"sr": 1, "seg": 1}


def test_a_pacs_that_does_not_know_where_to_report_to_is_asked_for_its_list(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default: Orthanc, for one, breaks off where it does not know who asks."""
    pacs = scripted()
    there = outbox.to(peer_of(pacs))

    def breaks_off(uids: set[str]) -> Commitment:
        raise PacsUnavailable("the association broke off")

    commit_by(breaks_off, monkeypatch)
    with pacs.running():
        there.deliver()
        pacs.instances = [dataset for dataset, _ in pacs.received]
        there.confirm()
    assert {row.proof for row in there.rows.values()} == {"query"}


def test_what_another_run_is_sending_is_waited_for(outbox: Outbox) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        there.deliver()
        pacs.instances = [dataset for dataset, _ in pacs.received]
        with there.site.catalog.write() as session:
            session.merge(there.rows["seg"]).state = "sending"
        with pytest.raises(NotYet, match="1 of 2"):
            there.confirm()
    assert there.states == {"sr": "confirmed", "seg": "sending"}


def test_others_are_proven_where_one_is_refused(outbox: Outbox) -> None:
    """By `write_back` itself, which then turns red: `confirm` waits for a person."""
    pacs = scripted(by_kind(seg=[0xA900, 0xA900]))
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        with pytest.raises(DeliveryRefused):
            there.deliver()
        assert there.states == {"sr": "missing", "seg": "refused"}
        pacs.instances = [dataset for dataset, _ in pacs.received]
        with pytest.raises(DeliveryRefused):
            there.deliver()
        assert there.states == {"sr": "confirmed", "seg": "refused"}
        with pytest.raises(Undelivered, match="1 of 2 results never got to archive"):
            there.confirm()


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        ([("1.1", SR), ("1.2", SEG)], {}),
        ([("1.1", ""), ("1.2", "")], {}),
        ([("1.1", SR), ("1.2", CTImageStorage)], {"1.2": OTHER_CLASS}),
        ([("1.1", SR), ("1.3", SEG)], {"1.2": NOT_LISTED}),
        ([], {"1.1": NOT_LISTED, "1.2": NOT_LISTED}),
    ],
)
def test_the_list_must_have_each_with_its_class(
    listed: list[tuple[str, str]], missing: dict[str, str]
) -> None:
    class Lists(Client):
        def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
            assert study_instance_uid == STUDY
            return tuple(InstanceRef(uid, "1.2.3", sop_class) for uid, sop_class in listed)

    proof = prove(Lists(), "auto", STUDY, ROWS)
    assert (proof.how, proof.missing) == ("query", missing)


def test_what_a_commitment_does_not_name_is_not_proven() -> None:
    class Commits(Client):
        def commit(self, objects: Collection[tuple[str, str]]) -> Commitment:
            return Commitment(frozenset({"1.1"}), {})

    proof = prove(Commits(), "auto", STUDY, ROWS)
    assert (proof.how, proof.missing) == ("commitment", {"1.2": NOT_COMMITTED})


def test_a_list_that_cannot_be_had_is_no_proof() -> None:
    class Silent(Client):
        def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
            raise PacsUnavailable("it does not answer")

    with pytest.raises(PacsUnavailable):
        prove(Silent(), "query", STUDY, ROWS)
