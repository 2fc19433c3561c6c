"""Several processes that take instances at one port; a parent watches over them."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection
from typing import Any, Self

from hounsfield.errors import ConfigError, HounsfieldError
from hounsfield.pacs.counters import CELLS, Tally

__all__ = ["Workers", "check_port"]

log = logging.getLogger(__name__)

# Forked from a process that holds nothing: a fork of ours would inherit the lock on the landing
# folder and those of threads, and a fresh interpreter each would import for seconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_SECONDS = 300  # to begin in
_PATIENCE = 10  # seconds to end in

#: What a process does: takes instances while the block lasts.
Job = Callable[[Tally], AbstractContextManager[None]]


class Workers:
    """Processes that each do `job`, started anew when they die.

    Each hangs by a line: when it is cut, because the parent stops or was killed, they end.

    Parameters
    ----------
    job
        Must pickle.
    module
        Imported once for all.

    Raises
    ------
    ConfigError
        If one cannot begin.
    """

    def __init__(self, count: int, job: Job, *, module: str) -> None:
        self._job = job
        _CONTEXT.set_forkserver_preload([module])
        self._cells = [_CONTEXT.RawArray("Q", CELLS) for _ in range(count)]
        self.tallies = [Tally(cells) for cells in self._cells]
        self._workers: list[tuple[Any, Connection[Any, Any]]] = []

    def __enter__(self) -> Self:
        try:
            self._workers = [self._start(place) for place in range(len(self._cells))]
            for _, line in self._workers:
                _hear(line)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for _process, line in self._workers:
            line.close()
        for process, _line in self._workers:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()

    def mend(self) -> bool:
        """Starts those anew that died; whether there were any."""
        is_broken = False
        for place, (process, line) in enumerate(self._workers):
            if not process.is_alive():
                is_broken = True
                log.error("Receiving process %d died, and is started anew.", place + 1)
                line.close()
                self._workers[place] = self._start(place)
        return is_broken

    def _start(self, place: int) -> tuple[Any, Connection[Any, Any]]:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, self._cells[place], self._job))
        process.start()
        theirs.close()
        return process, ours


def check_port(address: tuple[str, int]) -> None:
    """Makes sure that the port is nobody's: those who share one would not notice.

    Raises
    ------
    OSError
        If it is.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _hear(line: Connection[Any, Any]) -> None:
    """Waits until a process has begun."""
    trouble: str | None = "it said nothing"
    with suppress(EOFError):
        if line.poll(_SECONDS):
            trouble = line.recv()
    if trouble is not None:
        raise ConfigError(f"a receiving process did not begin: {trouble}")


def _work(line: Connection[Any, Any], cells: Any, job: Job) -> None:
    """What a process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A terminal sends it to all; the line says when.
    try:
        with job(Tally(cells)):
            line.send(None)
            with suppress(EOFError):
                line.recv()
    except HounsfieldError as error:
        with suppress(OSError):
            line.send(str(error))
