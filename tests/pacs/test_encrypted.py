"""TLS with real servers: Orthanc by DIMSE, and by DICOMweb behind a proxy; DCMTK's storescp."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from hounsfield.errors import ConfigError, PacsUnavailable
from hounsfield.pacs import DimseClient, DimsePeer, PacsClient, Tls
from tests.pacs.certificates import Authority
from tests.pacs.contract import servers
from tests.pacs.contract.servers import TIMEOUTS, RunningOrthanc, RunningWeb
from tests.pacs.proxy import CuttingProxy
from tests.pacs.studies import dataset_bytes, write_study

pytestmark = pytest.mark.server


def mutual(folder: Path, address: str = "127.0.0.1") -> Tls:
    """For either side: trusts a new authority, and shows a certificate that it signed."""
    folder.mkdir(exist_ok=True)
    authority = Authority(folder, address=address)
    signed = authority.sign("own")
    return Tls(ca=authority.file, certificate=signed.certificate, key=signed.key)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return mutual(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def orthanc(
    secured: Tls,
    tmp_path_factory: pytest.TempPathFactory,
    need_program: Callable[[str], str],
) -> Iterator[RunningOrthanc]:
    """Speaks TLS only, and wants to see a certificate."""
    program = need_program("Orthanc")
    with servers.orthanc(tmp_path_factory.mktemp("orthanc"), program, secured) as running:
        yield running


@pytest.fixture(scope="module")
def web(orthanc: RunningOrthanc, secured: Tls) -> Iterator[RunningWeb]:
    """Orthanc behind a proxy that speaks TLS, and wants to see a certificate."""
    with CuttingProxy(orthanc.web.port, tls=secured.server()) as proxy:
        yield RunningWeb(proxy.port, secured)


@pytest.fixture(params=["c-get", "c-move", "web"])
def client(request: pytest.FixtureRequest, orthanc: RunningOrthanc, web: RunningWeb) -> PacsClient:
    if request.param == "web":
        return web.client()
    return orthanc.dimse.client(get=request.param)


def test_store_find_and_fetch(client: PacsClient, tmp_path: Path) -> None:
    """C-MOVE comes to a server of ours that speaks TLS too."""
    uid, files = write_study(tmp_path / "in", 2)
    assert all(outcome.is_stored for outcome in client.store(files))
    assert client.count_instances(uid) == 2
    report = client.fetch_study(uid, tmp_path / "out")
    came = sorted(dataset_bytes(tmp_path / "out" / entry.path) for entry in report.entries)
    assert came == sorted(dataset_bytes(path) for path in files)


def test_a_report_on_a_commitment_comes_encrypted(orthanc: RunningOrthanc, tmp_path: Path) -> None:
    _, (path,) = write_study(tmp_path, 1)
    client = orthanc.dimse.client()
    client.store([path])
    dataset = dcmread(path)
    commitment = client.commit([(dataset.SOPClassUID, dataset.SOPInstanceUID)])
    assert commitment.committed == {dataset.SOPInstanceUID}


@pytest.fixture
def other(tmp_path: Path) -> Tls:
    return mutual(tmp_path / "other")


def test_a_server_that_we_do_not_trust(
    orthanc: RunningOrthanc, web: RunningWeb, other: Tls, tmp_path: Path
) -> None:
    tls = replace(orthanc.dimse.tls, ca=other.ca)
    with pytest.raises(PacsUnavailable, match="certificate"):
        orthanc.dimse.client(tls=tls).echo()
    _, files = write_study(tmp_path, 1)
    client = web.client(tls=tls)
    for ask in (client.echo, lambda: client.store(files)):
        with pytest.raises(ConfigError, match="certificate"):
            ask()


@pytest.mark.parametrize("shows", ["nothing", "one of another authority"])
def test_a_server_that_does_not_trust_us(
    orthanc: RunningOrthanc, web: RunningWeb, other: Tls, shows: str
) -> None:
    own = Tls() if shows == "nothing" else other
    tls = replace(own, ca=orthanc.dimse.tls.ca)
    for client in (orthanc.dimse.client(tls=tls), web.client(tls=tls)):
        with pytest.raises(PacsUnavailable):
            client.echo()


def test_one_side_without_tls(orthanc: RunningOrthanc, web: RunningWeb) -> None:
    with pytest.raises(PacsUnavailable):
        orthanc.dimse.client(tls=None, timeouts=replace(TIMEOUTS, associate=1)).echo()
    plain = web.client().peer.url.replace("https:", "http:")
    with pytest.raises((PacsUnavailable, ConfigError)):
        web.client(url=plain).echo()


def test_the_name_in_the_certificate(tmp_path: Path, need_program: Callable[[str], str]) -> None:
    """Of another host: refused, unless names are not to be looked at."""
    elsewhere = mutual(tmp_path / "elsewhere", address="192.0.2.1")
    with _storescp(need_program("storescp"), elsewhere, tmp_path) as peer:
        with pytest.raises(PacsUnavailable):
            DimseClient(peer).echo()
        assert peer.tls is not None
        DimseClient(replace(peer, tls=replace(peer.tls, check_host=False))).echo()


def test_storescp_takes_what_we_send(
    secured: Tls, tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    _, files = write_study(tmp_path / "in", 2)
    with _storescp(need_program("storescp"), secured, tmp_path) as peer:
        outcomes = DimseClient(peer).store(files)
    assert [outcome.verdict for outcome in outcomes] == ["stored", "stored"]
    assert len(list((tmp_path / "received").iterdir())) == 2


@contextmanager
def _storescp(program: str, secured: Tls, folder: Path) -> Iterator[DimsePeer]:
    received = folder / "received"
    received.mkdir()
    peer = DimsePeer("STORESCP", "127.0.0.1", servers.free_port(), timeouts=TIMEOUTS, tls=secured)
    command = [program, "+tls", str(secured.key), str(secured.certificate)]
    command += ["+cf", str(secured.ca), "-od", str(received), str(peer.port)]
    process = subprocess.Popen(command, env={**os.environ, "TCP_NODELAY": "1"})
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", peer.port)):
                break
            assert process.poll() is None
            time.sleep(0.05)
        yield peer
    finally:
        process.terminate()
        process.wait()
