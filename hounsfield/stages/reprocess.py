"""reprocess: which studies to send through once more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select

from hounsfield.catalog.models import Event, Study, utc_now
from hounsfield.datasets.cohort import PREPARED
from hounsfield.errors import ConfigError
from hounsfield.records import RunContext
from hounsfield.site import Site

__all__ = ["FINISHED", "select_studies", "unheard_studies"]

log = logging.getLogger(__name__)

#: States that a study does not leave by itself. ``quarantined`` waits for a person.
FINISHED = ("reported", "no-model", "quarantined")
#: As those, but for that a run waits for a person's answer, and goes on from it.
_WAITING = ("review",)


def select_studies(
    site: Site,
    *,
    first: str,
    last: str,
    only: str = "all",
    through: str = "prepare",
    run: RunContext,
) -> Sequence[str]:
    """Study keys of a window of study dates.

    Dates are the real ones, so the vault answers; only keys leave it.

    Parameters
    ----------
    first, last
        ISO dates, inclusive.
    only
        ``all``, ``unfinished`` or ``quarantined``.
    through
        Where they are sent; only studies that are prepared can go through ``infer``.

    Raises
    ------
    ConfigError
        If a date is none, or `only` is unknown.
    """
    window = [_as_da(first), _as_da(last)]
    if only not in ("all", "unfinished", "quarantined"):
        raise ConfigError("only knows all, unfinished and quarantined", where="only")
    keys = site.vault.keys_between(*window, purpose="reprocess", run=run)
    # What never was whole has no revision, and nothing to replay: `ingest` is to fetch it.
    query = select(Study.study_key).where(Study.study_key.in_(keys), Study.revision != "")
    if through == "infer":
        query = query.where(Study.state.in_(PREPARED))
    if only == "unfinished":
        query = query.where(Study.state.not_in((*FINISHED, *_WAITING)))
    elif only == "quarantined":
        query = query.where(Study.state == "quarantined")
    chosen = site.catalog.all(query.order_by(Study.study_key))
    log.info("%d of the window's %d studies are to be replayed.", len(chosen), len(keys))
    return chosen


def unheard_studies(site: Site, *, hours: float) -> Sequence[str]:
    """Study keys of what was received or prepared so many hours ago, and of which nothing came.

    Neither `prepare` nor `infer` ever began it, for nobody heard of it: Airflow may end a task as
    done and lose its asset events where its API server cannot be reached just then, and a receiver
    may know no Airflow at all. A prepared study waits for `infer` where that is switched off: it
    is announced again when it has begun another since.
    """
    begun = select(Event.id).where(Event.study_key == Study.study_key)
    validated = begun.where(Event.stage == "validate", Event.digest == Study.revision)
    routed = begun.where(Event.stage == "route", Event.at >= Study.updated_at)
    latest = select(func.max(Event.at)).where(Event.stage == "route").scalar_subquery()
    query = select(Study.study_key, Study.state).where(
        or_(
            and_(Study.state == "received", ~validated.exists()),
            and_(Study.state == "prepared", ~routed.exists(), Study.updated_at < latest),
        ),
        Study.revision != "",
        Study.updated_at < utc_now() - timedelta(hours=hours),
    )
    with site.catalog.read() as session:
        unheard = session.execute(query.order_by(Study.study_key)).all()
    for study_key, state in unheard:
        log.warning("Study %s was %s, and nothing came of it: it is announced.", study_key, state)
    return [study_key for study_key, _ in unheard]


def _as_da(text: str) -> str:
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y%m%d")
    except ValueError:
        raise ConfigError("a date has the form 2026-03-31", where="first, last") from None
