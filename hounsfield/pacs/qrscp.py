"""pynetdicom's own ``qrscp`` application as a PACS for the demonstration and for tests.

What it can and cannot, as of pynetdicom 3.0.4:

QRSCP_QUIRKS
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs.dimse import DimseClient
from hounsfield.pacs.peer import DimsePeer, Timeouts

__all__ = ["QrscpServer", "qrscp_command", "write_qrscp_config"]

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1


def write_qrscp_config(
    folder: Path,
    port: int,
    ae_title: str = "QRSCP",
    known_destinations: Mapping[str, tuple[str, int]] | None = None,
) -> Path:
    """Writes ``qrscp.ini`` into `folder`, beside which the instances and the index will lie.

    Parameters
    ----------
    known_destinations
        AE title → (host, port) of who may be the destination of a C-MOVE.
    """
    folder = folder.resolve()
    (folder / "instances").mkdir(parents=True, exist_ok=True)
    config = configparser.ConfigParser(interpolation=None)
    config["DEFAULT"] = {
        "ae_title": ae_title,
        "port": str(port),
        "max_pdu": "131072",
        "acse_timeout": "30",
        "dimse_timeout": "60",
        "network_timeout": "120",
        "bind_address": "127.0.0.1",
        "instance_location": str(folder / "instances"),
        "database_location": str(folder / "index.sqlite"),
        "log_identifier": "False",
    }
    for title, (host, destination_port) in (known_destinations or {}).items():
        config[title] = {"address": host, "port": str(destination_port)}
    path = folder / "qrscp.ini"
    with path.open("w", encoding="ascii") as file:
        config.write(file)
    return path


def qrscp_command(config: Path) -> list[str]:
    """The command line that runs qrscp with a configuration; it logs nothing."""
    return [sys.executable, "-m", "pynetdicom", "qrscp", "--quiet", "--config", str(config)]


@dataclass
class QrscpServer:
    """A running qrscp, as a context manager; what it stored outlives it.

    Examples
    --------
    >>> with QrscpServer(Path("pacs"), 11112) as server:
    ...     DimseClient(server.peer()).echo()
    """

    folder: Path
    port: int
    ae_title: str = "QRSCP"
    known_destinations: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def peer(self, **changes: object) -> DimsePeer:
        """How to reach it; `changes` as in `DimsePeer`."""
        settings = {"ae_title": self.ae_title, "host": "127.0.0.1", "port": self.port, **changes}
        return DimsePeer(**settings)  # type: ignore[arg-type]

    def start(self) -> None:
        """Returns once it answers a C-ECHO.

        Raises
        ------
        PacsUnavailable
            If it ends, or does not answer within a minute.
        """
        config = write_qrscp_config(self.folder, self.port, self.ae_title, self.known_destinations)
        with (self.folder / "qrscp.log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                qrscp_command(config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Ends it; returns when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_until_it_answers(self) -> None:
        client = DimseClient(self.peer(timeouts=Timeouts(connect=1.0)))
        deadline = time.monotonic() + _START_SECONDS
        while self._process is not None and self._process.poll() is None:
            try:
                return client.echo()
            except PacsUnavailable:
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
        self.stop()
        raise PacsUnavailable(
            "qrscp did not start", where=f"port {self.port}", remedy="see qrscp.log beside it"
        )
