"""What is pushed to us becomes a revision, and Airflow is told, whatever dies in between."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from sqlalchemy import select

from hounsfield.catalog.models import Product, QuarantineItem
from hounsfield.errors import ConfigError, NotFound, TransientError
from hounsfield.pacs.inbox import Inbox
from hounsfield.site import Site
from hounsfield.stages.announce import Airflow
from hounsfield.stages.receive import Receiver, admit_landed
from hounsfield.stages.revision import raw_manifest
from hounsfield.store.product import verify
from tests.pacs.studies import CANARY, write_study
from tests.stages.conftest import RUN, STUDY, encoded


@pytest.fixture
def inbox(site: Site, tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path / "landing") as made:
        yield made


@pytest.fixture
def key(site: Site) -> str:
    return site.pseudonyms.study_key(STUDY)


def land(inbox: Inbox, key: str, uid: str, content: str = "one") -> None:
    inbox.store(
        key,
        encoded(uid, content),
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def held(site: Site, key: str) -> dict[str, bytes]:
    """Content by SOPInstanceUID of the newest revision, checked."""
    zone, relative = site.locate(site.catalog.latest(key, "raw").uri)
    with zone.open(relative) as folder:
        verify(folder)
        manifest = raw_manifest(folder)
        assert manifest.completeness == "quiet"
        return {
            e.SOPInstanceUID: (folder / "instances" / e.path).read_bytes()
            for e in manifest.instances
        }


class Api(ThreadingHTTPServer):
    """As much of Airflow's REST API as a receiver meets."""

    def __init__(self, port: int = 0) -> None:
        self.events: list[Any] = []
        self.tokens: list[str] = ["made-by-hand"]
        super().__init__(("127.0.0.1", port), _Routes)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Routes(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        if self._known():
            assert self.path.startswith("/api/v2/assets?name_pattern=received")
            assets = [{"id": 3, "name": "received-not"}, {"id": 7, "name": "received"}]
            self._answer(200, {"assets": assets, "total_entries": 2})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            assert body == {"username": "receiver", "password": "made up"}
            self.server.tokens.append(f"token-{len(self.server.tokens)}")
            self._answer(201, {"access_token": self.server.tokens[-1]})
        elif self._known():
            assert self.path == "/api/v2/assets/events"
            self.server.events.append(body)
            self._answer(200, {"id": len(self.server.events)})

    def _known(self) -> bool:
        known = self.headers["Authorization"] == f"Bearer {self.server.tokens[-1]}"
        if not known:
            self._answer(401, {"detail": "Invalid JWT"})
        return known

    def _answer(self, status: int, body: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


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
    assert [event.state for event in site.catalog.timeline(key)] == ["done"]


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


def test_another_project_key_is_told(site: Site, inbox: Inbox) -> None:
    land(inbox, "st-other", "1.2.3.1")
    with pytest.raises(ConfigError, match="another project key"):
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


def test_airflow_that_was_down_is_told_later(
    site: Site, inbox: Inbox, key: str, free_port: Callable[[], int]
) -> None:
    port = free_port()
    airflow = Airflow(f"http://127.0.0.1:{port}", "made-by-hand")
    receiver = Receiver(site, inbox, "pacs", airflow, quiet_seconds=0, retry_seconds=0.01)
    land(inbox, key, "1.2.3.1")
    receiver.sweep()
    assert set(held(site, key)) == {"1.2.3.1"}
    assert inbox.owed(key)
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


class Daemon:
    """``hounsfield receive`` as a process."""

    def __init__(self, site: Site, port: int, log: Path, api: Api, quiet: float) -> None:
        self.port, self.log = port, log
        environ = {
            **os.environ,
            "HOUNSFIELD_HOME": str(site.settings.home),
            "HOUNSFIELD_AIRFLOW_URL": api.url,
            "HOUNSFIELD_AIRFLOW_TOKEN": "made-by-hand",
            "HOUNSFIELD_QUIET_SECONDS": str(quiet),
        }
        command = [sys.executable, "-m", "hounsfield.cli", "receive", "--port", str(port)]
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, env=environ, stderr=file)
        self.until(self.answers)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def until(self, done: Callable[[], object]) -> None:
        end = time.monotonic() + 90
        while not done():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@pytest.mark.server
def test_the_daemon_is_killed_in_the_middle_and_loses_nothing(
    site: Site,
    tmp_path: Path,
    api: Api,
    free_port: Callable[[], int],
    need_program: Callable[[str], str],
) -> None:
    storescu, port, log = need_program("storescu"), free_port(), tmp_path / "log"
    uid, paths = write_study(tmp_path / "study", slices=4, series=2)
    key = site.pseudonyms.study_key(uid)
    landing = site.settings.home / "landing" / key
    command = [storescu, "-aec", "HOUNSFIELD", "127.0.0.1", str(port)]

    first = Daemon(site, port, log, api, quiet=600)
    try:
        subprocess.run([*command, *map(str, paths[:5])], check=True, timeout=60)
        # The killed one has an association open, over which it acknowledged an instance.
        association = AE("MODALITY").associate(
            "127.0.0.1",
            port,
            contexts=[_context()],
            ae_title="HOUNSFIELD",
        )
        assert association.send_c_store(paths[5]).Status == 0
    finally:
        first.stop(signal.SIGKILL)
    association.abort()
    assert len(list(landing.glob("*.dcm"))) == 6, "what was acknowledged is on the disk"

    second = Daemon(site, port, log, api, quiet=1)
    try:
        subprocess.run([*command, *map(str, paths)], check=True, timeout=60)
        second.until(lambda: site.catalog.all(select(Product)) and not landing.exists())
        assert len(held(site, key)) == 8
    finally:
        assert second.stop(signal.SIGTERM) == 0
    assert {event["partition_key"] for event in api.events} == {key}
    text = log.read_text()
    assert key in text
    assert CANARY not in text
    assert uid not in text


def _context() -> Any:
    from pynetdicom import build_context

    return build_context(CTImageStorage, [ExplicitVRLittleEndian])
