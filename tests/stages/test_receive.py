"""What is pushed to us becomes a revision, and Airflow is told, whatever dies in between."""

from __future__ import annotations

import errno
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
)
from sqlalchemy import select

from hounsfield.catalog.models import Product, QuarantineItem
from hounsfield.errors import ConfigError, IncompleteStudy, NotFound, NotYet, TransientError
from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.receive import listening
from hounsfield.site import Site
from hounsfield.stages.announce import Airflow
from hounsfield.stages.ingest import find_studies, retrieve_study
from hounsfield.stages.receive import Receiver, admit_landed
from tests.pacs.fake import FIND, MOVE
from tests.pacs.fake import FakePacs as Scripted
from tests.pacs.receiving import settings_of
from tests.pacs.studies import ct_instance
from tests.stages.conftest import RUN, STUDY, FakePacs, encoded, on_both, with_source
from tests.stages.daemon import Api, held
from tests.stages.test_ingest import DAY


@pytest.fixture
def inbox(site: Site, tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path / "landing") as made:
        yield made


@pytest.fixture
def key(site: Site) -> str:
    return site.pseudonyms.study_key(STUDY)


def land(
    inbox: Inbox,
    key: str,
    uid: str,
    content: str = "one",
    *,
    deflated_as: str = "",
    **attributes: str,
) -> None:
    body = encoded(uid, content, **attributes).getvalue()
    part = inbox.part(
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        transfer_syntax_uid=deflated_as or ExplicitVRLittleEndian,
    )
    part.write(zlib.compress(body, wbits=-zlib.MAX_WBITS) if deflated_as else body)
    inbox.land(key, part)


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    yield server
    server.stop()


def test_a_quiet_study_becomes_a_revision(site: Site, inbox: Inbox, key: str) -> None:
    for uid in ("1.2.3.1", "1.2.3.2"):
        land(inbox, key, uid)
    assert not inbox.is_quiet(key, 60)
    assert admit_landed(site, inbox, key, "pacs", run=RUN)["status"] == "new"
    assert set(held(site, key)) == {"1.2.3.1", "1.2.3.2"}
    study = site.catalog.study(key)
    assert (study.state, study.instance_count, study.source) == ("received", 2, "pacs")
    identity = site.vault.open(key, purpose="test", run=RUN)
    assert (identity.StudyInstanceUID, identity.PatientID) == (STUDY, "LOVELACE-1815")
    assert inbox.landed(key) == []
    (event,) = site.catalog.timeline(key)
    assert event.state == "done"
    assert event.sentence.startswith("2 instances came by push, then none for a while; 0 here")


def test_what_a_pacs_moves_to_the_receiver_is_here_all_the_same(
    site: Site, inbox: Inbox, free_port: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    """As where it has one address for our AE title, and not the one that move names."""
    slices = [ct_instance(STUDY, "1.2.3", number, date="20260301") for number in range(3)]
    pacs = Scripted(slices, models=(FIND, MOVE))
    move = {"ae_title": "HOUNSFIELD", "port": free_port()}
    peer = {"ae_title": "FAKE", "host": "127.0.0.1", "port": pacs.port, "move": move}
    site = with_source(site, peer=peer)
    settings = settings_of(inbox.root, pacs.move_port)
    with pacs.running(), listening(inbox, settings, study_key=site.pseudonyms.study_key):
        (key,) = find_studies(site, "pacs", *DAY, run=RUN)
        with pytest.raises(NotYet, match=r"lists 3 and gave 0.*; 3 went elsewhere") as wait:
            retrieve_study(site, key, run=RUN)
        assert wait.value.seconds > 200, "it would be moved again before it is admitted"
        assert "or else those of the receiver" in caplog.text
        assert admit_landed(site, inbox, key, "pacs", run=RUN)["status"] == "new"
        assert completeness(site, key) == "quiet"
        assert retrieve_study(site, key, run=RUN)["status"] == "unchanged"
    assert len(held(site, key)) == 3
    assert completeness(site, key) == "confirmed"
    assert "the PACS lists 3 instances" in site.catalog.timeline(key)[-1].sentence


def test_what_was_pushed_its_source_confirms_twice_over(
    site: Site, inbox: Inbox, key: str, pacs: FakePacs
) -> None:
    for uid in ("1.2.3.1", "1.2.3.2"):
        pacs.give(uid, "one")
        land(inbox, key, uid)
    first = admit_landed(site, inbox, key, "pacs", run=RUN)
    patient = with_source(site, confirm_after_seconds=600.0)
    now = [0.0]
    for now[0], left in ((0.0, 600), (590.0, 10)):
        with pytest.raises(NotYet, match="once more") as wait:
            retrieve_study(patient, key, run=RUN, now=lambda: now[0])
        assert wait.value.seconds == left
        assert completeness(site, key) == "quiet"
    again = retrieve_study(patient, key, run=RUN, now=lambda: 600.0)
    assert again == {"study_key": key, "digest": first["digest"], "status": "unchanged"}
    assert completeness(site, key) == "confirmed"
    assert not pacs.asked, "nothing is fetched"
    assert len(site.catalog.all(select(Product))) == 1, "nothing is made anew of it"
    assert retrieve_study(patient, key, run=RUN, now=lambda: 601.0)["status"] == "unchanged"


def test_what_its_source_never_gave_whole_is_not_called_quiet(
    site: Site, inbox: Inbox, pacs: FakePacs
) -> None:
    """Two of three came, and the source was given up; then somebody pushes another one."""
    for number in range(2):
        pacs.give(f"1.2.3.{number}", "one")
    pacs.uncounted = 1
    (key,) = find_studies(site, "pacs", *DAY, run=RUN)
    hurried = with_source(site, give_up_after_seconds=0.0)
    with pytest.raises(IncompleteStudy):
        retrieve_study(hurried, key, run=RUN)
    land(inbox, key, "1.2.3.2")
    admit_landed(site, inbox, key, "pacs", run=RUN)
    assert completeness(site, key) == "incomplete"
    pacs.give("1.2.3.2", "one")
    pacs.uncounted = 0
    assert retrieve_study(site, key, run=RUN)["status"] == "revised"
    assert len(held(site, key, "confirmed")) == 3


def test_what_another_source_has_more_makes_no_push_incomplete(
    site: Site, inbox: Inbox, key: str
) -> None:
    for source, said in (("elsewhere", "quiet"), ("pacs", "incomplete")):
        site.catalog.quarantine(
            key, stage="ingest", code=IncompleteStudy.code, reason="one more", source=source
        )
        land(inbox, key, f"1.2.3.{len(said)}")
        admit_landed(site, inbox, key, "pacs", run=RUN)
        assert completeness(site, key) == said


def completeness(site: Site, key: str) -> str:
    return str(site.catalog.latest(key, "raw").detail["completeness"])


def test_of_a_study_that_grows_no_file_is_looked_at(
    inbox: Inbox, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep a second over all that has landed would cost more than to receive it."""
    land(inbox, key, "1.2.3.1")
    looked: list[str] = []
    monkeypatch.setattr(inbox, "_arrivals", lambda key: looked.append(key) or [])
    assert not inbox.is_quiet(key, 60)
    assert not looked
    os.utime(inbox.root / key, (0, 0))
    inbox.is_quiet(key, 60)
    assert looked == [key]


def test_what_comes_later_makes_a_new_revision(site: Site, inbox: Inbox, key: str) -> None:
    land(inbox, key, "1.2.3.1")
    first = admit_landed(site, inbox, key, "pacs", run=RUN)
    land(inbox, key, "1.2.3.1")
    assert admit_landed(site, inbox, key, "pacs", run=RUN)["status"] == "unchanged"
    land(inbox, key, "1.2.3.2")
    second = admit_landed(site, inbox, key, "pacs", run=RUN)
    assert (second["status"], second["digest"] != first["digest"]) == ("revised", True)
    assert set(held(site, key)) == {"1.2.3.1", "1.2.3.2"}
    assert len(site.catalog.all(select(Product))) == 2


@pytest.mark.parametrize("at_once", [True, False])
def test_other_content_of_a_uid_is_kept_apart(
    site: Site, inbox: Inbox, key: str, at_once: bool
) -> None:
    land(inbox, key, "1.2.3.1", "one")
    if not at_once:
        admit_landed(site, inbox, key, "pacs", run=RUN)
    time.sleep(0.01)  # Which was first is told by the clock of the file system.
    land(inbox, key, "1.2.3.1", "two")
    admit_landed(site, inbox, key, "pacs", run=RUN)
    assert b"one" in held(site, key)["1.2.3.1"]
    (item,) = site.catalog.all(select(QuarantineItem))
    assert (item.code, item.stage) == ("content-collision", "receive")
    assert b"two" in Path(item.uri).read_bytes()
    assert [event.state for event in site.catalog.timeline(key)].count("alert") == 1


def test_a_damaged_instance_is_set_apart_till_it_comes_again(
    site: Site, inbox: Inbox, key: str
) -> None:
    land(inbox, key, "1.2.3.1")
    land(inbox, key, "1.2.3.2")
    damaged = inbox.landed(key)[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    result = admit_landed(site, inbox, key, "pacs", run=RUN)
    assert (result["status"], result["refused"]) == ("new", 1)
    assert set(held(site, key, "incomplete")) == {"1.2.3.2"}
    (item,) = site.catalog.all(select(QuarantineItem))
    assert (item.code, item.stage, item.resolved) == ("integrity", "receive", False)
    assert Path(item.uri).read_bytes().endswith(b"?")
    assert inbox.landed(key) == []

    land(inbox, key, "1.2.3.1")
    assert admit_landed(site, inbox, key, "pacs", run=RUN)["status"] == "revised"
    assert set(held(site, key)) == {"1.2.3.1", "1.2.3.2"}
    (item,) = site.catalog.all(select(QuarantineItem))
    assert item.resolved
    assert [event.state for event in site.catalog.timeline(key)] == ["alert", "done", "done"]


def on_a_bad_sector(landed: Path) -> None:
    """Puts in the place of a file one that the kernel gives EIO for."""
    landed.unlink()
    landed.symlink_to("/proc/self/mem")


def test_an_instance_that_the_disk_gives_no_more_holds_up_nothing(
    site: Site, inbox: Inbox, key: str
) -> None:
    land(inbox, key, "1.2.3.1")
    land(inbox, key, "1.2.3.2")
    bad = inbox.landed(key)[0]
    on_a_bad_sector(bad)
    assert admit_landed(site, inbox, key, "pacs", run=RUN)["refused"] == 1
    assert set(held(site, key, "incomplete")) == {"1.2.3.2"}
    (item,) = site.catalog.all(select(QuarantineItem))
    assert (item.code, item.uri) == ("integrity", str(bad.with_suffix(".unreadable")))
    assert Path(item.uri).is_symlink(), "it is kept for whoever can read it"
    assert inbox.landed(key) == []

    land(inbox, key, "1.2.3.1")
    assert admit_landed(site, inbox, key, "pacs", run=RUN)["status"] == "revised"
    assert set(held(site, key)) == {"1.2.3.1", "1.2.3.2"}
    assert not Path(item.uri).is_symlink(), "nobody needs it any more"


def test_what_comes_again_takes_the_place_of_what_cannot_be_read(
    site: Site, inbox: Inbox, key: str
) -> None:
    land(inbox, key, "1.2.3.1")
    on_a_bad_sector(inbox.landed(key)[0])
    land(inbox, key, "1.2.3.1")
    assert admit_landed(site, inbox, key, "pacs", run=RUN)["refused"] == 0
    assert set(held(site, key)) == {"1.2.3.1"}


def test_what_comes_again_takes_the_place_of_what_was_damaged(
    site: Site, inbox: Inbox, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    land(inbox, key, "1.2.3.1")
    (damaged,) = inbox.landed(key)
    damaged.write_bytes(b"?")
    land(inbox, key, "1.2.3.1")
    assert admit_landed(site, inbox, key, "pacs", run=RUN)["refused"] == 0
    assert set(held(site, key)) == {"1.2.3.1"}
    assert "was damaged" in caplog.text


def test_a_syntax_that_was_taken_out_of_the_configuration_holds_up_nothing(
    site: Site, inbox: Inbox, key: str
) -> None:
    land(inbox, key, "1.2.3.1", deflated_as="1.2.3.99")
    result = admit_landed(site, inbox, key, "pacs", run=RUN)
    assert (result["status"], result["digest"], result["refused"]) == ("unchanged", "", 1)
    (item,) = site.catalog.all(select(QuarantineItem))
    assert (item.code, inbox.landed(key)) == ("unreadable-file", [])

    land(inbox, key, "1.2.3.1", deflated_as="1.2.3.99")
    encodings = {"1.2.3.99": DeflatedExplicitVRLittleEndian}
    assert admit_landed(site, inbox, key, "pacs", run=RUN, encodings=encodings)["status"] == "new"
    assert set(held(site, key)) == {"1.2.3.1"}


@on_both
def test_a_modality_that_is_no_code_is_not_in_the_catalog(
    site: Site, inbox: Inbox, key: str
) -> None:
    land(inbox, key, "1.2.3.1", Modality="CT", SeriesInstanceUID="1.2.3")
    # PostgreSQL would refuse the study.
    land(inbox, key, "1.2.3.2", Modality="A TYPIST^WAS HERE " * 20, SeriesInstanceUID="1.2.4")
    admit_landed(site, inbox, key, "pacs", run=RUN)
    assert site.catalog.study(key).modalities == "CT"
    assert len(held(site, key)) == 2


def test_another_project_key_is_told(site: Site, inbox: Inbox) -> None:
    land(inbox, "st-other", "1.2.3.1")
    with pytest.raises(ConfigError, match="not known"):
        admit_landed(site, inbox, "st-other", "pacs", run=RUN)
    assert len(inbox.landed("st-other")) == 1, "nothing is lost"


@pytest.mark.parametrize("where", ["site.vault.put", "site.catalog.put", "inbox.remove"])
def test_killed_anywhere_it_is_admitted_and_announced_after_all(
    site: Site, inbox: Inbox, key: str, api: Api, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def dying(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    land(inbox, key, "1.2.3.1")
    receiver = Receiver(site, inbox, "pacs", Airflow(api.url, "made-by-hand"), quiet_seconds=0)
    *owner, name = where.split(".")
    part = inbox if owner == ["inbox"] else getattr(site, owner[1])
    with monkeypatch.context() as patch:
        patch.setattr(part, name, dying)
        with pytest.raises(KeyboardInterrupt):
            receiver.sweep()
    assert api.events == [], "nobody is told of what is not there"
    receiver.sweep()
    assert set(held(site, key)) == {"1.2.3.1"}
    assert api.events == [{"asset_id": 7, "partition_key": key}]
    assert inbox.studies() == []
    receiver.sweep()
    assert len(api.events) == 1, "once is enough"


def test_what_the_disk_does_not_tell_of_one_study_keeps_no_other_waiting(
    site: Site, inbox: Inbox, key: str, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = site.pseudonyms.study_key("1.9")
    land(inbox, other, "1.9.1", StudyInstanceUID="1.9")
    land(inbox, key, "1.2.3.1")
    inbox.owe(other, "d" * 64)
    arrivals, looked = inbox._arrivals, []

    def bad_sector(study_key: str) -> list[tuple[int, Path]]:
        looked.append(study_key)
        if study_key == other:
            raise OSError(errno.EIO, "Input/output error")
        return arrivals(study_key)

    monkeypatch.setattr(inbox, "_arrivals", bad_sector)
    receiver = Receiver(site, inbox, "pacs", Airflow(api.url, "made-by-hand"), quiet_seconds=0)
    for _ in range(3):
        receiver.sweep()
    assert set(held(site, key)) == {"1.2.3.1"}
    assert api.events == [{"asset_id": 7, "partition_key": key}]
    assert looked.count(other) == 1, "what failed is not looked at before it is its time"


def test_airflow_that_was_down_is_told_later(
    site: Site,
    inbox: Inbox,
    key: str,
    free_port: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    airflow = Airflow(f"http://127.0.0.1:{port}", "made-by-hand")
    receiver = Receiver(site, inbox, "pacs", airflow, quiet_seconds=0, retry_seconds=0.01)
    land(inbox, key, "1.2.3.1")
    receiver.sweep()
    assert set(held(site, key)) == {"1.2.3.1"}
    assert inbox.owed(key)
    assert "Airflow is tried again in 0 s: Airflow gave no answer" in caplog.text
    api = Api(port)
    try:
        time.sleep(0.02)
        receiver.sweep()
        assert api.events == [{"asset_id": 7, "partition_key": key}]
        assert inbox.studies() == []
    finally:
        api.stop()


def test_without_airflow_a_line_says_that_nobody_was_told(
    site: Site, inbox: Inbox, key: str, caplog: pytest.LogCaptureFixture, api: Api
) -> None:
    land(inbox, key, "1.2.3.1")
    Receiver(site, inbox, "pacs", None, quiet_seconds=0).sweep()
    assert f"Study {key} is admitted; nobody was told." in caplog.messages
    Receiver(site, inbox, "pacs", Airflow(api.url, "made-by-hand")).sweep()
    assert [event["partition_key"] for event in api.events] == [key]


def test_a_user_gets_tokens_and_gets_one_again(api: Api) -> None:
    airflow = Airflow(api.url, user="receiver", password="made up")
    airflow.announce("st-a")
    api.tokens.append("the old one has run out")
    airflow.announce("st-b")
    assert [event["partition_key"] for event in api.events] == ["st-a", "st-b"]
    assert "made up" not in repr(airflow)


def test_a_wrong_token_is_told(api: Api) -> None:
    with pytest.raises(ConfigError, match="401"):
        Airflow(api.url, "wrong").announce("st-a")


def test_what_is_no_airflow_is_told(
    api: Api, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TransientError, match="no answer"):
        Airflow(f"http://127.0.0.1:{free_port()}", "t").announce("st-a")
    monkeypatch.setattr("hounsfield.stages.announce.ASSET", "received-n")
    with pytest.raises(NotFound, match="are its Dags parsed"):
        Airflow(api.url, "made-by-hand").announce("st-a")


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"URL": "ftp://a"}, ConfigError),
        ({"URL": "http://a"}, ConfigError),
        ({"URL": "http://a/", "TOKEN": "t"}, Airflow("http://a", "t")),
        ({"URL": "http://a", "USER": "u", "PASSWORD": "p"}, Airflow("http://a", "", "u", "p")),
    ],
)
def test_settings_come_from_the_environment(environ: dict[str, str], found: Any) -> None:
    variables = {f"HOUNSFIELD_AIRFLOW_{name}": value for name, value in environ.items()}
    if found is ConfigError:
        with pytest.raises(ConfigError, match="HOUNSFIELD_AIRFLOW_URL"):
            Airflow.from_environment(variables)
    else:
        assert Airflow.from_environment(variables) == found
