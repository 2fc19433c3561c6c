"""Real PACS on loopback, each with one way to be started, stopped and reached."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs import (
    DimseClient,
    DimsePeer,
    MoveDestination,
    PacsClient,
    Timeouts,
    Tls,
    WebClient,
    WebPeer,
    WebTimeouts,
)
from hounsfield.pacs.qrscp import QrscpServer
from tests.ports import free_port

MOVE_TITLE = "HFMOVE"
TIMEOUTS = Timeouts(connect=2, associate=10, message=20, idle=30)
RESULT_CAP = 5  # studies that Orthanc lists at once
DICOMWEB_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


class RunningPacs(Protocol):
    """A server that a contract is tried on, in whatever protocol."""

    @property
    def port(self) -> int: ...

    def client(
        self, *, port: int | None = None, patience: float | None = None, **changes: Any
    ) -> PacsClient:
        """A client of it.

        Parameters
        ----------
        port
            Another one, such as a proxy's.
        patience
            Seconds for every time-out.
        changes
            Other settings of the peer.
        """


@dataclass(frozen=True)
class RunningDimse:
    """Reached by DIMSE."""

    ae_title: str
    port: int
    move_port: int
    tls: Tls | None = None

    def peer(self, **changes: Any) -> DimsePeer:
        settings: dict[str, Any] = {
            "ae_title": self.ae_title,
            "host": "127.0.0.1",
            "port": self.port,
            "timeouts": TIMEOUTS,
            "get": "c-get",
            "move": MoveDestination(MOVE_TITLE, self.move_port),
            "tls": self.tls,
        }
        return DimsePeer(**{**settings, **changes})

    def client(
        self, *, port: int | None = None, patience: float | None = None, **changes: Any
    ) -> DimseClient:
        if patience is not None:
            changes["timeouts"] = Timeouts(*(patience,) * 5)
        return DimseClient(self.peer(port=port or self.port, **changes))


@dataclass(frozen=True)
class RunningWeb:
    """Reached by DICOMweb."""

    port: int
    tls: Tls | None = None

    def client(
        self, *, port: int | None = None, patience: float | None = None, **changes: Any
    ) -> WebClient:
        settings: dict[str, Any] = {
            "url": f"http{'s' if self.tls else ''}://127.0.0.1:{port or self.port}/dicom-web",
            "timeouts": WebTimeouts(2, 20) if patience is None else WebTimeouts(*(patience,) * 2),
            "tls": self.tls,
        }
        return WebClient(WebPeer(**{**settings, **changes}))


@dataclass(frozen=True)
class RunningOrthanc:
    """One Orthanc in two protocols."""

    dimse: RunningDimse
    web: RunningWeb


@contextmanager
def qrscp(folder: Path) -> Iterator[RunningDimse]:
    running = RunningDimse("QRSCP", free_port(), free_port())
    known = {MOVE_TITLE: ("127.0.0.1", running.move_port)}
    with QrscpServer(folder, running.port, known_destinations=known):
        yield running


@contextmanager
def orthanc(folder: Path, program: str, tls: Tls | None = None) -> Iterator[RunningOrthanc]:
    """Orthanc; with `tls`, it speaks TLS and wants to see our certificate.

    By DIMSE only: Debian's build of 1.10 dies at the first request by HTTPS. Its web server
    needs a proxy before it, as it has in most hospitals.
    """
    dimse = RunningDimse("ORTHANC", free_port(), free_port(), tls)
    web = RunningWeb(free_port())
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpServerEnabled": True,
        "HttpPort": web.port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [DICOMWEB_PLUGIN],
        "DicomAet": dimse.ae_title,
        "DicomPort": dimse.port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {
            "us": {
                "AET": MOVE_TITLE,
                "Host": "127.0.0.1",
                "Port": dimse.move_port,
                "AllowStorageCommitment": True,
                "UseDicomTls": tls is not None,
            }
        },
        "LimitFindResults": RESULT_CAP,
        "StorageCompression": False,
        "ConcurrentJobs": 1,
        **(_orthanc_tls(tls) if tls else {}),
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings))
    with _process([program, str(config)], folder, dimse, web):
        yield RunningOrthanc(dimse, web)


def _orthanc_tls(tls: Tls) -> dict[str, Any]:
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(tls.certificate),
        "DicomTlsPrivateKey": str(tls.key),
        "DicomTlsTrustedCertificates": str(tls.ca),
        "DicomTlsRemoteCertificateRequired": True,
    }


@contextmanager
def dcmqrscp(folder: Path, program: str) -> Iterator[RunningDimse]:
    running = RunningDimse("DCMQRSCP", free_port(), free_port())
    (folder / "db").mkdir()
    config = folder / "dcmqrscp.cfg"
    config.write_text(
        f"""
NetworkTCPPort  = {running.port}
MaxPDUSize      = 131072
MaxAssociations = 16
HostTable BEGIN
us = ({MOVE_TITLE}, 127.0.0.1, {running.move_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
{running.ae_title} {folder / "db"} RW (500, 1024mb) ANY
AETable END
"""
    )
    command = [program, "--config", str(config), "--disable-host-lookup", "+xv"]
    with _process(command, folder, running):
        yield running


@contextmanager
def _process(command: list[str], folder: Path, *running: RunningPacs) -> Iterator[None]:
    """Runs a server until the block ends; the block starts when the server answers."""
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Nagle's algorithm makes DCMTK and Orthanc thirty times slower on loopback.
            env={**os.environ, "TCP_NODELAY": "1"},
        )
        try:
            for each in running:
                _wait(process, each, folder)
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], running: RunningPacs, folder: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            return running.client().echo()
        except PacsUnavailable:
            time.sleep(0.1)
    raise RuntimeError((folder / "server.log").read_text(errors="replace")[-2000:])
