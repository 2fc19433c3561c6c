"""One local installation: its folder, ports, secrets, and the environment of its processes."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from cryptography.fernet import Fernet

__all__ = ["Installation", "Ports"]

ROOT = Path(__file__).resolve().parents[2]
#: Of Airflow's asynchronous connections, as in `operators.local.sqlite`.
SQLITE = {"timeout": 60}
#: Ports that the kernel gives to no outgoing connection, on Linux by default.
_OUT_OF_THE_WAY = (20_000, 32_000)
#: Name → role. The officer reads; a study that waits for a person is the reviewer's to decide on.
USERS = {"admin": "admin", "officer": "viewer", "reviewer": "user"}


@dataclass(frozen=True)
class Ports:
    """Where the services listen, all on 127.0.0.1."""

    airflow: int = 8080
    mlflow: int = 5000
    pacs: int = 11112
    move: int = 11114
    worker_log: int = 8793
    trigger_log: int = 8794


class Installation:
    """What ``make up`` makes under one folder, and finds there the next time.

    Parameters
    ----------
    home
        The folder; by default ``HOUNSFIELD_HOME``, or ``.hounsfield`` in the project.
    """

    def __init__(self, home: Path | None = None) -> None:
        default = os.environ.get("HOUNSFIELD_HOME") or ROOT / ".hounsfield"
        self.home = (home or Path(default)).resolve()

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def pacs(self) -> Path:
        return self.home / "pacs"

    @cached_property
    def ports(self) -> Ports:
        """Chosen once and kept; a port that is taken is replaced by a free one.

        The well-known ones are for the project's own installation: two others that are set
        up at once would both find them free, long before either of them listens.
        """
        path = self.home / "ports.json"
        if path.exists():
            return Ports(**json.loads(path.read_text()))
        preferred = asdict(Ports())
        if self.home != ROOT / ".hounsfield":
            preferred = dict.fromkeys(preferred, 0)
        chosen = Ports(**_free_ports(preferred))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(chosen)))
        return chosen

    @cached_property
    def passwords(self) -> dict[str, str]:
        """User → password for the Airflow UI; made here, at the first start with that user."""
        path = self.home / "secrets" / "passwords.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        passwords = {user: known.get(user) or secrets.token_urlsafe(9) for user in USERS}
        if passwords != known:
            _write_secret(path, json.dumps(passwords))
        return passwords

    @property
    def environment(self) -> dict[str, str]:
        """The environment that every process of this installation runs in."""
        keys = self._keys
        base = f"http://127.0.0.1:{self.ports.airflow}"
        airflow = {
            "CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": os.environ.get("HOUNSFIELD_PARALLELISM", "3"),
            "CORE__FERNET_KEY": keys["fernet"],
            "CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{r}" for u, r in USERS.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(
                self.home / "secrets" / "passwords.json"
            ),
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.airflow_home / 'airflow.db'}",
            "DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "operators.local.sqlite.CONNECT_ARGS",
            "DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": f"{__name__}.SQLITE",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.ports.airflow),
            "API__BASE_URL": base,
            "API__WORKERS": "1",
            "API__SECRET_KEY": keys["api"],
            "API_AUTH__JWT_SECRET": keys["jwt"],
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
            "LOGGING__BASE_LOG_FOLDER": str(self.airflow_home / "logs"),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(self.ports.worker_log),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.ports.trigger_log),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        own = {
            "AIRFLOW_HOME": str(self.airflow_home),
            "HOUNSFIELD_ROOT": str(ROOT),
            "HOUNSFIELD_HOME": str(self.home),
            "HOUNSFIELD_PACS_PORT": str(self.ports.pacs),
            "HOUNSFIELD_MOVE_PORT": str(self.ports.move),
            "HOUNSFIELD_MLFLOW_URL": f"http://127.0.0.1:{self.ports.mlflow}",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "DO_NOT_TRACK": "1",
            "TCP_NODELAY": "1",
            # Threads that spin steal what other tasks need.
            "HOUNSFIELD_OCR_THREADS": os.environ.get("HOUNSFIELD_OCR_THREADS", "1"),
            "OMP_NUM_THREADS": "2",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW_", "AIRFLOW__"))}
        return {**kept, **{f"AIRFLOW__{k}": v for k, v in airflow.items()}, **own}

    @property
    def _keys(self) -> dict[str, str]:
        path = self.home / "secrets" / "airflow.json"
        if not path.exists():
            fresh = {
                "fernet": Fernet.generate_key().decode(),
                "api": secrets.token_hex(32),
                "jwt": secrets.token_hex(32),
            }
            _write_secret(path, json.dumps(fresh))
        keys: dict[str, str] = json.loads(path.read_text())
        return keys


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _free_ports(preferred: Mapping[str, int]) -> dict[str, int]:
    """Name → the preferred port where it is free (0: none is preferred), else another."""
    ports: dict[str, int] = {}
    with ExitStack() as held:  # till all are chosen, so that none is chosen twice
        for name, wanted in preferred.items():
            others = iter(lambda: random.randrange(*_OUT_OF_THE_WAY), None)
            ports[name] = next(p for p in chain([wanted], others) if p and _bind(p, held))
    return ports


def _bind(port: int, held: ExitStack) -> bool:
    probe = held.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
