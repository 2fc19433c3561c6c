"""How fast instances are received, against DCMTK's storescp and Orthanc.

All are sent the same CT slices by DCMTK's storescu over the loopback, in interleaved rounds, by
1 and by 4 associations at once; what is printed are medians of ratios within a round. Nagle's
algorithm is off everywhere (``TCP_NODELAY=1``): with it on, DCMTK and Orthanc look slow.

What is on the disk when success is answered differs, and is part of the comparison:

- Hounsfield: the file and its folder entry (two fsyncs an instance), hashed with SHA-256;
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import generate_uid

from hounsfield.settings import Settings
from hounsfield.site import Site
from tests.pacs.studies import ct_instance

ENVIRON = {**os.environ, "TCP_NODELAY": "1"}
STORESCU, STORESCP = "/usr/bin/storescu", "/usr/bin/storescp"
ASSOCIATIONS = (1, 4)
TRIES = 3


@dataclass(frozen=True)
class Server:
    """One that receives.

    Attributes
    ----------
    empty
        Makes it forget what it received, so that each round stores anew.
    """

    name: str
    port: int
    empty: Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch, ExitStack() as stack:
        root = Path(scratch)
        folders = {n: write_slices(root / f"sent{n}", options.instances, n) for n in ASSOCIATIONS}
        servers = [
            stack.enter_context(hounsfield(root / "one", processes=1)),
            stack.enter_context(hounsfield(root / "two", processes=2)),
            stack.enter_context(orthanc(root / "orthanc")),
            stack.enter_context(storescp(root / "storescp")),
        ]
        report(measure(servers, folders, options.rounds), options.instances)


def measure(
    servers: list[Server], folders: dict[int, list[Path]], rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Seconds of each round, by server and number of associations."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds + 1):
        for count in ASSOCIATIONS:
            for place in range(len(servers)):
                server = servers[(place + number) % len(servers)]
                taken = send_whole(server, folders[count])
                if number:  # The first round warms up.
                    seconds.setdefault((server.name, count), []).append(taken)
    return seconds


def send_whole(server: Server, folders: list[Path]) -> float:
    """Seconds; a failure is told, and measured anew (Orthanc's storage now and then trips)."""
    for _ in range(TRIES):
        taken = send(server, folders)
        server.empty()
        if taken is not None:
            return taken
        print(f"{server.name} refused an instance: sent again.", file=sys.stderr)
    raise RuntimeError(f"storescu could not send to {server.name}")


def send(server: Server, folders: list[Path]) -> float | None:
    """Seconds that it takes to send each folder over an association of its own, all at once.

    None where an instance was refused.
    """
    command = [STORESCU, "-aec", "HOUNSFIELD", "+sd", "127.0.0.1", str(server.port)]
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


def write_slices(folder: Path, instances: int, parts: int) -> list[Path]:
    """As many folders as `parts`, with all the slices of one study between them."""
    study, series, uid = generate_uid(), generate_uid(), generate_uid()
    dataset = ct_instance(study, series, 1)
    dataset.Rows = dataset.Columns = 512
    dataset.PixelData = np.random.default_rng(0).integers(0, 2000, (512, 512), np.uint16).tobytes()
    dataset.SOPInstanceUID = uid
    folder.mkdir()
    template = folder / "template"
    dataset.save_as(template, enforce_file_format=True)
    content = template.read_bytes()
    template.unlink()
    for number in range(instances):
        target = folder / str(number % parts) / f"{number:05}.dcm"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content.replace(uid.encode(), f"{uid[:-5]}{number + 10000}".encode()))
    return sorted(folder.iterdir())


@contextmanager
def hounsfield(folder: Path, *, processes: int) -> Iterator[Server]:
    """The command as it is, admitting nothing: studies are never quiet for long enough."""
    environ = {**ENVIRON, "HOUNSFIELD_HOME": str(folder), "HOUNSFIELD_RECEIVER_METRICS_PORT": "0"}
    Site(Settings.load({"HOUNSFIELD_HOME": str(folder)})).set_up()
    landing, port = folder / "landing", free_port()
    command = [sys.executable, "-m", "hounsfield.cli", "receive", "--port", str(port)]
    command += ["--processes", str(processes), "--quiet-seconds", "86400"]

    def empty() -> None:
        for path in landing.glob("*/*.dcm"):
            path.unlink()

    with running(command, environ, port):
        plural = "es" if processes > 1 else ""
        yield Server(f"Hounsfield, {processes} process{plural}", port, empty)


@contextmanager
def storescp(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    command = [STORESCP, "--fork", "+B", "-pdu", "131072", "-od", str(folder), str(port)]

    def empty() -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    with running(command, ENVIRON, port):
        yield Server("storescp", port, empty)


@contextmanager
def orthanc(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    port, web = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "Plugins": [],
        "DicomAet": "HOUNSFIELD",
        "DicomPort": port,
        "HttpPort": web,
        "RemoteAccessAllowed": False,
        "DicomAlwaysAllowStore": True,
        "MaximumPduLength": 131072,
        "SyncStorageArea": True,
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings))
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin") or "Orthanc"

    def empty() -> None:
        """An instance that it has it would not write again."""
        from urllib.request import Request, urlopen

        url = f"http://127.0.0.1:{web}/studies"
        for study in json.load(urlopen(url, timeout=60)):
            urlopen(Request(f"{url}/{study}", method="DELETE"), timeout=60).close()

    with running([program, str(config)], ENVIRON, port):
        yield Server("Orthanc", port, empty)


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
