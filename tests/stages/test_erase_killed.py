"""kill -9 at ten random points of an erasure: it goes on, and ends as one that was left alone."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POINTS = 10


@pytest.mark.timeout(900)
def test_killed_at_random_it_ends_complete(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.killed", tmp_path / "home", str(seed), str(POINTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=880,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
    whole, *others = json.loads(done.stdout)
    assert len(others) == POINTS
    assert whole["left"] == [] and whole["vault"] == [False, True] and whole["runs"] == [0, 1]
    assert len(whole["studies"]) == 1 and whole["models"] == ["lungs v1"]
    assert len(whole["other"]) > 20, "the other patient has a file in each place"
    for ended in others:
        where = f"seed {seed}, point {ended.pop('point')} of {ended.pop('total')}"
        assert ended.pop("status") == signal.SIGKILL, where
        expected = {name: value for name, value in whole.items() if name in ended}
        assert ended == expected, f"{where}: lost, doubled or half"
