"""``hounsfield receive`` as a process, and as much of Airflow as it meets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hounsfield.site import Site
from hounsfield.stages.revision import raw_manifest
from hounsfield.store.product import verify


def held(site: Site, key: str, completeness: str = "quiet") -> dict[str, bytes]:
    """Content by SOPInstanceUID of the newest revision, checked."""
    zone, relative = site.locate(site.catalog.latest(key, "raw").uri)
    with zone.open(relative) as folder:
        verify(folder)
        manifest = raw_manifest(folder)
        assert manifest.completeness == completeness
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


class Daemon:
    """``hounsfield receive`` as a process.

    Parameters
    ----------
    environ
        More variables.
    options
        Of the command.
    """

    def __init__(
        self,
        site: Site,
        folder: Path,
        free_port: Callable[[], int],
        *options: str,
        **environ: str,
    ) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.log = folder / "receiver.log"
        self.environ = {
            **os.environ,
            "HOUNSFIELD_HOME": str(site.settings.home),
            "HOUNSFIELD_RECEIVER_METRICS_PORT": str(self.metrics_port),
            **environ,
        }
        self.command = [sys.executable, "-m", "hounsfield.cli", "receive"]
        self.command += ["--port", str(self.port)]
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [*self.command, *options], env=self.environ, stderr=file
            )
        try:
            self.until(self.answers)
        except BaseException:
            self.process.kill()
            raise

    def answers(self) -> bool:
        """On both ports: the counters are told a moment after instances are taken."""
        return all(map(_answers, (self.port, self.metrics_port)))

    def until(self, done: Callable[[], object]) -> None:
        end = time.monotonic() + 240
        while not done():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def counts(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        lines = urllib.request.urlopen(url, timeout=20).read().decode().splitlines()
        told = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.removeprefix("hounsfield_receiver_"): float(n) for name, n in told}

    def stop(self, number: int) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
