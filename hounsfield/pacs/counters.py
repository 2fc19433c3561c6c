"""What the receiver counts, told as Prometheus text.

Each process counts in cells of its own; whoever tells adds them up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hounsfield.errors import ConfigError

__all__ = ["CELLS", "Tally", "telling"]

log = logging.getLogger(__name__)

_PREFIX = "hounsfield_receiver_"
_SILENCE = 60.0  # seconds after a refusal was told of


@dataclass(frozen=True, slots=True)
class _Counted:
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)


# What goes up only; `associations_open` goes down again.
_TABLE: Mapping[str, _Counted] = {
    "associations": _Counted("Associations that were accepted."),
    "associations_open": _Counted("Associations that are open."),
    "instances": _Counted("Instances that were acknowledged."),
    "bytes": _Counted("Bytes of acknowledged instances."),
    "duplicates": _Counted("Acknowledged instances that were here already."),
    "collisions": _Counted("Acknowledged instances whose UID had other content before."),
    "damaged": _Counted("Acknowledged instances that were damaged here, or are read no more."),
    "refusals": _Counted(
        "What was refused: connections, associations and instances.",
        "reason",
        (
            "address",  # a connection from outside the configured networks
            "connections",  # too many at once
            "tls",  # a handshake that failed
            "no_request",  # silence, or what is no association request
            "calling_ae_title",
            "called_ae_title",
            "associations",  # too many at once
            "disk_share",  # too full, or not there
            "other",  # an association request that pynetdicom refuses by itself
            "disk_full",  # instances from here on
            "no_instance_uid",
            "mismatch",  # of the UID in the data set and that of the message
            "too_long",
            "unreadable",
            "internal",
        ),
    ),
    "commitments": _Counted(
        "Storage Commitment transactions.", "outcome", ("asked", "reported", "given_up")
    ),
}
_GAUGES = frozenset(("associations_open",))
_PLACE = {
    (name, value): place
    for place, (name, value) in enumerate(
        (name, value) for name, counted in _TABLE.items() for value in counted.values
    )
}
#: How many cells a process needs.
CELLS = len(_PLACE)


class Tally:
    """The counts of one process. Threads may count at the same time.

    Parameters
    ----------
    cells
        Where the numbers are, if others are to see them.
    """

    def __init__(self, cells: MutableSequence[int] | None = None) -> None:
        self.cells: MutableSequence[int] = [0] * CELLS if cells is None else cells
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}  # reason → when the next refusal is told of
        for name in _GAUGES:  # A process that died had some open.
            self.cells[_PLACE[name, ""]] = 0

    def add(self, name: str, value: str = "", amount: int = 1) -> None:
        """Counts; `value` is that of the counter's label."""
        place = _PLACE[name, value]
        with self._lock:
            self.cells[place] += amount

    def refuse(self, reason: str, whom: str) -> None:
        """Counts a refusal, and names whom it was for whoever looks after that.

        Of each reason only once in a while: who is refused may come again ten times a second.
        """
        self.add("refusals", reason)
        now = time.monotonic()
        if now >= self._told.get(reason, now):
            self._told[reason] = now + _SILENCE
            log.warning(
                "%s was refused: %s (the next for this reason is told of after %.0f s at the "
                "earliest).",
                whom,
                reason,
                _SILENCE,
            )

    def get(self, name: str, value: str = "") -> int:
        return self.cells[_PLACE[name, value]]


@contextmanager
def telling(
    port: int,
    tallies: Callable[[], Sequence[Tally]],
    gauges: Mapping[str, tuple[str, Callable[[], float]]],
) -> Iterator[None]:
    """Answers ``/metrics`` on the loopback while the block lasts; port 0: not.

    Parameters
    ----------
    gauges
        More numbers, by name: what each is, and how it is found when it is asked for.

    Raises
    ------
    ConfigError
        If the port cannot be had.
    """
    if not port:
        yield
        return
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(_Collector(tallies, gauges))
    try:
        server, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise ConfigError(
            f"port {port} cannot be had: {error.strerror}",
            where="configs/receiver.yaml: metrics_port",
            remedy="give each receiver of a machine its own",
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Collector:
    """Adds up what the processes counted, whenever it is asked."""

    def __init__(
        self,
        tallies: Callable[[], Sequence[Tally]],
        gauges: Mapping[str, tuple[str, Callable[[], float]]],
    ) -> None:
        self._tallies = tallies
        self._gauges = gauges

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        tallies = self._tallies()
        for name, counted in _TABLE.items():
            kind = GaugeMetricFamily if name in _GAUGES else CounterMetricFamily
            labels = [counted.label] if counted.label else None
            family = kind(_PREFIX + name, counted.help, labels=labels)
            for value in counted.values:
                total = sum(tally.get(name, value) for tally in tallies)
                family.add_metric([value] if labels else [], total)
            yield family
        for name, (told, number) in self._gauges.items():
            yield GaugeMetricFamily(_PREFIX + name, told, value=number())
