"""pynetdicom's own ``qrscp`` application as a PACS for the demonstration and for tests.

What it can and cannot, as of pynetdicom 3.0.4:

- C-FIND knows the unique and required keys only: PatientID, PatientName, StudyInstanceUID,
  StudyDate, StudyTime, AccessionNumber, StudyID, SeriesInstanceUID, Modality, SeriesNumber,
  SOPInstanceUID, InstanceNumber. Others are left out of its answers; so there is neither
  ModalitiesInStudy nor NumberOfStudyRelatedInstances nor SOPClassUID, and we ask by series.
- It answers once per *instance* at every level: a study of 100 slices is listed 100 times.
- Ranges of dates and times are compared as text, and both work. A study without StudyDate is
  stored, and found by its UID, but never by a window.
- A list of UIDs in one key ends in an error (0xCxxx), for C-FIND, C-GET and C-MOVE alike.
- C-GET and C-MOVE work at study, series and image level. A C-MOVE destination must stand in
  the configuration; the called AE title is not checked.
- It takes every storage class that pynetdicom knows, Enhanced, SR, SEG and the Labelmap SEG,
  presentation states, encapsulated documents, and every transfer syntax. Private SOP classes
  are refused. It never converts compression; between Implicit and Explicit VR it does.
- It decodes and writes anew what it gets. Data sets come back byte for byte, except malformed
  ones (wrong VRs, an odd length), which it repairs.
- A file cut off in its pixel data, or even in its header, is stored without a word; its
  PixelData is then shorter than its rows and columns say. Only what pydicom cannot parse at
  all is refused (0xC210).
- **It acknowledges what it does not index.** An instance without PatientID, with two of them,
  or with a value that is too long (an AccessionNumber of 17 characters) is written to disk and
  answered with success, but can neither be found nor fetched. `send_folder` counts these as
  ``unlisted``. The same may happen when its database is locked by another association.
- The same instance again overwrites the first, also with other content.
- A path-like SOPInstanceUID is used as a path: it writes outside its folder. So it is for
  data that one trusts, on the loopback only.
"""

from __future__ import annotations

import configparser
import os
import socket
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
from hounsfield.pseudonyms import without_key

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
            The port is taken, it ends, or it does not answer within a minute.
        """
        self._check_port()
        config = write_qrscp_config(self.folder, self.port, self.ae_title, self.known_destinations)
        with (self.folder / "qrscp.log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                qrscp_command(config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**without_key(os.environ), "PYTHONWARNINGS": "ignore"},
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

    def _check_port(self) -> None:
        # Whoever listens there would answer the C-ECHO in its place.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                raise PacsUnavailable(
                    "the port is taken", where=f"port {self.port}", remedy="choose another"
                ) from None

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
