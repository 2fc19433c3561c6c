"""A service that ends is started again; one that cannot start is not, for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from operators.local.keep import keep


def _command(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_what_cannot_start_is_given_up(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(7)"
    assert keep(_command(script), soon=60, pause=0) == 7
    assert starts.read_text() == "xxx"


def test_what_ran_for_a_while_is_started_again(tmp_path: Path) -> None:
    """Ends count only in a row: here each start is a good one, till the fourth."""
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x')"
    keeper = subprocess.Popen(
        _command(f"from operators.local.keep import keep; keep({_command(script)!r}, soon=0)")
    )
    try:
        _wait_for(lambda: starts.exists() and len(starts.read_text()) >= 4)
    finally:
        keeper.kill()
        keeper.wait()


def test_who_is_told_to_stop_stops_the_service(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    keeper = subprocess.Popen([sys.executable, "-m", "operators.local.keep", *_command(script)])
    _wait_for(lambda: pid.exists() and bool(pid.read_text()))
    keeper.send_signal(signal.SIGTERM)
    keeper.wait(20)
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
