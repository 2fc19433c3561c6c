"""A process that kills itself with SIGKILL shortly after an event that the caller draws.

Events are those of Python's audit hooks: each file that is opened, made, renamed or removed, each
lock, and each connection to a database. What writes without telling Python, as codecs do, is met
by the delay.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any

__all__ = ["drawn", "in_a_process"]

#: Imports open files too, but those are done where a process is forked.
_EVENTS = ("open", "os.", "shutil.", "sqlite3.", "fcntl.")


def drawn(seed: int, events: int) -> dict[str, Any]:
    """When to kill, of so many events; the test that fails prints it."""
    draw = random.Random(seed)
    kill_at, delay = draw.randrange(1, events), draw.random() * 0.003
    print(f"seed {seed}: killed {delay * 1000:.1f} ms after event {kill_at} of {events}")
    return {"kill_at": kill_at, "delay": delay}


def in_a_process(
    context: BaseContext,
    work: Callable[..., object],
    *args: Any,
    kill_at: int = -1,
    delay: float = 0,
) -> tuple[int | None, int]:
    """Works in a process that is killed after so many events; its exit code, and the events."""
    count = context.Value("i", 0)
    process = context.Process(  # type: ignore[attr-defined]
        target=_watched, args=(count, work, args, kill_at, delay)
    )
    process.start()
    process.join(timeout=120)
    return process.exitcode, count.value


def _watched(
    count: Any, work: Callable[..., object], args: tuple[Any, ...], kill_at: int, delay: float
) -> None:
    die = partial(os.kill, os.getpid(), signal.SIGKILL)

    def hook(event: str, _: object) -> None:
        if event.startswith(_EVENTS):
            count.value += 1
            if count.value == kill_at and delay:
                threading.Timer(delay, die).start()
            elif count.value == kill_at:
                die()

    sys.addaudithook(hook)
    work(*args)
