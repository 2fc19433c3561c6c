"""Starting, watching and stopping the services of a local installation."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from hounsfield.pseudonyms import without_key
from operators.local.installation import ROOT, Installation

__all__ = ["Service", "ServiceError", "Services"]

_START_SECONDS = 400
_STOP_SECONDS = 20
_HEALTH = "/api/v2/monitor/health"


class ServiceError(RuntimeError):
    """A service did not start; the text names its log."""


@dataclass(frozen=True)
class Service:
    """One process: its command, how to see that it is up, and whether it may have the key."""

    name: str
    command: tuple[str, ...]
    is_up: Callable[[], bool]
    needs_key: bool = True


class Services:
    """The services of one installation. They outlive the process that starts them."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._folder = installation.home / "services"

    def set_up(self, say: Callable[[str], None]) -> None:
        """Databases, key and pools: made, or brought up to date."""
        self.installation.airflow_home.mkdir(parents=True, exist_ok=True)
        _ = self.installation.passwords
        say("the catalog, the vault and MLflow")
        self._run(sys.executable, "-m", "hounsfield.cli", "setup")
        say("Airflow's database")
        self._run(*_airflow("db", "migrate"))
        say("the pools")
        self._import_pools()

    def start(self, say: Callable[[str], None], *, without: Container[str] = ()) -> None:
        """Starts what does not run yet, and returns when all answer.

        Parameters
        ----------
        without
            Services that are not wanted.

        Raises
        ------
        ServiceError
            If one ends, or does not answer in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        services = [one for one in self._services() if one.name not in without]
        for service in services:
            if self.pid(service.name) is None:
                self._spawn(service)
        for service in services:
            say(service.name)
            self._wait(service)

    def stop(self) -> list[str]:
        """Stops all that run, with the tasks they started, and names the services."""
        names = [path.stem for path in sorted(self._folder.glob("*.pid"))]
        running = {name: pid for name in names if (pid := self.pid(name)) is not None}
        processes = [process for pid in running.values() for process in _family(pid)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, stubborn = psutil.wait_procs(processes, timeout=_STOP_SECONDS)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=_STOP_SECONDS)
        for name in names:
            (self._folder / f"{name}.pid").unlink(missing_ok=True)
        return list(running)

    def pid(self, name: str) -> int | None:
        """The process of a service, if it runs."""
        path = self._folder / f"{name}.pid"
        if not path.exists():
            return None
        pid = int(path.read_text())
        return pid if _alive(pid) else None

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _services(self) -> Iterator[Service]:
        ports = self.installation.ports
        yield Service("pacs", self._pacs_command(), lambda: _listens(ports.pacs), needs_key=False)
        yield Service(
            "mlflow",
            self._mlflow_command(),
            lambda: _answers(ports.mlflow, "/health"),
            needs_key=False,
        )
        yield Service(
            "api-server",
            _airflow("api-server"),
            lambda: _answers(ports.airflow, _HEALTH),
        )
        warm = (sys.executable, "-m", "operators.local.warm", "scheduler")
        yield Service("scheduler", warm, partial(_beats, ports.airflow, "scheduler"))
        for name in ("dag-processor", "triggerer"):
            yield Service(name, _airflow(name), partial(_beats, ports.airflow, name))

    def _pacs_command(self) -> tuple[str, ...]:
        from hounsfield.pacs.qrscp import qrscp_command, write_qrscp_config

        ports = self.installation.ports
        destination = {"HOUNSFIELD": ("127.0.0.1", ports.move)}
        config = write_qrscp_config(self.installation.pacs, ports.pacs, "PACS", destination)
        return tuple(qrscp_command(config))

    def _mlflow_command(self) -> tuple[str, ...]:
        home = self.installation.home
        return (
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(self.installation.ports.mlflow), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{home / 'databases' / 'mlflow.db'}"),
            *("--default-artifact-root", str(home / "mlflow")),
        )

    def _import_pools(self) -> None:
        from operators.policy import POOLS

        path = self.installation.airflow_home / "pools.json"
        pools = {
            name: {"slots": slots, "description": text, "include_deferred": False}
            for name, (slots, text) in POOLS.items()
        }
        path.write_text(json.dumps(pools))
        self._run(*_airflow("pools", "import", str(path)))

    def _run(self, *command: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self.log("setup")
        with log.open("ab") as output:
            done = subprocess.run(  # noqa: S603 - our own commands
                command,
                env=self.installation.environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
                check=False,
            )
        if done.returncode:
            raise ServiceError(f"{' '.join(command[1:4])} failed: see {log}")

    def _spawn(self, service: Service) -> None:
        environment = self.installation.environment
        with self.log(service.name).open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                (sys.executable, "-m", "operators.local.keep", *service.command),
                env=environment if service.needs_key else without_key(environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # so that it, and its workers, end as one group
            )
        (self._folder / f"{service.name}.pid").write_text(str(process.pid))

    def _wait(self, service: Service) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.pid(service.name) is None:
                raise ServiceError(f"{service.name} ended: see {self.log(service.name)}")
            if service.is_up():
                return
            time.sleep(0.3)
        raise ServiceError(f"{service.name} does not answer: see {self.log(service.name)}")


def _airflow(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "airflow", *arguments)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _beats(port: int, name: str) -> bool:
    """Whether Airflow's API server has seen a heartbeat of one of its fellows of late."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{_HEALTH}", timeout=2) as answer:
            health = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return bool(health.get(name.replace("-", "_"), {}).get("status") == "healthy")


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # Our own child would stay a zombie.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _family(pid: int) -> list[psutil.Process]:
    """A process and all it started: Airflow's tasks run in sessions of their own."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
