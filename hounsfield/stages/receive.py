"""receive: what a modality or PACS pushes to us becomes a revision, and Airflow is told.

A push has no list to be held against: a study is taken as it is when nothing more has come
for a while, so its manifest says ``quiet`` where that of a pull says ``confirmed``. What
comes later makes a new revision.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from hounsfield.errors import ConfigError, HounsfieldError, InternalError
from hounsfield.pacs import InstanceRef
from hounsfield.pacs.inbox import Inbox, sync_tree
from hounsfield.pacs.receive import Place, listening, read_landed
from hounsfield.records import InstanceEntry, RunContext, SeriesManifest
from hounsfield.site import Site
from hounsfield.stages.announce import Airflow
from hounsfield.stages.ingest import source_of
from hounsfield.stages.revision import (
    LAYOUT,
    Admission,
    admit,
    link_file,
    link_held,
    make_manifest,
    newest_revision,
    publish,
    quarantine_collisions,
    revision_id,
)
from hounsfield.stages.step import step
from hounsfield.vault import Identity

__all__ = ["Receiver", "admit_landed", "announce_owed", "receive"]

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 600.0  # seconds between two tries

_Arrived = Sequence[tuple[InstanceEntry, Place]]


def receive(
    site: Site,
    *,
    landing: Path,
    port: int,
    ae_title: str,
    source: str,
    airflow: Airflow | None,
    stop: threading.Event,
    bind: str = "",
    allow: Sequence[str] = (),
    quiet_seconds: float = 30,
    retry_seconds: float = 15,
) -> None:
    """Receives until `stop` is set.

    Parameters
    ----------
    landing
        PHI. One receiver at a time has it.
    source
        The source in configs/sources.yaml that results of pushed studies go back to.
    airflow
        Whom to tell; None: nobody, till a receiver that knows one is started on this folder.

    Raises
    ------
    ConfigError
        If the site is not set up, or the port or the landing folder cannot be had.
    NotFound
        If configs/sources.yaml names no such source.
    """
    source_of(site, source)
    site.catalog, site.vault, site.pseudonyms  # noqa: B018 (not set up is said now, not later)
    with Inbox(landing) as inbox:
        receiver = Receiver(site, inbox, source, airflow, quiet_seconds, retry_seconds)
        key = site.pseudonyms.study_key
        with listening(inbox, port=port, ae_title=ae_title, study_key=key, bind=bind, allow=allow):
            log.info("Listening on port %d as %s; results go to %s.", port, ae_title, source)
            if airflow is None:
                log.warning("HOUNSFIELD_AIRFLOW_URL is not set: nobody is told of studies.")
            while not stop.wait(min(1.0, max(quiet_seconds / 4, 0.05))):
                receiver.sweep()


@dataclass
class Receiver:
    """Admits studies that are quiet, and announces them; what fails is tried again, later."""

    site: Site
    inbox: Inbox
    source: str
    airflow: Airflow | None
    quiet_seconds: float = 30
    retry_seconds: float = 15
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def sweep(self) -> None:
        """One look at the landing folder. Raises nothing."""
        run = RunContext(actor="receiver", run_id=f"receive-{uuid.uuid4().hex}", task_id="receive")
        for study_key in self.inbox.studies():
            if self.inbox.is_quiet(study_key, self.quiet_seconds):
                self._try(study_key, partial(self._admit, study_key, run))
            if self.airflow is not None and self.inbox.owed(study_key):
                # One silence of Airflow's is enough for all: one pause, not one a study.
                self._try("airflow", partial(self._announce, self.airflow, study_key))

    def _admit(self, study_key: str, run: RunContext) -> None:
        result = admit_landed(self.site, self.inbox, study_key, self.source, run=run)
        if self.airflow is None and result["status"] != "unchanged":
            log.warning("Study %s is admitted; nobody was told.", study_key)

    def _announce(self, airflow: Airflow, study_key: str) -> None:
        announce_owed(self.site, self.inbox, study_key, airflow)

    def _try(self, what: str, action: Callable[[], object]) -> None:
        until, pause = self._pauses.get(what, (0.0, self.retry_seconds))
        if time.monotonic() < until:
            return
        try:
            action()
        except HounsfieldError as error:
            log.warning("Tried again in %.0f s: %s", pause, error)
        except Exception as error:  # its message may quote a patient
            log.error("Tried again in %.0f s: %s", pause, InternalError.of(error))
        else:
            self._pauses.pop(what, None)
            return
        self._pauses[what] = time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE)


def admit_landed(
    site: Site, inbox: Inbox, study_key: str, source: str, *, run: RunContext
) -> dict[str, Any]:
    """Makes a revision of what has landed of a study, and empties its landing folder.

    Killed at any point, it does the same again: what landed is removed last.

    Returns
    -------
    dict
        ``study_key``, ``digest`` of the manifest, and ``status``: ``new``, ``revised`` or
        ``unchanged`` (all that landed was here already).

    Raises
    ------
    StudyLocked
        If another run holds the study just now.
    """
    with (
        step(site, study_key, "receive", run) as record,
        site.catalog.lock(study_key, f"receiver/{inbox.id}"),
    ):
        paths = inbox.landed(study_key)
        arrived = [read_landed(path) for path in paths]
        digest, status, admission = _revise(site, inbox, study_key, source, paths, arrived, run)
        for place in (site.catalog.latest(study_key, "raw").uri, _quarantine(site, study_key)):
            if Path(place).is_dir():  # No object store.
                sync_tree(Path(place))
        inbox.remove(study_key, paths)
        record.say(
            f"{len(paths)} instances were pushed to us, then none for a while; "
            f"{admission.duplicates} were here already, {len(admission.collisions)} collided. "
            f"The study has {len(admission.accepted)} now.",
            digest=digest,
            version=LAYOUT,
        )
        return {"study_key": study_key, "digest": digest, "status": status}


def announce_owed(site: Site, inbox: Inbox, study_key: str, airflow: Airflow) -> bool:
    """Tells Airflow of a study whose admission it was not told of; whether it did.

    Told twice, after a kill between the telling and the note of it, is harmless: `prepare`
    finds its products there.
    """
    digest = inbox.owed(study_key)
    # The note is written before the revision, so that no revision is without one.
    if digest is None or site.catalog.product(revision_id(digest)) is None:
        return False
    airflow.announce(study_key)
    inbox.settle(study_key)
    log.info("Study %s is announced to Airflow.", study_key)
    return True


def _revise(
    site: Site,
    inbox: Inbox,
    study_key: str,
    source: str,
    paths: Sequence[Path],
    arrived: _Arrived,
    run: RunContext,
) -> tuple[str, str, Admission]:
    """Digest, status, and what became of the instances."""
    identity = _identity(site, study_key, source, arrived, run)
    held = newest_revision(site, study_key)
    with site.zone("raw").draft() as draft:
        folder = draft / "instances"
        folder.mkdir()
        before = link_held(site, held, folder) if held else ()
        kept = [entry for series in before for entry in series.instances]
        for path, (entry, _) in zip(paths, arrived, strict=True):
            link_file(path, folder / entry.path)
        admission = admit(kept, (entry for entry, _ in arrived))
        quarantine_collisions(site, study_key, admission.collisions, folder, stage="receive")
        if held and len(admission.accepted) == len(kept):
            return held.digest, "unchanged", admission
        manifest = make_manifest(
            study_key,
            identity.StudyInstanceUID,
            admission.accepted,
            list(_refs(arrived, before)),
            before,
            completeness="quiet",
        )
        inbox.owe(study_key, manifest.digest)
        publish(site, study_key, manifest, draft, identity, run)
    return manifest.digest, "revised" if held else "new", admission


def _identity(
    site: Site, study_key: str, source: str, arrived: _Arrived, run: RunContext
) -> Identity:
    """Of the study: the vault's where it has one, so that a pulled study keeps its source."""
    first = arrived[0][1]
    if any(site.pseudonyms.study_key(place.StudyInstanceUID) != study_key for _, place in arrived):
        raise ConfigError(
            "the study landed under another project key",
            where=study_key,
            remedy="start the receiver with the key that it landed under",
        )
    date = next((place.StudyDate for _, place in arrived if place.StudyDate), "")
    if site.vault.knows(study_key):
        known = site.vault.open(study_key, purpose="ingest", run=run)
        return replace(known, StudyDate=known.StudyDate or date)
    return Identity(first.StudyInstanceUID, "", "", date, source)


def _refs(arrived: _Arrived, before: Iterable[SeriesManifest]) -> Iterable[InstanceRef]:
    """What landed, as a PACS would list it: a series has one modality.

    What is held already stays in its series, and a UID that came twice in its first.
    """
    modality = {series.SeriesInstanceUID: series.Modality for series in before}
    seen = {entry.SOPInstanceUID for series in before for entry in series.instances}
    for entry, place in arrived:
        if entry.SOPInstanceUID not in seen:
            seen.add(entry.SOPInstanceUID)
            uid = place.SeriesInstanceUID
            of_series = modality.setdefault(uid, place.Modality)
            yield InstanceRef(entry.SOPInstanceUID, uid, entry.SOPClassUID, of_series)


def _quarantine(site: Site, study_key: str) -> str:
    return site.zone("quarantine").uri(study_key)
