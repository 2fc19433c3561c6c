"""Independent tasks as one Dask graph: on this machine's threads, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask
from dask.callbacks import Callback

from hounsfield.errors import StoreUnavailable
from hounsfield.settings import VolumeSettings

__all__ = ["Progress", "compute"]

#: Called with the number of tasks done and of tasks in all.
Progress = Callable[[int, int], None]


def compute(
    tasks: Sequence[Callable[[], Any]], settings: VolumeSettings, progress: Progress | None = None
) -> list[Any]:
    """What each task gives, in their order.

    Parameters
    ----------
    tasks
        For a cluster they must pickle, and its workers see the folders that they name.

    Raises
    ------
    StoreUnavailable
        No cluster answers at the address.
    HounsfieldError
        Of the first task that fails.
    """
    tell = _Counter(len(tasks), progress)
    delayed = [dask.delayed(task, pure=False, traverse=False)() for task in tasks]
    if settings.dask:
        return _on_cluster(delayed, settings.dask, tell)
    with Callback(posttask=lambda *_: tell()):
        return list(dask.compute(*delayed, scheduler="threads", num_workers=settings.workers))


class _Counter:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = -1, total, progress
        self()

    def __call__(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _on_cluster(delayed: Sequence[Any], address: str, tell: Callable[[], None]) -> list[Any]:
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError):
        raise StoreUnavailable(
            "no Dask scheduler answers at the address",
            where="configs/site.yaml: volumes.dask",
            remedy="start one, or leave the address empty",
        ) from None
    with client:
        futures = client.compute(list(delayed))
        for _ in as_completed(futures):
            tell()
        return list(client.gather(futures))
