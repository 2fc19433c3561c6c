"""One demonstration for all end-to-end tests: the whole pipeline through the real scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hounsfield.site import Site
from operators.local.api import AirflowApi
from operators.local.installation import ROOT, Installation
from operators.local.services import Services

_LIMIT_S = 4500


@dataclass
class Demo:
    """A finished demonstration whose services still run."""

    installation: Installation
    output: str
    summary: dict[str, Any]

    @property
    def api(self) -> AirflowApi:
        return AirflowApi(self.installation)

    @property
    def site(self) -> Site:
        return Site.open()

    def hounsfield(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _run("hounsfield.cli", *arguments, installation=self.installation)

    def again(self) -> subprocess.CompletedProcess[str]:
        return _run("operators.local", "demo", installation=self.installation)


@pytest.fixture(scope="package")  # idle services take from the other tests what they need
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What ``make demo`` does, in a folder of its own."""
    installation = Installation(tmp_path_factory.mktemp("hounsfield"))
    before = dict(os.environ)
    os.environ.update(installation.environment)
    try:
        done = _run("operators.local", "demo", installation=installation)
        path = installation.home / "demo" / "demo.json"
        if not path.exists():
            pytest.fail(
                f"the demonstration did not end:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
            )
        yield Demo(installation, done.stdout, json.loads(path.read_text()))
    finally:
        Services(installation).stop()
        os.environ.clear()
        os.environ.update(before)


def wait_for(condition: Callable[[], bool], seconds: float = 1500) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(1)


def _run(
    module: str, *arguments: str, installation: Installation
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=installation.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
