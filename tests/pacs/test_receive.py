"""The receiver's SCP: every class and syntax, bytes as they come, on disk before success."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from pydicom import dcmread
from pydicom.uid import UID_dictionary
from pynetdicom import evt
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.sop_class import Verification

from hounsfield.errors import ConfigError
from hounsfield.pacs.contexts import STORAGE_CLASSES
from hounsfield.pacs.counters import Tally, telling
from hounsfield.pacs.inbox import Inbox, Intake
from hounsfield.pacs.place import read_landed
from hounsfield.pacs.receive import listening
from tests.pacs.receiving import (
    CT,
    EXPLICIT,
    Receiver,
    answer,
    associate,
    encoded,
    established,
    pdu,
    receiving,
    send,
    settings_of,
    study_key,
    until,
)
from tests.pacs.studies import CANARY, dataset_bytes, write_study

IMPLICIT = "1.2.840.10008.1.2"
SYNTAXES = sorted(uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax")
PRIVATE_CLASS = "1.2.826.0.1.3680043.8.498.9"
PRIVATE_SYNTAX = "1.2.826.0.1.3680043.8.498.10"


@pytest.fixture
def receiver(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Receiver]:
    with receiving(tmp_path, free_port()) as made:
        yield made


def test_every_storage_class_is_accepted(receiver: Receiver) -> None:
    for start in range(0, len(STORAGE_CLASSES), 127):
        some = STORAGE_CLASSES[start : start + 127]
        association = associate(receiver.port, *((uid, EXPLICIT) for uid in some))
        assert {c.abstract_syntax for c in association.accepted_contexts} == set(some)
        association.release()


@pytest.mark.parametrize("part", [SYNTAXES[:30], SYNTAXES[30:]])
def test_every_transfer_syntax_lands_as_it_came(receiver: Receiver, part: list[str]) -> None:
    association = associate(receiver.port, *((CT, uid) for uid in part))
    for number, syntax in enumerate(part):
        uid = f"1.2.3.{number}"
        assert send(association, encoded(syntax, SOPInstanceUID=uid), syntax, uid) == 0
    association.release()
    for number, (syntax, path) in enumerate(zip(part, receiver.landed(), strict=True)):
        entry, place = read_landed(path)
        assert (entry.TransferSyntaxUID, entry.SOPInstanceUID) == (syntax, f"1.2.3.{number}")
        assert (place.StudyInstanceUID, place.SeriesInstanceUID) == ("1.2", "1.2.1")
        assert (place.Modality, place.StudyDate) == ("CT", "20260301")
        assert dataset_bytes(path) == encoded(syntax, SOPInstanceUID=f"1.2.3.{number}")
        assert path.name == f"{blake3(path.read_bytes()).hexdigest()}.dcm", (
            "no identifier is in a name"
        )
    assert receiver.halves() == []


@pytest.mark.data
@pytest.mark.server
def test_real_files_of_every_syntax_come_through_byte_for_byte(
    receiver: Receiver, real_data: Path, tmp_path: Path
) -> None:
    """One file of each SOP class and transfer syntax in the shared data, as it is.

    But for that in HTJ2K, which is of no study: it is given one.
    """
    of_no_study = dcmread(real_data / "syn_htj2k" / "HTJ2KLossless_08_RGB.dcm")
    of_no_study.StudyInstanceUID, of_no_study.SeriesInstanceUID = "1.2", "1.2.1"
    of_no_study.save_as(tmp_path / "htj2k.dcm")
    assert of_no_study.PixelData in (tmp_path / "htj2k.dcm").read_bytes()

    syntaxes = set()
    wanted: dict[tuple[str, str], tuple[str, bytes]] = {}
    files = sorted(path for path in real_data.rglob("*") if path.is_file())
    for path in (*files, tmp_path / "htj2k.dcm"):
        key, uid = _told(path)
        syntaxes.add(key[1])
        if uid and key[0] in STORAGE_CLASSES and key not in wanted:
            wanted[key] = uid, dataset_bytes(path)
    assert {syntax for _, syntax in wanted} == syntaxes - {""}
    assert len(syntaxes - {""}) == 14
    for (sop_class, syntax), (uid, body) in wanted.items():
        association = associate(receiver.port, (sop_class, syntax))
        assert send(association, body, syntax, uid, sop_class) == 0, (sop_class, syntax)
        association.release()
    landed = {}
    for path in receiver.landed():
        entry, _ = read_landed(path)
        landed[entry.SOPClassUID, entry.TransferSyntaxUID] = (
            entry.SOPInstanceUID,
            dataset_bytes(path),
        )
    assert landed == wanted


def _told(path: Path) -> tuple[tuple[str, str], str]:
    """SOP class and transfer syntax of a file, and its UID if a sound peer would send it."""
    tags = ["SOPInstanceUID", "StudyInstanceUID"]
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = dcmread(path, specific_tags=tags, stop_before_pixels=True)
    except Exception:  # no DICOM, or none that can be read
        return ("", ""), ""
    meta, uid = dataset.file_meta, str(dataset.get("SOPInstanceUID", ""))
    key = str(meta.get("MediaStorageSOPClassUID", "")), str(meta.get("TransferSyntaxUID", ""))
    is_sound = meta.get("MediaStorageSOPInstanceUID") == uid and dataset.get("StudyInstanceUID")
    return key, uid if is_sound else ""


def test_an_unknown_class_or_syntax_is_refused(receiver: Receiver) -> None:
    association = associate(receiver.port, (PRIVATE_CLASS, EXPLICIT), (CT, EXPLICIT))
    assert [c.abstract_syntax for c in association.accepted_contexts] == [CT]
    association.release()
    association = associate(receiver.port, (CT, PRIVATE_SYNTAX), (CT, EXPLICIT))
    assert [c.transfer_syntax for c in association.accepted_contexts] == [[EXPLICIT]]
    association.release()


@pytest.mark.parametrize(
    ("encoding", "like"),
    [
        ("implicit", IMPLICIT),
        ("explicit", EXPLICIT),
        ("big-endian", "1.2.840.10008.1.2.2"),
        ("deflated", "1.2.840.10008.1.2.1.99"),
    ],
)
def test_private_classes_and_syntaxes_are_configured(
    tmp_path: Path, free_port: Callable[[], int], encoding: str, like: str
) -> None:
    given = {"sop_classes": [PRIVATE_CLASS], "transfer_syntaxes": {PRIVATE_SYNTAX: encoding}}
    with receiving(tmp_path, free_port(), **given) as receiver:
        association = associate(receiver.port, (PRIVATE_CLASS, PRIVATE_SYNTAX))
        assert send(association, encoded(like), PRIVATE_SYNTAX, sop_class=PRIVATE_CLASS) == 0
        association.release()
        (path,) = receiver.landed()
        assert dataset_bytes(path) == encoded(like)
        entry, place = read_landed(path, {PRIVATE_SYNTAX: like})
        assert (entry.SOPClassUID, entry.TransferSyntaxUID) == (PRIVATE_CLASS, PRIVATE_SYNTAX)
        assert place.StudyInstanceUID == "1.2"


def test_an_echo_is_answered(receiver: Receiver) -> None:
    association = associate(receiver.port, (Verification, EXPLICIT))
    assert association.send_c_echo().Status == 0
    association.release()


def test_nothing_waits_for_a_look_at_the_clock(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event wakes who is to act on it: with rounds this long all else would time out."""
    monkeypatch.setattr("hounsfield.pacs.reactor._IDLE", 600)
    for _ in range(10):
        assert receiver.is_well()
        association = associate(receiver.port, (Verification, EXPLICIT))
        assert association.send_c_echo().Status == 0
        association.abort()
        assert associate(receiver.port, (CT, EXPLICIT), called="X").is_rejected
    with established(receiver.port) as connection:
        connection.sendall(pdu(0x05, bytes(4)))  # A-RELEASE-RQ
        assert answer(connection) == 0x06
        assert answer(connection) is None


def test_many_associations_at_once(receiver: Receiver) -> None:
    open_ones = [associate(receiver.port, (CT, EXPLICIT)) for _ in range(10)]
    assert receiver.tally.get("associations_open") == 10
    for number, association in enumerate(open_ones):
        uid = f"1.2.3.{number}"
        assert send(association, encoded(SOPInstanceUID=uid), uid=uid) == 0
    for association in open_ones:
        association.release()
    assert len(receiver.landed()) == 10


# Who may call.


def test_another_called_title_is_rejected(receiver: Receiver) -> None:
    assert associate(receiver.port, (Verification, EXPLICIT), called="X").is_rejected
    assert receiver.refused("called_ae_title") == 1


def test_calling_titles_are_a_list(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with receiving(tmp_path, free_port(), calling_ae_titles=["CT1", "MR 2"]) as receiver:
        assert associate(receiver.port, (CT, EXPLICIT), calling="CT2").is_rejected
        for calling in ("CT1", "MR 2"):
            association = associate(receiver.port, (CT, EXPLICIT), calling=calling)
            assert association.is_established
            association.release()
        assert receiver.refused("calling_ae_title") == 1


def test_who_was_refused_is_told_and_not_for_ever(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for calling in ("CT1", "CT2"):
        associate(receiver.port, (CT, EXPLICIT), called="X", calling=calling)
    (said,) = [r.getMessage() for r in caplog.records if "was refused" in r.getMessage()]
    assert "'CT1', from 127.0.0.1, was refused: called_ae_title" in said
    assert receiver.refused("called_ae_title") == 2


def test_networks_are_a_list(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with receiving(tmp_path / "a", free_port(), networks=["10.0.0.0/8", "fe80::/10"]) as receiver:
        assert not associate(receiver.port, (CT, EXPLICIT)).is_established
        assert receiver.refused("address") == 1
    with receiving(tmp_path / "b", free_port(), networks=["127.0.0.0/8"]) as receiver:
        assert receiver.is_well()


def test_more_associations_than_configured_are_rejected_for_now(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with receiving(tmp_path, free_port(), associations=2) as receiver:
        first, second = (associate(receiver.port, (CT, EXPLICIT)) for _ in range(2))
        assert associate(receiver.port, (CT, EXPLICIT)).is_rejected
        assert receiver.refused("associations") == 1
        first.release()
        second.release()


# What is refused.


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (encoded(StudyInstanceUID=None), 0xC000, "unreadable"),
        (b"\xff" * 99, 0xC000, "unreadable"),
        (b"\x08\x00\x20\x00DA\xff\xff", 0xC000, "unreadable"),
        (encoded(SOPInstanceUID=None), 0xA900, "mismatch"),
        (encoded(SOPInstanceUID="1.2.4"), 0xA900, "mismatch"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(
    receiver: Receiver, body: bytes, status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The sender has it still; nothing of it is kept or told here."""
    association = associate(receiver.port, (CT, EXPLICIT))
    assert send(association, body) == status
    assert send(association, encoded()) == 0
    association.release()
    assert len(receiver.landed()) == 1, "the next one is taken as ever"
    assert receiver.halves() == []
    assert receiver.refused(reason) == 1
    assert CANARY not in caplog.text


def test_a_message_without_an_instance_uid_is_refused(receiver: Receiver) -> None:
    association = associate(receiver.port, (CT, EXPLICIT))
    assert send(association, encoded(), uid="") == 0x0117
    assert send(association, None) == 0xC000
    association.release()
    assert receiver.refused("no_instance_uid") == 1
    assert receiver.landed() == receiver.halves() == []


@pytest.mark.parametrize("uid", ["../../etc/passwd", "/tmp/x", "..", "1/2"])
def test_a_uid_that_is_a_path_leads_nowhere(receiver: Receiver, uid: str) -> None:
    association = associate(receiver.port, (CT, EXPLICIT))
    body = encoded(SOPInstanceUID=uid, StudyInstanceUID=uid, SeriesInstanceUID=uid)
    assert send(association, body, uid=uid) == 0
    association.release()
    (path,) = receiver.landed()
    assert path.parent == receiver.inbox.root / study_key(uid)
    assert read_landed(path)[0].SOPInstanceUID == uid


@pytest.mark.parametrize("is_mounted", [True, False])
def test_a_disk_over_the_configured_share_or_away_rejects_for_now(
    tmp_path: Path, free_port: Callable[[], int], is_mounted: bool
) -> None:
    """A transient rejection by the presentation provider, congested (PS3.8 Table 9-21)."""
    usage = shutil.disk_usage(tmp_path)
    share = 0.5 * usage.used / usage.total if is_mounted else 1
    answers: list[A_ASSOCIATE_RJ] = []
    note = (evt.EVT_PDU_RECV, lambda event: answers.append(event.pdu))
    with receiving(tmp_path, free_port(), disk_share=share) as receiver:
        if not is_mounted:
            receiver.inbox.root.rename(tmp_path / "away")
        assert associate(receiver.port, (CT, EXPLICIT), evt_handlers=[note]).is_rejected
        assert receiver.refused("disk_share") == 1
    (rejection,) = answers
    assert (rejection.result, rejection.source, rejection.reason_diagnostic) == (2, 3, 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 1 MiB: a file system of its own, where we may mount one.

    Elsewhere a limit on the size of our files stands in for it: a write then fails too, but
    only that of one large file, and with another error.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() == 0 and not subprocess.run(command, capture_output=True).returncode:
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.filterwarnings("ignore:The value for the data element")
def test_a_full_disk_is_told_to_the_sender_who_comes_again(
    small_disk: Path, free_port: Callable[[], int]
) -> None:
    with receiving(small_disk, free_port(), disk_share=1) as receiver:
        association = associate(receiver.port, (CT, EXPLICIT))
        large = encoded(IMPLICIT, DerivationDescription="x" * (1 << 20))
        assert send(association, large) == 0xA700, "out of resources (PS3.4 Table B.2-1)"
        assert receiver.refused("disk_full") == 1
        assert receiver.landed() == receiver.halves() == [], "and the room is there again"
        assert send(association, encoded()) == 0
        association.release()
        assert len(receiver.landed()) == 1


# Duplicates.


def test_the_same_again_is_acknowledged_and_stored_once(receiver: Receiver) -> None:
    association = associate(receiver.port, (CT, EXPLICIT))
    assert [send(association, encoded()) for _ in range(3)] == [0, 0, 0]
    association.release()
    assert len(receiver.landed()) == 1
    assert receiver.tally.get("instances") == 3
    assert receiver.tally.get("duplicates") == 2


def test_other_content_of_a_uid_is_kept_too_and_the_first_stays_first(receiver: Receiver) -> None:
    association = associate(receiver.port, (CT, EXPLICIT))
    for comment in ("one", "two", "one"):
        assert send(association, encoded(ImageComments=comment)) == 0
    association.release()
    first, second = receiver.landed()
    assert b"one" in first.read_bytes()
    assert b"two" in second.read_bytes()


def test_a_folder_that_is_emptied_meanwhile_takes_all_the_same(tmp_path: Path) -> None:
    """The sweep removes a study's folder while instances of the study come in."""
    intake, stop = Intake(tmp_path / "landing"), threading.Event()
    folder = intake.root / "st-a"

    def sweep() -> None:
        while not stop.is_set():
            try:
                folder.rmdir()
            except OSError:
                time.sleep(0.0001)

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        for number in range(100):
            part = intake.part(
                sop_class_uid=CT, sop_instance_uid=f"1.{number}", transfer_syntax_uid=EXPLICIT
            )
            part.write(b"data")
            assert intake.land("st-a", part)
            assert len(list(folder.iterdir())) == 1
            next(folder.iterdir()).unlink()
    finally:
        stop.set()
        thread.join()


def test_one_of_two_that_come_at_once_is_the_first(tmp_path: Path) -> None:
    """Two processes land the same bytes under the same name."""
    intakes = [Intake(tmp_path / "landing") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for number in range(200):
            meet = threading.Barrier(2)

            def land(intake: Intake, uid: str = f"1.{number}", meet: Any = meet) -> bool:
                part = intake.part(
                    sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT
                )
                part.write(b"data")
                meet.wait()
                return intake.land("st-a", part)

            assert sorted(pool.map(land, intakes)) == [False, True]
    assert len(list((tmp_path / "landing" / "st-a").iterdir())) == 200
    assert not list((tmp_path / "landing" / ".incoming").iterdir())


# What is told.


def test_counters_are_told_to_prometheus(receiver: Receiver, free_port: Callable[[], int]) -> None:
    assert receiver.is_well()
    assert associate(receiver.port, (CT, EXPLICIT), called="X").is_rejected
    until(lambda: not receiver.tally.get("associations_open"))
    other, port = Tally(), free_port()
    other.add("instances", amount=4)
    gauges = {"studies_open": ("Studies.", lambda: len(receiver.inbox.studies()))}
    with telling(port, lambda: (receiver.tally, other), gauges):
        url = f"http://127.0.0.1:{port}/metrics"
        lines = urllib.request.urlopen(url, timeout=10).read().decode().splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    name = "hounsfield_receiver_"
    assert float(told[name + "instances_total"]) == 5
    assert float(told[name + "associations_total"]) == 1
    assert float(told[name + "associations_open"]) == 0
    assert float(told[name + 'refusals_total{reason="called_ae_title"}']) == 1
    assert float(told[name + "studies_open"]) == 1
    (path,) = receiver.landed()
    assert float(told[name + "bytes_total"]) == path.stat().st_size


def test_a_metrics_port_that_is_taken_is_told(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="metrics_port"), telling(receiver.port, tuple, {}):
        pass


# Peers.


@pytest.mark.server
def test_storescu_sends_a_study(
    receiver: Receiver, tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    _, paths = write_study(tmp_path / "study", slices=3, series=2)
    command = [need_program("storescu"), "-aec", "HOUNSFIELD", "127.0.0.1", str(receiver.port)]
    subprocess.run([*command, *map(str, paths)], check=True, timeout=60)
    landed = {dcmread(path).SOPInstanceUID: path for path in receiver.landed()}
    assert len(landed) == 6
    for path in paths:
        assert dataset_bytes(landed[dcmread(path).SOPInstanceUID]) == dataset_bytes(path)


# The folder.


def test_a_landing_folder_has_one_receiver(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="another receiver"):
        Inbox(receiver.inbox.root)


def test_a_folder_is_known_again_and_halves_are_removed(tmp_path: Path) -> None:
    with Inbox(tmp_path / "landing") as first:
        first.owe("st-a", "digest")
        (first.root / ".incoming" / ".1.part").write_bytes(b"half")
        (first.root / "st-a" / ".1.part").write_bytes(b"half")  # as earlier releases left them
    with Inbox(tmp_path / "landing") as second:
        assert second.id == first.id
        assert second.owed("st-a") == "digest"
        assert [path.name for path in (second.root / "st-a").iterdir()] == [".announce"]
        assert list((second.root / ".incoming").iterdir()) == []
        second.settle("st-a")
        assert second.studies() == []


def test_what_was_whole_but_not_at_its_study_yet_is_put_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a power cut, or a kill between the two."""
    names = {content: blake3(content).hexdigest() for content in (b"new", b"there")}
    root = tmp_path / "landing"
    Intake(root)
    (root / "st-b").mkdir()
    (root / "st-b" / f"{names[b'there']}.dcm").write_bytes(b"there")
    for study, content, digest in (
        ("st-a", b"new", names[b"new"]),
        ("st-b", b"there", names[b"there"]),
        ("st-a", b"torn", names[b"new"]),
        ("st-c", b"torn", names[b"there"]),
    ):
        name = f".{study}.{digest}.{len(content) * 'a'}{study}.whole"
        (root / ".incoming" / name).write_bytes(content)
    with Inbox(root) as inbox:
        assert not list((root / ".incoming").iterdir())
        assert inbox.studies() == ["st-a", "st-b"]
        assert [path.read_bytes() for path in inbox.landed("st-a")] == [b"new"]
        assert [path.read_bytes() for path in inbox.landed("st-b")] == [b"there"]
    assert caplog.text.count("cut short") == 2


def test_what_the_disk_gives_no_more_on_its_way_is_not_thrown_away(tmp_path: Path) -> None:
    """It may have been acknowledged: whoever admits its study sets it apart."""
    digest = blake3(b"x").hexdigest()
    Inbox(tmp_path).__exit__()
    (tmp_path / ".incoming" / f".st-a.{digest}.1.whole").symlink_to("/proc/self/mem")  # gives EIO
    with Inbox(tmp_path) as inbox:
        assert [path.name for path in inbox.landed("st-a")] == [f"{digest}.dcm"]
        assert not list((tmp_path / ".incoming").iterdir())


def test_what_a_process_of_ours_is_about_is_left_to_it(tmp_path: Path) -> None:
    with Inbox(tmp_path / "landing") as inbox:
        name = f".st-a.{blake3(b'x').hexdigest()}.1.whole"
        (inbox.root / ".incoming" / name).write_bytes(b"x")
        inbox.clear(60)
        assert inbox.studies() == []
        inbox.clear()
        assert inbox.studies() == ["st-a"]


def test_a_port_that_is_taken_is_told(receiver: Receiver) -> None:
    settings = settings_of(receiver.inbox.root, receiver.port)
    with (
        pytest.raises(ConfigError, match=f"port {receiver.port} .*another receiver"),
        listening(receiver.inbox, settings, study_key=str),
    ):
        pass


def test_an_address_that_is_not_ours_is_told(tmp_path: Path, free_port: Callable[[], int]) -> None:
    settings = settings_of(tmp_path, free_port()).but(bind="192.0.2.1")
    with (
        pytest.raises(ConfigError, match=r"cannot be had: .*is 192\.0\.2\.1 an address"),
        listening(Intake(tmp_path), settings, study_key=str),
    ):
        pass


def test_an_ae_title_that_is_none_is_told(tmp_path: Path, free_port: Callable[[], int]) -> None:
    settings = settings_of(tmp_path, free_port()).but(ae_title="A" * 17)
    with (
        pytest.raises(ConfigError, match="AE title"),
        listening(Intake(tmp_path), settings, study_key=str),
    ):
        pass
