"""A real Orthanc that is set up to refuse, or to forget, what it is sent."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs import DimseClient, DimsePeer, Timeouts

TIMEOUTS = Timeouts(connect=2, associate=10, message=20, idle=30)


@contextmanager
def orthanc(folder: Path, program: str, port: int, **changes: Any) -> Iterator[DimseClient]:
    """Runs it till the block ends, with `changes` of its settings; what it stored outlives it."""
    folder.mkdir(exist_ok=True)
    config = folder / "orthanc.json"
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpServerEnabled": False,
        "Plugins": [],
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
    }
    config.write_text(json.dumps(settings | changes))
    client = DimseClient(DimsePeer("ORTHANC", "127.0.0.1", port, timeouts=TIMEOUTS))
    with (folder / "log").open("ab") as output:
        process = subprocess.Popen(
            [program, str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
        try:
            _wait(process, client, folder / "log")
            yield client
        finally:
            process.terminate()
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], client: DimseClient, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            return client.echo()
        except PacsUnavailable:
            time.sleep(0.1)
    raise RuntimeError(log.read_text(errors="replace")[-2000:])
