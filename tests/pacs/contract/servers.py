"""Real PACS on loopback, each with one way to be started, stopped and reached."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs import DimseClient, DimsePeer, MoveDestination, Timeouts
from hounsfield.pacs.qrscp import QrscpServer

MOVE_TITLE = "HFMOVE"
TIMEOUTS = Timeouts(connect=2, associate=10, message=20, idle=30)


def free_port() -> int:
    """The fixture of that name lives for one test: a server lives for a class."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class RunningPacs:
    """A server that a contract is tried on."""

    ae_title: str
    port: int
    move_port: int

    def peer(self, **changes: Any) -> DimsePeer:
        settings: dict[str, Any] = {
            "ae_title": self.ae_title,
            "host": "127.0.0.1",
            "port": self.port,
            "timeouts": TIMEOUTS,
            "get": "c-get",
            "move": MoveDestination(MOVE_TITLE, self.move_port),
        }
        return DimsePeer(**{**settings, **changes})

    def client(self, **changes: Any) -> DimseClient:
        return DimseClient(self.peer(**changes))


@contextmanager
def qrscp(folder: Path) -> Iterator[RunningPacs]:
    running = RunningPacs("QRSCP", free_port(), free_port())
    known = {MOVE_TITLE: ("127.0.0.1", running.move_port)}
    with QrscpServer(folder, running.port, known_destinations=known):
        yield running


@contextmanager
def orthanc(folder: Path, program: str) -> Iterator[RunningPacs]:
    running = RunningPacs("ORTHANC", free_port(), free_port())
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpServerEnabled": False,
        "Plugins": [],
        "DicomAet": running.ae_title,
        "DicomPort": running.port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"move": [MOVE_TITLE, "127.0.0.1", running.move_port]},
        "StorageCompression": False,
        "ConcurrentJobs": 1,
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings))
    with _process([program, str(config)], folder, running):
        yield running


@contextmanager
def dcmqrscp(folder: Path, program: str) -> Iterator[RunningPacs]:
    running = RunningPacs("DCMQRSCP", free_port(), free_port())
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
def _process(command: list[str], folder: Path, running: RunningPacs) -> Iterator[None]:
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
            _wait(process, running, folder)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
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
