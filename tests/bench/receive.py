"""How fast instances are received, against DCMTK's storescp and Orthanc.

All are sent the same CT slices by DCMTK's storescu over the loopback, in interleaved rounds, by
1 and by 4 associations at once, new ones in each round, and keep them (what is deleted makes a
disk slow to give room anew: a gigabyte a round is wanted). What is printed are medians of
ratios within a round. Nagle's
algorithm is off everywhere (``TCP_NODELAY=1``): with it on, DCMTK and Orthanc look slow.

What is on the disk when success is answered differs, and is part of the comparison:

- Hounsfield: the file and its name, hashed with BLAKE3 (see `hounsfield.pacs.inbox`);
- Orthanc: the file (its option SyncStorageArea, on by default), its index as SQLite has it;
- storescp: nothing, for it calls no fsync.

With ``--folder /dev/shm`` fsync costs nothing, and what is left is the network and the work.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import generate_uid

from hounsfield.settings import Settings
from hounsfield.site import Site
from tests.pacs.studies import ct_instance
from tests.ports import free_port

ENVIRON = {**os.environ, "TCP_NODELAY": "1"}
STORESCU, STORESCP = "/usr/bin/storescu", "/usr/bin/storescp"
ASSOCIATIONS = (1, 4)
TRIES = 3


@dataclass(frozen=True)
class Server:
    """One that receives."""

    name: str
    port: int


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch, ExitStack() as stack:
        root = Path(scratch)
        servers = [
            stack.enter_context(hounsfield(root / "one", processes=1)),
            stack.enter_context(hounsfield(root / "two", processes=2)),
            stack.enter_context(orthanc(root / "orthanc")),
            stack.enter_context(storescp(root / "storescp")),
        ]
        slices = Slices(root / "sent", options.instances)
        report(measure(servers, slices, options.rounds), options.instances)


class Slices:
    """CT slices to send: new ones each time, for a server keeps what it has."""

    def __init__(self, root: Path, instances: int) -> None:
        self._root, self._instances, self._count = root, instances, 0
        dataset = ct_instance(generate_uid(), generate_uid(), 1)
        dataset.Rows = dataset.Columns = 512
        noise = np.random.default_rng(0).integers(0, 2000, (512, 512), np.uint16)
        dataset.PixelData = noise.tobytes()
        self._study, self._uid = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
        root.mkdir()
        dataset.save_as(root / "template", enforce_file_format=True)
        self._content = (root / "template").read_bytes()

    def write(self, parts: int) -> list[Path]:
        """As many folders as `parts`, with all the slices of one study between them."""
        self._count += 1
        folder = self._root / f"{self._count:03}"
        study = f"{self._study[:-3]}{self._count:03}".encode()
        content = self._content.replace(self._study.encode(), study)
        for number in range(self._instances):
            target = folder / str(number % parts) / f"{number:05}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            uid = f"{self._uid[:-8]}{self._count:03}{number:05}"
            target.write_bytes(content.replace(self._uid.encode(), uid.encode()))
        return sorted(folder.iterdir())


def measure(
    servers: list[Server], slices: Slices, rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Seconds of each round, by server and number of associations."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds + 1):
        for count in ASSOCIATIONS:
            folders = slices.write(count)
            for place in range(len(servers)):
                server = servers[(place + number) % len(servers)]
                taken = send_whole(server, folders, slices)
                if number:  # The first round warms up.
                    seconds.setdefault((server.name, count), []).append(taken)
    return seconds


def send_whole(server: Server, folders: list[Path], slices: Slices) -> float:
    """Seconds; a failure is told, and measured anew (Orthanc's storage now and then trips)."""
    for _ in range(TRIES):
        taken = send(server, folders)
        if taken is not None:
            return taken
        print(f"{server.name} refused an instance: others are sent.", file=sys.stderr)
        folders = slices.write(len(folders))
    raise RuntimeError(f"storescu could not send to {server.name}")


def send(server: Server, folders: list[Path]) -> float | None:
    """Seconds that it takes to send each folder over an association of its own, all at once.

    None where an instance was refused.
    """
    command = [STORESCU, "-aec", "HOUNSFIELD", "+sd", "127.0.0.1", str(server.port)]
    os.sync()  # What another server left to the disk is not to be waited for here.
    start = time.perf_counter()
    senders = [subprocess.Popen([*command, str(folder)], env=ENVIRON) for folder in folders]
    statuses = [sender.wait() for sender in senders]
    return None if any(statuses) else time.perf_counter() - start


def report(seconds: dict[tuple[str, int], list[float]], instances: int) -> None:
    names = list(dict.fromkeys(name for name, _ in seconds))
    for count in ASSOCIATIONS:
        print(f"\n{instances} CT slices of 0.5 MB over {count} association{'s'[: count - 1]}:")
        for name in names:
            speeds = [instances / taken for taken in seconds[name, count]]
            to = {
                other: statistics.median(
                    theirs / ours
                    for ours, theirs in zip(
                        seconds[name, count], seconds[other, count], strict=True
                    )
                )
                for other in ("Orthanc", "storescp")
            }
            print(
                f"  {name:26} {statistics.median(speeds):6.0f} instances/s   "
                f"{to['Orthanc']:5.2f} of Orthanc   {to['storescp']:5.2f} of storescp"
            )


@contextmanager
def hounsfield(folder: Path, *, processes: int) -> Iterator[Server]:
    """The command as it is, admitting nothing: studies are never quiet for long enough."""
    environ = {**ENVIRON, "HOUNSFIELD_HOME": str(folder), "HOUNSFIELD_RECEIVER_METRICS_PORT": "0"}
    Site(Settings.load({"HOUNSFIELD_HOME": str(folder)})).set_up()
    port = free_port()
    command = [sys.executable, "-m", "hounsfield.cli", "receive", "--port", str(port)]
    command += ["--processes", str(processes), "--quiet-seconds", "86400"]

    with running(command, environ, port):
        plural = "es" if processes > 1 else ""
        yield Server(f"Hounsfield, {processes} process{plural}", port)


@contextmanager
def storescp(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    command = [STORESCP, "--fork", "+B", "-pdu", "131072", "-od", str(folder), str(port)]

    with running(command, ENVIRON, port):
        yield Server("storescp", port)


@contextmanager
def orthanc(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "Plugins": [],
        "DicomAet": "HOUNSFIELD",
        "DicomPort": port,
        "HttpPort": free_port(),
        "RemoteAccessAllowed": False,
        "DicomAlwaysAllowStore": True,
        "MaximumPduLength": 131072,
        "SyncStorageArea": True,
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings))
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin") or "Orthanc"

    with running([program, str(config)], ENVIRON, port):
        yield Server("Orthanc", port)


@contextmanager
def running(command: list[str], environ: dict[str, str], port: int) -> Iterator[None]:
    """Until the block ends; it begins when something listens on the port."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environ, stdout=said, stderr=said)
        try:
            while not is_open(port):
                if process.poll() is not None:
                    said.seek(0)
                    raise RuntimeError(said.read().decode(errors="replace")[-2000:])
                time.sleep(0.1)
            yield
        except BaseException:
            said.seek(0)
            print(command[0], said.read().decode(errors="replace")[-2000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(120)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


if __name__ == "__main__":
    main()
