from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import UID, CTImageStorage, generate_uid
from pynetdicom import Association, evt

from hounsfield.errors import (
    ConfigError,
    HounsfieldError,
    IntegrityError,
    NotYet,
    PacsUnavailable,
    PermanentError,
    StoreUnavailable,
)
from hounsfield.pacs import InstanceRef, MoveDestination, Timeouts
from hounsfield.pacs.retrieve import requests_for
from hounsfield.records import InstanceEntry
from tests.pacs.fake import EXPLICIT, FIND, GET, MOVE, TIMEOUTS, FakePacs
from tests.pacs.proxy import CuttingProxy
from tests.pacs.receiving import until
from tests.pacs.studies import PACE, ct_instance, large
from tests.ports import free_port

REFS = st.lists(
    st.builds(
        InstanceRef,
        SOPInstanceUID=st.integers(1, 40).map(str),
        SeriesInstanceUID=st.integers(100, 104).map(str),
    ),
    min_size=1,
    unique_by=lambda ref: ref.SOPInstanceUID,
)


@given(REFS, st.data())
def test_requests_name_just_what_is_wanted(every: list[InstanceRef], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    named: Counter[str] = Counter()
    for request in requests_for("9", wanted, every):
        assert request.StudyInstanceUID == "9"
        for ref in every:
            series = request.get("SeriesInstanceUID", ref.SeriesInstanceUID)
            instance = request.get("SOPInstanceUID", ref.SOPInstanceUID)
            named[ref.SOPInstanceUID] += (series, instance) == (
                ref.SeriesInstanceUID,
                ref.SOPInstanceUID,
            )
    assert +named == Counter(ref.SOPInstanceUID for ref in wanted)


def a_study(count: int = 3) -> list:  # type: ignore[type-arg]
    study, series = generate_uid(), generate_uid()
    return [ct_instance(study, series, number) for number in range(count)]


def waiting_as(ae_title: str) -> list[Association]:
    """Our associations as acceptor that did not end."""
    threads = [t for t in threading.enumerate() if isinstance(t, Association)]
    return [t for t in threads if t.is_acceptor and t.ae.ae_title == ae_title]


def test_auto_falls_back_to_c_move(tmp_path: Path) -> None:
    instances = a_study()
    with FakePacs(instances, models=(FIND, MOVE)).running() as pacs:
        report = pacs.client().fetch_study(instances[0].StudyInstanceUID, tmp_path)
        assert report.is_complete
        assert report.requested == 3
        with pytest.raises(ConfigError):
            pacs.client(get="c-get").fetch_study(instances[0].StudyInstanceUID, tmp_path)
        with pytest.raises(ConfigError):
            pacs.client(move=None).fetch_study(instances[0].StudyInstanceUID, tmp_path)


def test_the_port_that_another_retrieval_has_is_waited_for(tmp_path: Path) -> None:
    instances = a_study()
    with FakePacs(instances).running() as pacs:
        client = pacs.client(get="c-move")
        with (
            socket.create_server(("127.0.0.1", pacs.move_port)),
            pytest.raises(NotYet, match="calls us back"),
        ):
            client.fetch_study(instances[0].StudyInstanceUID, tmp_path)
        assert client.fetch_study(instances[0].StudyInstanceUID, tmp_path).is_complete


def test_a_destination_that_cannot_be_ours_is_told(tmp_path: Path) -> None:
    instances = a_study()
    with FakePacs(instances).running() as pacs:
        elsewhere = MoveDestination("HFMOVE", pacs.move_port, bind="192.0.2.1")
        with pytest.raises(ConfigError, match="see port and bind"):
            pacs.client(get="c-move", move=elsewhere).fetch_study(
                instances[0].StudyInstanceUID, tmp_path
            )


def test_a_pacs_that_calls_back_elsewhere_or_as_another_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says no more than that its sub-operations failed."""
    instances = a_study()
    study = instances[0].StudyInstanceUID
    with FakePacs(instances).running() as pacs:
        for changes in (
            {"move": MoveDestination("HFMOVE", free_port())},
            {"ae_title": "ARCHIVE"},
            {},
        ):
            with suppress(HounsfieldError):
                pacs.client(get="c-move", **changes).fetch_study(study, tmp_path)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 2
    assert "did not call us back as HFMOVE" in said[0]
    assert said[1].startswith("PACS ARCHIVE called us back with another AE title")


class Busy(FakePacs):
    """Says for ever that it is at it."""

    def _get(self, event: evt.Event) -> Iterator[Any]:
        other = ct_instance("1.2", "1.2.3", 1)
        yield 60_000
        for _ in range(60_000):
            yield 0xFF00, other


def test_a_pacs_that_never_comes_to_an_end_is_left(tmp_path: Path) -> None:
    instances = a_study()
    with Busy(instances).running() as pacs, pytest.raises(PacsUnavailable):
        pacs.client(timeouts=replace(TIMEOUTS, instance=1)).fetch_study(
            instances[0].StudyInstanceUID, tmp_path
        )


@pytest.mark.timeout(60)
def test_a_pacs_that_falls_silent_while_it_moves_is_left(tmp_path: Path) -> None:
    """In the middle of what it sends to us; the port is free again for the next."""
    instances, port = a_study(), free_port()
    client: dict[str, Any] = {"get": "c-move", "move": MoveDestination("HFMOVE", port)}
    proxy = CuttingProxy(port, upstream_limit=20_000, stalls=True)
    with FakePacs(instances, move_port=proxy.port).running() as pacs, proxy:
        with pytest.raises(PacsUnavailable):
            pacs.client(**client, timeouts=Timeouts(*(2,) * 5)).fetch_study(
                instances[0].StudyInstanceUID, tmp_path
            )
        assert proxy.cuts == 1
        until(lambda: not waiting_as("HFMOVE"))
    assert len(list(tmp_path.iterdir())) < len(instances)
    with FakePacs(instances, move_port=port).running() as pacs:
        report = pacs.client(**client).fetch_study(instances[0].StudyInstanceUID, tmp_path)
    assert report.is_complete


@pytest.mark.timeout(60)
@pytest.mark.parametrize("get", ["c-get", "c-move"])
def test_what_takes_longer_than_the_time_out_of_a_message_comes(tmp_path: Path, get: str) -> None:
    """It moves; and a PACS need not say in between that it is at it."""
    (instance,), port = a_study(1), free_port()
    large(instance)
    pacs = FakePacs([instance])
    with pacs.running(), CuttingProxy(pacs.port if get == "c-get" else port, pace=PACE) as proxy:
        if get == "c-move":
            pacs.move_port = proxy.port
        client = pacs.client(
            get=get,
            port=proxy.port if get == "c-get" else pacs.port,
            move=MoveDestination("HFMOVE", port),
            timeouts=replace(TIMEOUTS, message=2),
        )
        began = time.monotonic()
        assert client.fetch_study(instance.StudyInstanceUID, tmp_path).is_complete
    assert time.monotonic() - began > 4


def test_a_pacs_that_sends_paths_for_uids(tmp_path: Path) -> None:
    (instance,) = a_study(1)
    instance.SOPInstanceUID = "../../escaped"
    with FakePacs([instance]).running() as pacs:
        report = pacs.client(get="c-get").fetch_study(instance.StudyInstanceUID, tmp_path / "in")
    (entry,) = report.entries
    assert entry.SOPInstanceUID == "../../escaped"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "in" / entry.path]


def test_what_a_pacs_withholds_is_reported(tmp_path: Path) -> None:
    instances = a_study()
    instances[1].SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"  # listed, but it offers CT alone
    with FakePacs(instances, models=(FIND, GET)).running() as pacs:
        report = pacs.client(get="c-get").fetch_study(instances[0].StudyInstanceUID, tmp_path)
    assert report.missing == (instances[1].SOPInstanceUID,)
    assert len(report.entries) == 2
    assert not report.is_complete


@pytest.mark.parametrize("get", ["c-get", "c-move"])
@pytest.mark.parametrize(
    "sop_class", ["1.3.12.2.1107.5.9.1", "1.2.840.10008.5.1.4.1.1.6"], ids=["private", "retired"]
)
def test_what_no_standard_has_any_more_or_ever_had_comes_too(
    tmp_path: Path, get: str, sop_class: str
) -> None:
    """Siemens' CSA Non-Image Storage, and ultrasound of before 1996: archives have both."""
    instances = a_study()
    instances[1].SOPClassUID = sop_class
    pacs = FakePacs(instances)
    pacs.storage[sop_class] = [EXPLICIT]
    with pacs.running():
        report = pacs.client(get=get).fetch_study(instances[0].StudyInstanceUID, tmp_path)
    assert report.is_complete
    assert sop_class in {entry.SOPClassUID for entry in report.entries}


@pytest.mark.parametrize(("get", "came"), [("c-get", 2), ("c-move", 3)])
def test_a_private_transfer_syntax_comes_by_c_move_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: str, came: int
) -> None:
    """By C-GET we would have to propose it."""
    # For the PACS, which has to know how to encode it.
    monkeypatch.setattr(UID, "_PRIVATE_TS_ENCODING", (True, True), raising=False)
    instances, syntax = a_study(), "1.2.840.113619.5.2"
    instances[1].file_meta.TransferSyntaxUID = syntax
    pacs = FakePacs(instances, storage={CTImageStorage: [EXPLICIT, syntax]})
    with pacs.running():
        report = pacs.client(get=get).fetch_study(instances[0].StudyInstanceUID, tmp_path)
    assert len(report.entries) == came
    assert (syntax in {entry.TransferSyntaxUID for entry in report.entries}) == (get == "c-move")


def test_what_was_not_asked_for_is_not_kept(tmp_path: Path) -> None:
    """A PACS may send all of a study though one instance was named."""
    instances = a_study()
    wanted = instances[1].SOPInstanceUID
    with FakePacs(instances).running() as pacs:
        report = pacs.client(get="c-get").fetch_study(
            instances[0].StudyInstanceUID, tmp_path, only={wanted}
        )
    assert [entry.SOPInstanceUID for entry in report.entries] == [wanted]
    assert len(list(tmp_path.iterdir())) == 1


def test_one_uid_with_two_contents_keeps_both(tmp_path: Path) -> None:
    first, second = a_study(2)
    second.SOPInstanceUID = first.SOPInstanceUID
    with FakePacs([first, second]).running() as pacs:
        report = pacs.client(get="c-get").fetch_study(first.StudyInstanceUID, tmp_path)
    assert len(report.entries) == len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("get", ["c-get", "c-move"])
def test_an_error_of_the_sink_ends_the_retrieval(tmp_path: Path, get: str) -> None:
    def sink(entry: InstanceEntry) -> None:
        raise IntegrityError("no")

    instances = a_study()
    with FakePacs(instances).running() as pacs, pytest.raises(IntegrityError):
        pacs.client(get=get).fetch_study(instances[0].StudyInstanceUID, tmp_path, sink=sink)


@pytest.mark.parametrize("get", ["c-get", "c-move"])
def test_an_instance_without_end_is_given_up(tmp_path: Path, get: str) -> None:
    """As it comes, and not only when it is whole; what came before it is kept."""
    instances = a_study(2)
    large(instances[1])
    with FakePacs(instances).running() as pacs:
        client = pacs.client(get=get, max_instance=100_000)
        with pytest.raises(PermanentError, match="max_instance"):
            client.fetch_study(instances[0].StudyInstanceUID, tmp_path)
    (path,) = tmp_path.iterdir()
    assert dcmread(path).SOPInstanceUID == instances[0].SOPInstanceUID


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hounsfield.pacs.landing.os.fsync", full)
    instances = a_study()
    with FakePacs(instances).running() as pacs, pytest.raises(StoreUnavailable, match="No space"):
        pacs.client(get="c-get").fetch_study(instances[0].StudyInstanceUID, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_class_is_used_where_the_pacs_tells_it(tmp_path: Path) -> None:
    with FakePacs(a_study(1)).running() as pacs:
        (ref,) = pacs.client().find_instances("1.2.3")
    assert ref.SOPClassUID == CTImageStorage
