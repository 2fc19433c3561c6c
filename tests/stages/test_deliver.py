"""Results on their way out: taken once, waited for, refused with a reason, given up, proven."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pynetdicom import evt
from sqlalchemy import delete

from hounsfield.catalog.models import Study, Tombstone, utc_now
from hounsfield.errors import ConfigError, DeliveryRefused, NotFound, NotYet, Undelivered
from hounsfield.pacs import DimseClient
from hounsfield.pacs.qrscp import QrscpServer
from hounsfield.site import Site
from hounsfield.stages.ledger import Ledger
from hounsfield.stages.send import _keep as keep
from tests.pacs.fake import FakePacs
from tests.pacs.test_send import saying
from tests.stages.orthanc import orthanc
from tests.stages.outbox import (
    KEY,
    NAME,
    STUDY,
    Outbox,
    by_kind,
    objects,
    peer_of,
    received,
    scripted,
)

BUSY = 0xA700
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_pacs_that_is_down_and_comes_up(
    outbox: Outbox, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    server = QrscpServer(tmp_path / "qrscp", free_port())
    peer = {"ae_title": "QRSCP", "host": "127.0.0.1", "port": server.port}
    for tries in (1, 2):
        with pytest.raises(NotYet, match="no association with the PACS"):
            outbox.to(peer).deliver()
        assert outbox.states == {"sr": "sending", "seg": "sending"}
        assert outbox.attempts == {"sr": tries, "seg": tries}
        assert "no association" in outbox.rows["sr"].reason
    with server:
        assert outbox.to(peer).deliver()["sent"] == 2
        assert outbox.states == {"sr": "sent", "seg": "sent"}
        outbox.to(peer).deliver()
        assert outbox.attempts == {"sr": 3, "seg": 3}
        assert outbox.to(peer).confirm()["confirmed"] == 2
        rows = outbox.rows.values()
        assert {(row.state, row.proof, row.reason) for row in rows} == {("confirmed", "query", "")}
        assert all(row.confirmed_at for row in rows)
        listed = DimseClient(server.peer()).find_instances(STUDY)
        assert {ref.SOPInstanceUID for ref in listed} == {row.SOPInstanceUID for row in rows}
    assert [event.state for event in outbox.told] == ["waiting"] * 2 + ["done"] * 3
    outbox.site.audit.verify()


@pytest.mark.server
def test_orthanc_refuses_and_then_takes_and_proves(
    outbox: Outbox,
    tmp_path: Path,
    free_port: Callable[[], int],
    need_program: Callable[[str], str],
) -> None:
    """It takes JPEG alone, until its administrator mends that."""
    program, port, folder = need_program("Orthanc"), free_port(), tmp_path / "orthanc"
    there = outbox.to({"ae_title": "ORTHANC", "host": "127.0.0.1", "port": port})
    with orthanc(folder, program, port, AcceptedTransferSyntaxes=["1.2.840.10008.1.2.4.50"]):
        stranger = outbox.to({"ae_title": "WRONG", "host": "127.0.0.1", "port": port})
        with pytest.raises(ConfigError, match="the called AE title is not its own"):
            stranger.deliver()
        assert stranger.states == {"sr": "failed", "seg": "failed"}
        assert "called AE title" in stranger.rows["sr"].reason
        with pytest.raises(DeliveryRefused, match="presentation context"):
            there.deliver()
        with pytest.raises(Undelivered, match="never got to archive"):
            there.confirm()
    assert there.states == {"sr": "refused", "seg": "refused"}
    assert [item.resolved for item in there.refusals] == [False, False]
    with orthanc(folder, program, port) as client:
        there.deliver()
        assert there.confirm()["confirmed"] == 2
        assert {ref.SOPInstanceUID for ref in client.find_instances(STUDY)} == {
            row.SOPInstanceUID for row in there.rows.values()
        }
    assert {row.proof for row in there.rows.values()} == {"query"}
    assert [item.resolved for item in there.refusals] == [True, True]


@pytest.mark.server
def test_orthanc_acknowledges_and_forgets(
    outbox: Outbox,
    tmp_path: Path,
    free_port: Callable[[], int],
    need_program: Callable[[str], str],
) -> None:
    """A filter drops the SEG, and the sender is told of success (Orthanc 1.10)."""
    port, folder = free_port(), tmp_path / "orthanc"
    there = outbox.to({"ae_title": "ORTHANC", "host": "127.0.0.1", "port": port})
    script = tmp_path / "filter.lua"
    script.write_text(
        "function ReceivedInstanceFilter(dicom, origin, info)\n"
        "  return dicom['Modality'] ~= 'SEG'\n"
        "end\n"
    )
    with orthanc(folder, need_program("Orthanc"), port, LuaScripts=[str(script)]):
        there.deliver()
        with pytest.raises(NotYet, match="does not list it"):
            there.confirm()
    assert there.states == {"sr": "confirmed", "seg": "missing"}


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0124], ids=hex)
def test_a_refusal_is_kept_with_the_words_of_the_pacs(
    outbox: Outbox, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    comment = f"patient {NAME} conflicts with database"
    pacs = scripted(by_kind(seg=[saying(status, comment)]))
    there = outbox.to(peer_of(pacs))
    with pacs.running(), pytest.raises(DeliveryRefused, match="conflicts with database") as refusal:
        there.deliver()
    assert there.states == {"sr": "missing", "seg": "refused"}  # this PACS lists nothing
    (item,) = there.refusals
    assert (item.stage, item.code, item.resolved) == ("write back", "delivery-refused", False)
    zone, relative = there.site.locate(item.uri)
    assert (zone.name, relative) == ("quarantine", f"{KEY}/{item.digest}")
    kept = Path(item.uri)
    assert (kept / "object.dcm").read_bytes() == objects()["seg"]
    (answer,) = (json.loads(path.read_text()) for path in kept.glob("answer-*.json"))
    assert (answer["status"], answer["comment"]) == (f"0x{status:04X}", comment)
    assert answer["SOPInstanceUID"] == there.rows["seg"].SOPInstanceUID
    told = [refusal.value, item.reason, there.rows["seg"].reason, caplog.text]
    told += [event.sentence for event in there.told]
    assert not [text for text in map(str, told) if NAME in text]
    assert f"0x{status:04X}" in item.reason


def test_a_warning_is_told_and_counts_as_taken(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    pacs = scripted(by_kind(sr=[0xB000]))
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        there.deliver()
    assert there.states == {"sr": "sent", "seg": "sent"}
    assert f"Study {KEY}, SR: stored, with data elements coerced (0xB000)." in caplog.text


def erased(site: Site) -> None:
    """The study goes, as by `erase_patient`."""
    stone = {"kind": "study", "uri": "catalog", "rule": "erase_patient", "why": "w"}
    with site.catalog.write() as session:
        session.execute(delete(Study).where(Study.study_key == KEY))
        session.add(Tombstone(study_key=KEY, product_id="", deleted_at=utc_now(), **stone))


def test_of_a_patient_who_is_erased_meanwhile_no_refusal_is_kept(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacs = scripted(by_kind(seg=[0xA900]))
    there = outbox.to(peer_of(pacs))

    def kept(*args: Any) -> str:
        uri = keep(*args)
        erased(there.site)
        return uri

    monkeypatch.setattr("hounsfield.stages.send._keep", kept)
    with pacs.running(), pytest.raises(NotFound, match="was erased"):
        there.deliver()
    assert not there.site.zone("quarantine").files(KEY)
    assert not there.refusals


def test_of_a_patient_who_is_erased_meanwhile_mlflow_keeps_nothing(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        there.deliver()
        pacs.instances = [dataset for dataset, _ in pacs.received]
        tracker = Mock(log_prediction=lambda _: erased(there.site))
        monkeypatch.setattr("hounsfield.stages.confirm.tracker_of", lambda _: tracker)
        with pytest.raises(NotFound, match="was erased"):
            there.confirm()
    tracker.forget_predictions.assert_called_once_with(KEY)


def test_a_refusal_is_never_tried_again_but_by_a_person(outbox: Outbox) -> None:
    pacs = scripted(by_kind(seg=[0xA900, 0xA900], sr=[BUSY, BUSY]))
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        for _ in range(2):
            with pytest.raises(NotYet, match="1 of 2 results not taken by archive: out of res"):
                there.deliver()
        with pytest.raises(DeliveryRefused):
            there.deliver()
        assert received(pacs).count("seg") == 1
        with pytest.raises(DeliveryRefused):
            there.deliver()  # cleared, and still not mended: one entry, with both answers
        (item,) = there.refusals
        assert len(list(Path(item.uri).glob("answer-*.json"))) == 2
        there.deliver()  # cleared once more
    assert received(pacs).count("seg") == 3
    assert there.states == {"sr": "sent", "seg": "sent"}
    assert [item.resolved for item in there.refusals] == [True]


def test_refused_again_after_it_was_resolved_it_is_open_again(outbox: Outbox) -> None:
    pacs = scripted(by_kind(seg=[0xA900]))
    there = outbox.to(peer_of(pacs))
    with pacs.running(), pytest.raises(DeliveryRefused):
        there.deliver()
    (item,) = there.refusals
    there.site.catalog.resolve(KEY, item.code, digest=item.digest)
    assert [item.resolved for item in there.refusals] == [True]
    pacs.answer = by_kind(seg=[0xC000])
    with pacs.running(), pytest.raises(DeliveryRefused):
        there.deliver()
    (item,) = there.refusals
    assert not item.resolved and "0xC000" in item.reason


def test_what_was_taken_before_a_break_is_kept(outbox: Outbox) -> None:
    first = []

    def answer(event: evt.Event) -> int:
        first.append(event)
        if len(first) > 1:
            event.assoc.abort()
        return 0x0000

    pacs = scripted(answer)
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        with pytest.raises(NotYet):
            there.deliver()
        assert sorted(there.states.values()) == ["sending", "sent"]
        pacs.answer, before = by_kind(), len(pacs.received)
        there.deliver()
        assert len(pacs.received) == before + 1
    assert set(there.states.values()) == {"sent"}


def test_what_another_run_has_sent_meanwhile_stays_sent(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs at once: the second had looked before the first was done."""
    pacs = scripted()
    there = outbox.to(peer_of(pacs))
    real = Ledger.begin

    def begin(ledger: Ledger, *args: Any, **values: Any) -> None:
        monkeypatch.setattr(Ledger, "begin", real)
        there.deliver()  # the other run, from its beginning to its end
        real(ledger, *args, **values)
        assert there.states == {"sr": "sent", "seg": "sent"}

    monkeypatch.setattr(Ledger, "begin", begin)
    with pacs.running():
        there.deliver()
    assert there.states == {"sr": "sent", "seg": "sent"}


def test_waits_double_whoever_asks(
    outbox: Outbox, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try is in a site that is opened anew: only the catalog remembers."""
    peer, now, waits = peer_of(FakePacs(port=free_port())), NOON, []
    for _ in range(9):
        monkeypatch.setattr("hounsfield.stages.ledger.utc_now", lambda moment=now: moment)
        with pytest.raises(NotYet) as not_yet:
            outbox.to(peer, first_retry_seconds=15, longest_retry_seconds=900).deliver()
        waits.append(not_yet.value.seconds)
        now += timedelta(seconds=waits[-1])
    assert 13.5 <= waits[0] <= 15
    for wait, following in pairwise(waits[:6]):
        assert 1.8 * wait <= following <= 2 * wait
    assert 810 <= waits[-1] <= 900


def test_it_is_given_up_and_a_person_begins_anew(
    outbox: Outbox, free_port: Callable[[], int]
) -> None:
    there = outbox.to(peer_of(FakePacs(port=free_port())), give_up_after_seconds=3600)
    with pytest.raises(NotYet):
        there.deliver()
    there.pass_time(3600)
    with pytest.raises(Undelivered, match=r"given up after .+, 2 of 2 results not taken") as end:
        there.deliver()
    assert "see that archive works, then clear" in end.value.remedy
    assert there.states == {"sr": "failed", "seg": "failed"}
    assert {event.state for event in there.told} == {"waiting", "refused"}
    with pytest.raises(NotYet):
        there.deliver()
    assert there.states == {"sr": "sending", "seg": "sending"}


def test_it_goes_back_to_its_source_where_none_is_named(outbox: Outbox) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs))
    source = there.site.settings.sources["scanner"].model_copy(update={"results": ""})
    changes = {"sources": {"scanner": source}, "destinations": {}}
    back = Outbox(Site(there.site.settings.model_copy(update=changes)), there.product_id)
    with pacs.running():
        back.deliver()
    assert {row.destination for row in back.rows.values()} == {"scanner"}


def test_an_object_that_was_built_anew_is_sent_anew(outbox: Outbox) -> None:
    pacs = scripted()
    there = outbox.to(peer_of(pacs))
    with pacs.running():
        there.deliver()
        with there.site.catalog.write() as session:
            session.merge(there.rows["sr"]).sha256 = "0" * 64  # what an earlier version had built
        there.deliver()
    assert received(pacs).count("sr") == 2
    assert received(pacs).count("seg") == 1
