"""ingest: from the PACS to the raw zone, byte for byte, whole or not at all.

A study is whole when the PACS lists and counts no more than is here, and says so once more
after a while (`SourceSettings.confirm_after_seconds`). What came meanwhile waits in the raw
zone's staging area, so that however often it takes, each instance is fetched once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hounsfield.errors import NotFound, NotYet
from hounsfield.pacs import StudyFilter, Window
from hounsfield.pacs.connect import client_of
from hounsfield.records import RunContext
from hounsfield.settings import SourceSettings
from hounsfield.site import Site
from hounsfield.stages.arrival import Arrival
from hounsfield.stages.hours import seconds_until_open
from hounsfield.stages.retrieval import Retrieval
from hounsfield.stages.revision import newest_revision
from hounsfield.stages.step import step
from hounsfield.store import Zone
from hounsfield.vault import Identity

__all__ = ["client_of", "find_studies", "retrieve_study", "source_of"]

log = logging.getLogger(__name__)


def find_studies(
    site: Site,
    source: str,
    start: datetime,
    end: datetime,
    *,
    run: RunContext,
    looks_back: bool = True,
    now: Callable[[], float] = time.time,
) -> list[str]:
    """Asks a source for the studies of a window and gives their keys.

    The original UIDs go into the vault, so that only keys travel on. Studies of patients who
    were erased are left out, and those that came from a source of another region first: they
    are of that region.

    Parameters
    ----------
    start, end
        Aware datetimes; the window is half open.
    looks_back
        Whether the source is asked for its ``lookback_days`` before the window, too.
    now
        The clock, in seconds since 1970.

    Raises
    ------
    NotFound
        If configs/sources.yaml names no such source.
    PacsUnavailable
        If the source does not answer.
    NotYet
        Till the source's working hours begin.
    """
    settings = source_of(site, source)
    _wait_until_open(settings, source, now())
    if looks_back:
        start -= timedelta(days=settings.lookback_days)
    window = Window.of(start, end, settings.timezone)
    filters = StudyFilter(frozenset(settings.modalities), settings.description)
    keys = []
    for entry in client_of(settings, source).find_studies(window, filters):
        key = site.pseudonyms_of(entry.StudyInstanceUID).study_key(entry.StudyInstanceUID)
        if site.catalog.is_erased(key):  # The source has it still; here it shall not come back.
            log.info("Study %s is not fetched again: its patient was erased.", key)
            continue
        first = site.vault.source_of(key) or source
        if site.region_of(key, first) != site.region_of_source(source):
            log.warning("Study %s is not fetched from %s: it is of another region.", key, source)
            continue
        identity = Identity(
            StudyInstanceUID=entry.StudyInstanceUID,
            PatientID="",
            IssuerOfPatientID="",
            StudyDate=entry.StudyDate,
            source=source,
        )
        if not site.vault.knows(key):
            site.vault.put(key, "", identity, run=run)
        keys.append(key)
    log.info("The source %s has %d studies in this window.", source, len(keys))
    return keys


def retrieve_study(
    site: Site,
    study_key: str,
    source: str = "",
    *,
    run: RunContext,
    first_try: int = 1,
    now: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Brings one study into the raw zone, as a revision that is whole.

    Only instances that are neither in an earlier revision nor came in an earlier try are
    fetched.

    Parameters
    ----------
    source
        Who is asked, by its name in configs/sources.yaml; empty: whom the study came from first.
        Where two have it, each may have what the other has not.
    first_try
        Number of the first try of this task since somebody asked for it. What an earlier one of
        these brought nobody has heard of, or this try would not be: it is ``new`` once more.
    now
        The clock, in seconds since 1970.

    Returns
    -------
    dict
        ``study_key``, ``digest`` of the manifest, and ``status``: ``new``, ``revised`` (more
        came than was held) or ``unchanged``.

    Raises
    ------
    NotYet
        The study is not whole, or the PACS is to be asked once more whether it is, or the
        source's working hours have not begun. The same call goes on where this one was.
    IncompleteStudy
        It did not become whole in the time that the source has for it.
    PacsUnavailable
        The PACS does not answer, or broke off. What came by then is kept.
    """
    with (
        step(site, study_key, "ingest", run) as record,
        site.catalog.lock(study_key, f"{run.run_id}/{run.task_id}/{run.map_index}"),
        _staging(site, study_key, run) as (identity, zone, folder),
    ):
        source = source or identity.source
        settings = source_of(site, source)
        held = newest_revision(site, study_key)
        record.source = source
        # What its own source gave whole goes on, whatever another has more of it, or fails at.
        record.spares_study = held is not None and source != identity.source
        _wait_until_open(settings, study_key, now())
        retrieval = Retrieval(
            site=site,
            run=run,
            record=record,
            identity=identity,
            source=settings,
            client=client_of(settings, source),
            arrival=Arrival(folder, now, source),
            held=held,
            first_try=first_try,
        )
        digest, status = retrieval.bring()
        zone.unstage(folder)
        return {"study_key": study_key, "digest": digest, "status": status}


@contextmanager
def _staging(site: Site, study_key: str, run: RunContext) -> Iterator[tuple[Identity, Zone, Path]]:
    """Whose study it is, and where of it is what came so far: in its own region."""
    identity = site.vault.open(study_key, purpose="ingest", run=run)
    region = site.region_of(study_key, identity.source)
    zone = site.zone("raw", region)
    with zone.staging(study_key, region=region) as folder:
        yield identity, zone, folder


def source_of(site: Site, name: str) -> SourceSettings:
    """The settings of a source.

    Raises
    ------
    NotFound
        If configs/sources.yaml names no such source.
    """
    try:
        return site.settings.sources[name]
    except KeyError:
        raise NotFound(f"configs/sources.yaml names no source {name!r}") from None


def _wait_until_open(source: SourceSettings, where: str, now: float) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    seconds = seconds_until_open(source.working_hours, source.timezone, moment)
    if seconds:
        raise NotYet("the source's working hours have not begun", where=where, seconds=seconds)
