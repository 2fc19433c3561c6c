"""How things are shown: durations a person can read, times in UTC, links into Airflow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from hounsfield.catalog.models import Event

__all__ = [
    "DELIVERY_STATES",
    "ORPHANS",
    "STATES",
    "Run",
    "day",
    "duration",
    "model_link",
    "moment",
    "runs_of",
    "task_link",
    "tone",
    "trail_link",
]

#: The states of a study in the order of its life, and what each means.
STATES = {
    "received": "in the raw zone, not yet prepared",
    "review": "de-identified, and not released: a person has to look",
    "prepared": "validated, de-identified and laid out as volumes",
    "reported": "its results are confirmed by the PACS",
    "no-model": "prepared; no model is meant for it",
    "quarantined": "refused, with a reason a person can act on",
}

#: The states of a delivery, and what each means.
DELIVERY_STATES = {
    "sending": "not acknowledged yet; tried again till it is, or till it is given up",
    "sent": "acknowledged, not proven yet",
    "missing": "acknowledged, but it is not there; it is asked for again, then sent again",
    "confirmed": "proven by the destination",
    "refused": "refused for good; the object and the PACS's own words are in quarantine",
    "failed": "given up; mend the cause, then clear write_back",
}

#: What an orphan is.
ORPHANS = {
    "product": "a whole product that no row of the catalog names",
    "files": "neither a product nor in quarantine: what a kill left, or somebody put there",
    "row": "the catalog names it, and it is not there",
    "going": "its deletion was begun, and is not ended: an object lock keeps it, till when the "
    "timeline of its study says, or a kill or a hold cut it short; it is in no new snapshot, and "
    "moves to no other tier",
}

#: State of a study, an event or a delivery → the colour it is shown in.
_TONES = {
    "good": ("reported", "done", "confirmed"),
    "bad": ("quarantined", "refused", "failed", "late"),
    "open": ("received", "review", "prepared", "waiting", "sending", "sent", "missing"),
}
_TONE = {state: tone for tone, states in _TONES.items() for state in states}


@dataclass(frozen=True)
class Run:
    """Events that one Dag run wrote one after the other; none of them outside Airflow."""

    dag_id: str
    run_id: str
    actor: str
    events: tuple[Event, ...]

    @property
    def link(self) -> str:
        return _path(dags=self.dag_id, runs=self.run_id) if self.dag_id and self.run_id else ""


def runs_of(events: Iterable[Event]) -> Iterator[Run]:
    """The timeline in its order, cut where another run goes on."""
    for (dag_id, run_id, actor), group in groupby(events, lambda e: (e.dag_id, e.run_id, e.actor)):
        yield Run(dag_id, run_id, actor, tuple(group))


def task_link(event: Event) -> str:
    """Airflow's page of the task that wrote an event, with its log; empty if none did.

    Relative to Airflow's base address.
    """
    if not (event.dag_id and event.run_id and event.task_id):
        return ""
    path = _path(dags=event.dag_id, runs=event.run_id, tasks=event.task_id)
    if event.map_index >= 0:
        path += f"/mapped/{event.map_index}"
    return f"{path}?try_number={event.try_number}"


def trail_link(run: str) -> str:
    """Airflow's page of the task that an audit entry names as ``dag/run/task``."""
    parts = run.split("/")
    return _path(dags=parts[0], runs=parts[1], tasks=parts[2]) if len(parts) == 3 else ""


def model_link(model: str, version: str) -> str:
    """MLflow's page of a model version; empty where HOUNSFIELD_MLFLOW_URL is not set."""
    base = os.environ.get("HOUNSFIELD_MLFLOW_URL", "").rstrip("/")
    return f"{base}/#/models/{quote(model, safe='')}/versions/{quote(version, safe='')}" * bool(
        base
    )


def duration(seconds: float) -> str:
    """Two units at most: 0.4 s, 12 s, 1 min 5 s, 2 h 10 min."""
    if 0 < seconds < 0.05:
        return "< 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if not minutes:
        return f"{whole} s"
    if not hours:
        return f"{minutes} min {whole % 60} s"
    return f"{hours} h {minutes % 60} min"


def moment(time: datetime | str | None) -> str:
    """A time of the catalog or the audit trail, which are all UTC, to the second."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return time.strftime("%Y-%m-%d %H:%M:%S") if time else ""


def day(value: str) -> str:
    """A DICOM date (DA) as ISO writes it."""
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 else value


def tone(state: str) -> str:
    return _TONE.get(state, "plain")


def _path(**parts: str) -> str:
    # A run's id may hold anything that a person gave it: / ? # and spaces too.
    return "/".join(f"{kind}/{quote(value, safe='')}" for kind, value in parts.items())
