"""``python -m operators.local.keep COMMAND…``: runs a service, and runs it again when it ends.

What compose's ``restart: unless-stopped`` does in production. Airflow's scheduler needs it on
SQLite: where a backfill meets a busy database, Airflow takes back the runs that it had made,
and the scheduler, which may have begun one of them, ends with an error.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence

__all__ = ["keep"]

_SOON = 15.0  # seconds: who ends before has not started
_STARTS = 3  # that fail in a row


def keep(command: Sequence[str], *, soon: float = _SOON, pause: float = 1.0) -> int:
    """Returns when it is told to stop, or when the command fails to start thrice in a row.

    Parameters
    ----------
    soon, pause
        Seconds: an end before `soon` is a failure to start; each is followed by a `pause`.

    Returns
    -------
    int
        The exit code of the command.
    """
    code, failures, told_to_stop = 0, 0, False
    while not told_to_stop and failures < _STARTS:
        started = time.monotonic()
        process = subprocess.Popen(command)  # noqa: S603 - our own commands

        def stop(*_: object, child: subprocess.Popen = process) -> None:
            nonlocal told_to_stop
            told_to_stop = True
            child.terminate()

        signal.signal(signal.SIGTERM, stop)
        code = process.wait()
        failures = failures + 1 if time.monotonic() - started < soon else 0
        if not told_to_stop:
            print(f"It ended with code {code}.", file=sys.stderr, flush=True)
            time.sleep(pause)
    return code


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
