"""An installation of its own, a small study, and commands run on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hounsfield.cli import main
from tests.cli.running import Run
from tests.quality.conftest import CANARIES
from tests.stages.received import write_slices


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own that nothing has been written to."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HOUNSFIELD_HOME", str(folder))
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    """Runs a command; what it says holds no canary and no traceback, however it ends.

    But for the JSON of a report about the input, which names it.
    """

    def call(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(main, [str(part) for part in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        said = result.stderr if "--json" in arguments else result.output
        assert not [word for word in CANARIES if word in said]
        return result

    return call


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_slices(tmp_path / "in")
    return tmp_path / "in"
