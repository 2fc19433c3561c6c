"""The receiver's process: killed, filled up, pushed to from all sides, it loses nothing."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from blake3 import blake3
from pydicom import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from sqlalchemy import select

from hounsfield.catalog.models import Product, QuarantineItem
from hounsfield.pacs.place import identity_of
from hounsfield.site import Site
from tests.pacs.receiving import CT, EXPLICIT, associate, encoded, send
from tests.pacs.studies import CANARY, dataset_bytes, write_many, write_study
from tests.stages.daemon import Api, Daemon, held

pytestmark = pytest.mark.server

Start = Callable[..., Daemon]


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    yield server
    server.stop()


@pytest.fixture
def start(site: Site, tmp_path: Path, api: Api, free_port: Callable[[], int]) -> Iterator[Start]:
    """Starts a receiver that tells `api`; it is stopped at the end, if nobody did."""
    started = []

    def begin(*options: str) -> Daemon:
        told = {"HOUNSFIELD_AIRFLOW_URL": api.url, "HOUNSFIELD_AIRFLOW_TOKEN": "made-by-hand"}
        started.append(Daemon(site, tmp_path, free_port, *options, **told))
        return started[-1]

    yield begin
    for daemon in started:
        daemon.stop(signal.SIGKILL)


@pytest.fixture
def landing(site: Site) -> Path:
    return site.settings.home / "landing"


@pytest.fixture
def storescu(need_program: Callable[[str], str]) -> str:
    return need_program("storescu")


def pushing(storescu: str, port: int, paths: list[Path]) -> subprocess.Popen[str]:
    command = [storescu, "-v", "-aec", "HOUNSFIELD", "127.0.0.1", str(port), *map(str, paths)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def push(storescu: str, port: int, paths: list[Path], associations: int = 1) -> None:
    senders = [pushing(storescu, port, paths[n::associations]) for n in range(associations)]
    for sender in senders:
        said, _ = sender.communicate(timeout=120)
        assert sender.returncode == 0, said


def acknowledged(said: str) -> set[Path]:
    """The files that a sender was told of success for."""
    files = said.split("I: Sending file: ")[1:]
    return {Path(part.splitlines()[0]) for part in files if "Store Response (Success)" in part}


def landed_in(landing: Path) -> dict[str, Path]:
    """What landed, by SOPInstanceUID; each file is whole."""
    found = {}
    for path in landing.glob("*/*.dcm"):
        assert blake3(path.read_bytes()).hexdigest() == path.stem, "a half file"
        found[identity_of(path)[0]] = path
    return found


@pytest.mark.parametrize("processes", ["1", "2"])
def test_killed_while_500_instances_come_over_4_associations(
    start: Start, site: Site, landing: Path, tmp_path: Path, storescu: str, processes: str
) -> None:
    uid, uids = write_many(tmp_path / "study", 500)
    paths = list(uids)
    key = site.pseudonyms.study_key(uid)
    first = start("--processes", processes, "--quiet-seconds", "600")
    workers = psutil.Process(first.process.pid).children(recursive=True)
    senders = [pushing(storescu, first.port, paths[n::4]) for n in range(4)]
    first.until(lambda: len(list(landing.glob("*/*.dcm"))) > 150)
    first.stop(signal.SIGKILL)
    psutil.wait_procs(workers, timeout=30)
    sure = set[Path]().union(
        *(acknowledged(sender.communicate(timeout=60)[0]) for sender in senders)
    )
    assert 100 < len(sure) < 500
    assert {uids[path] for path in sure} <= landed_in(landing).keys(), (
        "what was acknowledged is there"
    )

    second = start("--processes", processes, "--quiet-seconds", "3")
    push(storescu, second.port, paths, associations=4)
    second.until(lambda: not list(landing.glob("*/*.dcm")) and len(held(site, key)) == 500)
    assert second.stop(signal.SIGTERM) == 0
    assert list((landing / ".incoming").iterdir()) == []
    sent = {uid: dataset_bytes(path) for path, uid in uids.items()}
    for uid, content in held(site, key).items():
        assert content.endswith(sent.pop(uid))
    assert sent == {}, "all 500 once"
    assert site.catalog.all(select(QuarantineItem)) == []


def test_a_killed_receiver_goes_on_where_it_was_and_names_nobody(
    start: Start, site: Site, landing: Path, tmp_path: Path, api: Api, storescu: str
) -> None:
    uid, paths = write_study(tmp_path / "study", slices=4, series=2)
    key = site.pseudonyms.study_key(uid)
    first = start("--quiet-seconds", "600")
    push(storescu, first.port, paths[:5])
    # The killed one has an association open, over which it acknowledged an instance.
    association = associate(first.port, (CT, EXPLICIT))
    assert association.send_c_store(paths[5]).Status == 0
    first.stop(signal.SIGKILL)
    association.abort()
    assert len(landed_in(landing)) == 6, "what was acknowledged is on the disk"

    second = start("--quiet-seconds", "1")
    push(storescu, second.port, paths)
    second.until(lambda: site.catalog.all(select(Product)) and not (landing / key).exists())
    assert len(held(site, key)) == 8
    assert second.stop(signal.SIGTERM) == 0
    assert {event["partition_key"] for event in api.events} == {key}
    text = second.log.read_text()
    assert key in text
    assert CANARY not in text
    assert uid not in text


def test_a_sender_that_is_killed_and_comes_again(
    start: Start, site: Site, landing: Path, tmp_path: Path, storescu: str
) -> None:
    uid, uids = write_many(tmp_path / "study", 200)
    paths = list(uids)
    daemon = start("--quiet-seconds", "2")
    sender = pushing(storescu, daemon.port, paths)
    daemon.until(lambda: len(list(landing.glob("*/*.dcm"))) > 20)
    sender.kill()
    sender.communicate(timeout=30)
    daemon.until(lambda: list((landing / ".incoming").iterdir()) == [])
    assert landed_in(landing)
    push(storescu, daemon.port, paths)
    key = site.pseudonyms.study_key(uid)
    daemon.until(lambda: not list(landing.glob("*/*.dcm")))
    assert len(held(site, key)) == 200


def test_two_pushes_of_one_study_at_once(
    start: Start, site: Site, landing: Path, tmp_path: Path, storescu: str, api: Api
) -> None:
    uid, paths = write_study(tmp_path / "study", slices=30)
    daemon = start("--quiet-seconds", "2", "--processes", "2")
    senders = [pushing(storescu, daemon.port, paths) for _ in range(2)]
    for sender in senders:
        said, _ = sender.communicate(timeout=120)
        assert len(acknowledged(said)) == 30
    daemon.until(lambda: not list(landing.glob("*/*.dcm")) and api.events)
    key = site.pseudonyms.study_key(uid)
    assert len(held(site, key)) == 30
    counts = daemon.counts()
    assert (counts["instances_total"], counts["duplicates_total"]) == (60, 30)
    assert counts["collisions_total"] == 0
    assert counts["studies_open"] == 0


def test_a_study_that_nobody_is_told_of_is_owed_and_not_open(
    site: Site, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Without Airflow, and however long that is so."""
    daemon = Daemon(site, tmp_path, free_port, "--quiet-seconds", "600")
    try:
        association = associate(daemon.port, (CT, EXPLICIT))
        assert send(association, encoded()) == 0
        association.release()
        counts = daemon.counts()
        assert (counts["studies_open"], counts["studies_owed"]) == (1, 0)
        assert daemon.stop(signal.SIGTERM) == 0
        daemon = Daemon(site, tmp_path, free_port, "--quiet-seconds", "0.1")
        daemon.until(lambda: daemon.counts()["studies_open"] == 0)
        assert daemon.counts()["studies_owed"] == 1
    finally:
        daemon.stop(signal.SIGKILL)


def test_a_landing_folder_that_goes_away_ends_it_for_a_supervisor(
    start: Start, landing: Path
) -> None:
    daemon = start()
    landing.rename(landing.with_name("elsewhere"))
    assert daemon.process.wait(timeout=60) == 1
    (said,) = daemon.log.read_text().splitlines()[-1:]
    assert "the landing folder cannot be read: No such file or directory (is its disk" in said


def test_a_collision_is_kept_and_counted(
    start: Start, site: Site, tmp_path: Path, landing: Path
) -> None:
    daemon = start("--quiet-seconds", "1")
    association = associate(daemon.port, (CT, EXPLICIT))
    for comment in ("one", "two"):
        body = encoded(ImageComments=comment)
        assert send(association, body) == 0, "acknowledged, for it is kept"
    association.release()
    daemon.until(lambda: site.catalog.all(select(QuarantineItem)))
    (item,) = site.catalog.all(select(QuarantineItem))
    assert item.code == "content-collision"
    daemon.until(lambda: daemon.counts()["collisions_total"] == 1)
    assert "one SOPInstanceUID came with two contents" in daemon.log.read_text()


def test_commitment_before_and_after_a_study_is_taken(
    start: Start, landing: Path, tmp_path: Path
) -> None:
    daemon = start("--quiet-seconds", "3", "--processes", "2")
    reports: list[tuple[int, Dataset]] = []

    def take(event: evt.Event) -> tuple[int, None]:
        reports.append((event.request.EventTypeID, event.event_information))
        return 0, None

    association = associate(
        daemon.port,
        (StorageCommitmentPushModel, EXPLICIT),
        (CT, EXPLICIT),
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)],
    )
    assert send(association, encoded()) == 0
    for number, is_taken in enumerate((False, True)):
        if is_taken:
            daemon.until(lambda: not list(landing.glob("*/*.dcm")))
        status, _ = association.send_n_action(
            _commitment(f"1.9.{number}", "1.2.3", "1.2.4"),
            1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        assert status.Status == 0
        daemon.until(lambda: len(reports) == number + 1)  # noqa: B023
        event_type, information = reports[-1]
        assert event_type == 2
        (committed,) = information.ReferencedSOPSequence
        (failed,) = information.FailedSOPSequence
        assert committed.ReferencedSOPInstanceUID == "1.2.3"
        assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.4", 0x0112)
    association.release()


def test_processes_behind_one_port(start: Start, tmp_path: Path) -> None:
    daemon = start("--processes", "2")
    # With SO_REUSEPORT the kernel would let another in, and share connections out to it.
    done = subprocess.run(
        [*daemon.command, "--processes", "2", "--landing", str(tmp_path / "other")],
        env=daemon.environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert f"port {daemon.port} cannot be had" in done.stderr

    workers = workers_of(daemon)
    assert len(workers) == 2
    for worker in workers:
        worker.kill()
    daemon.until(lambda: daemon.log.read_text().count("is started anew") == 2)
    daemon.until(daemon.answers)
    association = associate(daemon.port, (CT, EXPLICIT))
    assert send(association, encoded()) == 0
    association.release()
    workers = workers_of(daemon)
    assert daemon.stop(signal.SIGTERM) == 0
    psutil.wait_procs(workers, timeout=30)
    assert not any(worker.is_running() for worker in workers)


def workers_of(daemon: Daemon) -> list[psutil.Process]:
    """Those who take instances: children of the process that they are forked from."""
    helpers = psutil.Process(daemon.process.pid).children()
    return [worker for helper in helpers for worker in helper.children()]


def _commitment(transaction: str, *uids: str) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
        information.ReferencedSOPSequence.append(item)
    return information
