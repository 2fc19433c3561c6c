"""The installation that commands open: its folder, its databases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import ARGUMENTS, Run, refusal

ROOT = Path(__file__).resolve().parents[2]


def test_everything_stays_under_its_home(tmp_path: Path, study: Path) -> None:
    listing = sorted(ROOT.glob("*")) + sorted(ROOT.glob(".hounsfield/**/*"))
    (tmp_path / "cwd").mkdir()
    commands = [
        [command, *ARGUMENTS[command](study, tmp_path / f"out-{command}")]
        for command in ("validate", "deidentify", "chunk")
    ]
    script = "from hounsfield.cli import main\n" + "".join(
        f"main({command}, standalone_mode=False)\n" for command in commands
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "cwd",
        env={**os.environ, "HOUNSFIELD_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not list((tmp_path / "cwd").iterdir())
    assert (tmp_path / "home" / "secrets" / "project.key").is_file()
    assert listing == sorted(ROOT.glob("*")) + sorted(ROOT.glob(".hounsfield/**/*"))


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg2://u:SECRET@127.0.0.1:1/x", "SECRET", "sqlite:////proc/SECRET.db"]
)
def test_a_database_that_does_not_answer_is_no_fault_to_report(
    url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUNSFIELD_CATALOG_URL", url)
    told = refusal(run("hold"))
    assert "HOUNSFIELD_CATALOG_URL" in told and "SECRET" not in told


def test_an_installation_that_is_not_set_up_says_so(study: Path, tmp_path: Path, run: Run) -> None:
    assert "run hounsfield setup" in refusal(run("lineage", "1.2.3"))
    assert "run hounsfield setup" in refusal(run("infer", study, tmp_path / "out"))
