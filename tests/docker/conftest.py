"""The deployment's files, read once. No engine runs here, so they are held against the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import tests.airflow_home  # noqa: F401 - before Airflow

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: Those that run our image.
OURS = {name: service for name, service in SERVICES.items() if "build" in service}

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?::?[-?+]([^}]*))?\}")


def interpolated(text: str) -> str:
    """A value of the compose file where no variable is set: with its defaults."""
    return _VARIABLE.sub(lambda match: match[2] or "", text)


def variables_of(text: str) -> dict[str, str]:
    """The variables that a compose file asks for, with their defaults."""
    return {match[1]: match[2] or "" for match in _VARIABLE.finditer(text)}


def command_of(service: dict[str, Any]) -> list[str]:
    return [interpolated(str(word)) for word in service["command"]]


@pytest.fixture(params=sorted(OURS))
def ours(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each service that runs our image."""
    return OURS[request.param]
