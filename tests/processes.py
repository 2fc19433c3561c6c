"""Several processes that do the same at the same time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

_FORK = multiprocessing.get_context("fork")  # A fresh interpreter imports for seconds.


def together(function: Callable[..., None], *arguments: tuple[Any, ...]) -> None:
    """Calls `function` once with each of `arguments`, each in a process of its own.

    Connections to SQLite must be closed before: they do not survive a fork.
    """
    barrier = _FORK.Barrier(len(arguments))
    workers = [_FORK.Process(target=_run, args=(barrier, function, own)) for own in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def _run(barrier: Any, function: Callable[..., None], own: tuple[Any, ...]) -> None:
    barrier.wait(timeout=60)
    function(*own)
