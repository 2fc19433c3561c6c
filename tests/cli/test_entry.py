"""All commands alike: help, exit codes, one line for a refusal, and no PHI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hounsfield.cli import main
from tests.cli.running import ARGUMENTS, WRITERS, Run, refusal, shell
from tests.quality.conftest import CANARIES

COMMANDS = sorted(main.commands)


def test_the_command_refuses_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("KANARIENVOGEL")
    done = shell("chunk", tmp_path, tmp_path / "out", HOUNSFIELD_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hounsfield: input and output lie in one another")
    assert done.stderr.count("\n") == 1


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, hounsfield.cli as cli\n"
        "from click.testing import CliRunner\n"
        "for name in ['', *cli.main.commands]:\n"
        "    assert CliRunner().invoke(cli.main, [*name.split(), '--help']).exit_code == 0\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    heavy = {"numpy", "pydicom", "sqlalchemy", "pydantic", "dask", "zarr", "rich", "torch"}
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_of_itself(command: str, run: Run) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    _, _, example = result.output.partition("Example:")
    assert f"hounsfield {command}" in example.replace("HOUNSFIELD_HOME=/data ", "")
    # A daemon ends with its stop, not with a report; a statement is a document.
    assert ("--json" in result.output) == (command not in ("receive", "method-statement"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["phantom"],
        ["phantom", "out", "--studies", "many"],
        ["phantom", "out", "--studies", "-1"],
        ["phantom", "out", "--seed", "-1"],
        ["validate"],
        ["validate", "SOURCE", "--nonsense"],
        ["deidentify"],
        ["deidentify", "SOURCE"],
        ["deidentify", "SOURCE", "out", "--profile", "nonsense"],
        ["deidentify", "--explain", "NoSuchAttribute"],
        ["chunk", "SOURCE"],
        ["infer", "SOURCE"],
        ["lineage"],
        *([name, *(["missing", "out"][: 1 + (name in WRITERS)])] for name in ARGUMENTS),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(arguments: list[str], run: Run, study: Path, tmp_path: Path) -> None:
    places = {"SOURCE": study, "out": tmp_path / "out", "missing": tmp_path / "missing"}
    result = run(*(places.get(word, word) for word in arguments))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(CANARIES[0]), "ValueError in folders.py line "),
        (PermissionError(13, "Permission denied", CANARIES[0]), "the disk refuses: Permission"),
        (OSError(28, "No space left on device", CANARIES[0]), "the disk refuses: No space left"),
    ],
)
def test_a_fault_of_ours_does_not_tell_its_text(
    error: Exception, told: str, study: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("hounsfield.cli.folders.open_settings", fail)
    assert refusal(run("validate", study)).startswith(told)
