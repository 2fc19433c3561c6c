"""receive: what a modality or PACS pushes to us becomes a revision, and Airflow is told.

A push has no list to be held against: a study is taken as it is when nothing more has come
for a while, so its manifest says ``quiet`` where that of a pull says ``confirmed``. Where its
source can be asked, and lists no more, `ingest` has the catalog say so later. What comes later
makes a new revision.
"""

from __future__ import annotations

import gc
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hounsfield.catalog.models import QuarantineItem
from hounsfield.errors import (
    HounsfieldError,
    IncompleteStudy,
    IntegrityError,
    InternalError,
    PermanentError,
    UnreadableFile,
)
from hounsfield.pacs import InstanceRef
from hounsfield.pacs.commit import report_handlers
from hounsfield.pacs.commitment import CommitmentScp
from hounsfield.pacs.counters import Tally, telling
from hounsfield.pacs.inbox import Inbox, Intake, is_lost, is_sound, sync_tree, unreadable_name
from hounsfield.pacs.place import Place, read_landed
from hounsfield.pacs.receive import encodings_of, listening, unheard
from hounsfield.pacs.workers import Workers, check_port
from hounsfield.records import InstanceEntry, RunContext, SeriesManifest, counted
from hounsfield.settings import ReceiverSettings, Settings
from hounsfield.site import Site
from hounsfield.stages.announce import Airflow
from hounsfield.stages.commitments import note_commitment, warn_of_rejected
from hounsfield.stages.holdings import Holdings
from hounsfield.stages.ingest import source_of
from hounsfield.stages.revision import (
    LAYOUT,
    Admission,
    admit,
    alert,
    held_manifest,
    link_file,
    link_held,
    make_manifest,
    newest_revision,
    publish,
    quarantine_collisions,
    revision_id,
)
from hounsfield.stages.step import step
from hounsfield.store.product import file_digest
from hounsfield.vault import Identity

__all__ = ["Receiver", "admit_landed", "announce_owed", "log_to_terminal", "receive"]

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 600.0  # seconds between two tries
_HALF_SECONDS = 3600.0  # after which a half file of a process that died is nobody's

_Arrived = Mapping[Path, tuple[InstanceEntry, Place]]


def receive(
    site: Site,
    settings: ReceiverSettings,
    *,
    airflow: Airflow | None,
    stop: threading.Event,
) -> None:
    """Receives until `stop` is set.

    Parameters
    ----------
    settings
        One receiver at a time has the landing folder that they name.
    airflow
        Whom to tell; None: nobody, till a receiver that knows one is started on this folder.

    Raises
    ------
    ConfigError
        If the site is not set up, or a port or the landing folder cannot be had.
    NotFound
        If configs/sources.yaml names no such source.
    StoreUnavailable
        If the landing folder goes away.
    """
    source = settings.source or next(iter(site.settings.sources), "")
    source_of(site, source)
    site.catalog, site.vault, site.pseudonyms  # noqa: B018 (not set up is said now, not later)
    warn_of_rejected(site, settings)
    tally = Tally()
    with Inbox(settings.landing) as inbox:
        scp = _commitment(site, settings, inbox, tally)
        receiver = Receiver(
            site,
            inbox,
            source,
            airflow,
            settings.quiet_seconds,
            settings.retry_seconds,
            tally=tally,
            encodings=encodings_of(settings),
            commitment=scp,
            remember_days=settings.commitment.remember_days,
        )
        with (
            _doors(site, settings, inbox, tally) as (tallies, mend),
            telling(settings.metrics_port, tallies, _gauges(inbox, scp)),
        ):
            log.info(
                "Listening on port %d as %s; results go to %s.",
                settings.port,
                settings.ae_title,
                source,
            )
            if airflow is None:
                log.warning("HOUNSFIELD_AIRFLOW_URL is not set: nobody is told of studies.")
            while not stop.wait(min(1.0, max(settings.quiet_seconds / 4, 0.05))):
                mend()
                receiver.sweep()


def log_to_terminal() -> None:
    """Our own sentences, on standard error: what libraries say may quote a patient."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("hounsfield")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)


@contextmanager
def _doors(
    site: Site, settings: ReceiverSettings, inbox: Inbox, tally: Tally
) -> Iterator[tuple[Callable[[], Sequence[Tally]], Callable[[], object]]]:
    """Takes instances, here or in processes of their own, while the block lasts.

    Gives all tallies, and what is to be called now and then.
    """
    if settings.processes == 1:
        with _door(site, settings, inbox, tally):
            yield lambda: (tally,), lambda: None
        return
    try:
        check_port((settings.bind, settings.port))
    except OSError as error:
        raise unheard(settings, error) from None
    job = partial(_shared_door, site.settings, settings)
    with Workers(settings.processes, job, module=__name__) as workers:

        def mend() -> None:
            if workers.mend():
                inbox.clear(_HALF_SECONDS)

        yield lambda: (tally, *workers.tallies), mend


@contextmanager
def _shared_door(settings: Settings, door: ReceiverSettings, tally: Tally) -> Iterator[None]:
    """The whole life of a process that only takes instances."""
    log_to_terminal()
    with _door(Site(settings), door, Intake(door.landing), tally, is_shared=True):
        yield


def _door(
    site: Site, settings: ReceiverSettings, intake: Intake, tally: Tally, *, is_shared: bool = False
) -> AbstractContextManager[None]:
    gc.freeze()  # What is here now stays: it need not be looked through with each collection.
    return listening(
        intake,
        settings,
        study_key=_namer(site),
        tally=tally,
        handlers=[
            *_commitment(site, settings, intake, tally).handlers,
            *report_handlers(partial(note_commitment, site)),
        ],
        is_shared=is_shared,
    )


def _namer(site: Site) -> Callable[[str], str]:
    """Study keys; who comes anew stays under the newest, so an answer holds."""

    @lru_cache(maxsize=1024)
    def key(study_instance_uid: str) -> str:
        return site.pseudonyms_of(study_instance_uid).study_key(study_instance_uid)

    return key


def _commitment(
    site: Site, settings: ReceiverSettings, intake: Intake, tally: Tally
) -> CommitmentScp:
    return CommitmentScp(
        intake.root,
        Holdings(site, intake),
        tally,
        ae_title=settings.ae_title,
        peers=settings.commitment.peers,
        give_up_after=settings.commitment.give_up_after_seconds,
    )


def _gauges(inbox: Inbox, commitment: CommitmentScp) -> dict[str, tuple[str, Callable[[], float]]]:
    def share() -> float:
        usage = shutil.disk_usage(inbox.root)
        return usage.used / usage.total

    def waiting() -> int:
        return sum(any((inbox.root / key).glob("*.dcm")) for key in inbox.studies())

    def owed() -> int:
        return sum(inbox.owed(key) is not None for key in inbox.studies())

    return {
        "studies_open": ("Studies of which instances wait in the landing folder.", waiting),
        "studies_owed": ("Studies that Airflow is still to be told of.", owed),
        "disk_used_share": ("Of the disk with the landing folder.", share),
        "commitments_open": (
            "Storage Commitment transactions that are not answered.",
            lambda: len(commitment.transactions.all()),
        ),
    }


@dataclass
class Receiver:
    """Admits studies that are quiet, and announces them; what fails is tried again, later."""

    site: Site
    inbox: Inbox
    source: str
    airflow: Airflow | None
    quiet_seconds: float = 30
    retry_seconds: float = 15
    tally: Tally = field(default_factory=Tally)
    encodings: Mapping[str, str] = field(default_factory=dict)
    commitment: CommitmentScp | None = None
    remember_days: float = 30
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def sweep(self) -> None:
        """One look at the landing folder. Raises nothing, unless that itself is gone."""
        run = RunContext(actor="receiver", run_id=f"receive-{uuid.uuid4().hex}", task_id="receive")
        for study_key in self.inbox.studies():
            self._try(study_key, partial(self._admit, study_key, run))
            if self.airflow is not None:
                telling = partial(self._announce, self.airflow, study_key)
                self._try(f"The telling of {study_key}", telling)
        if self.commitment is not None:
            self._try("The list of commitments", partial(self.commitment.sweep, self._try))

    def _admit(self, study_key: str, run: RunContext) -> None:
        if not self.inbox.is_quiet(study_key, self.quiet_seconds):
            return
        result = admit_landed(
            self.site, self.inbox, study_key, self.source, run=run, encodings=self.encodings
        )
        self.tally.add("duplicates", amount=result["duplicates"])
        self.tally.add("collisions", amount=result["collisions"])
        self.tally.add("damaged", amount=result["refused"])
        self.inbox.known.forget(self.remember_days)
        if self.airflow is None and result["status"] != "unchanged":
            log.warning("Study %s is admitted; nobody was told.", study_key)

    def _announce(self, airflow: Airflow, study_key: str) -> None:
        if self.inbox.owed(study_key):
            # One silence of Airflow's is enough for all: one pause, not one a study.
            tell = partial(announce_owed, self.site, self.inbox, study_key, airflow)
            self._try("Airflow", tell)

    def _try(self, what: str, action: Callable[[], object]) -> None:
        until, pause = self._pauses.get(what, (0.0, self.retry_seconds))
        if time.monotonic() < until:
            return
        try:
            action()
        except HounsfieldError as error:
            log.warning("%s is tried again in %.0f s: %s", what, pause, error)
        except Exception as error:  # its message may quote a patient
            log.error("%s is tried again in %.0f s: %s", what, pause, InternalError.of(error))
        else:
            self._pauses.pop(what, None)
            return
        self._pauses[what] = time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE)


def admit_landed(
    site: Site,
    inbox: Inbox,
    study_key: str,
    source: str,
    *,
    run: RunContext,
    encodings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Makes a revision of what has landed of a study, and empties its landing folder.

    What is damaged, or cannot be read, goes to quarantine, and the study is called incomplete till
    it comes again. Killed at any point, it does the same again: what landed is removed last.

    Parameters
    ----------
    encodings
        Of private transfer syntaxes; see `read_landed`.

    Returns
    -------
    dict
        ``study_key``, ``digest`` of the manifest, ``status``: ``new``, ``revised`` or
        ``unchanged`` (all that landed was here already, or went to quarantine), and how many of
        what landed were ``duplicates``, ``collisions`` and ``refused``.

    Raises
    ------
    StudyLocked
        If another run holds the study just now.
    WrongRegion
        It is pushed to a source of another region than it came into first. It stays landed.
    """
    with (
        step(site, study_key, "receive", run, arrives=True) as record,
        site.catalog.lock(study_key, f"receiver/{inbox.id}"),
    ):
        paths = inbox.landed(study_key)
        arrived, refused = _read(paths, encodings)
        _set_apart(site, inbox, study_key, source, refused)
        digest, status, admission = _revise(site, inbox, study_key, source, arrived, run)
        held = newest_revision(site, study_key)
        for place in (*([held.uri] if held else ()), _quarantine(site, study_key, source)):
            if Path(place).is_dir():  # No object store.
                sync_tree(Path(place))
        inbox.known.note(study_key, [entry.SOPInstanceUID for entry in admission.accepted])
        inbox.remove(study_key, paths)
        record.say(
            f"{counted(len(paths), 'instance')} came by push, then none for a while; "
            f"{admission.duplicates} here already, {len(admission.collisions)} collided, "
            f"{len(refused)} could not be taken in. The study has {len(admission.accepted)} now.",
            digest=digest,
            version=LAYOUT,
        )
        return {
            "study_key": study_key,
            "digest": digest,
            "status": status,
            "duplicates": admission.duplicates,
            "collisions": len(admission.collisions),
            "refused": len(refused),
        }


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


def _read(
    paths: Iterable[Path], encodings: Mapping[str, str] | None
) -> tuple[_Arrived, Mapping[Path, PermanentError]]:
    """What landed, and what of it cannot be taken in, with the reason."""
    arrived, refused = {}, {}
    for path in paths:
        try:
            if not is_sound(path):
                raise IntegrityError(
                    "a landed instance is not what was acknowledged any more: its bytes changed, "
                    "or the disk gives them no more",
                    remedy="look at the disk, and have its sender send it again",
                )
            arrived[path] = read_landed(path, encodings)
        except (IntegrityError, UnreadableFile) as error:
            refused[path] = error
    return arrived, refused


def _set_apart(
    site: Site,
    inbox: Inbox,
    study_key: str,
    source: str,
    refused: Mapping[Path, PermanentError],
) -> None:
    """Keeps what cannot be taken in where a person can look at it.

    It is noted by what it was when it was acknowledged, so that it is known when it comes again.
    """
    for path, error in refused.items():
        uri = _kept_apart(site, study_key, source, path)
        log.error("Study %s: %s", study_key, error)
        site.catalog.quarantine(
            study_key,
            stage="receive",
            code=error.code,
            reason=str(error),
            digest=path.stem,
            uri=uri or str(unreadable_name(path)),
        )
        if not uri:
            inbox.leave(path)
    if refused:
        sentence = (
            f"{counted(len(refused), 'instance')} that came by push, damaged or not to be read, "
            "went to quarantine; the study is incomplete till all of it is sent again."
        )
        alert(site, study_key, "receive", sentence)


def _kept_apart(site: Site, study_key: str, source: str, path: Path) -> str:
    """The URI of a copy in quarantine; empty where the disk does not give what to copy."""
    zone = site.zone("quarantine", site.region_of(study_key, source))
    try:
        relative = f"{study_key}/{file_digest(path)}.dcm"
    except OSError as error:
        if is_lost(error):
            return ""
        raise
    zone.put_file(relative, path, region=site.region_of_source(source))
    return zone.uri(relative)


def _lacks(site: Site, study_key: str, source: str, arrived: _Arrived) -> bool:
    """Whether what is in quarantine has not all come again, sound, or the source told of more."""
    query = select(QuarantineItem).filter_by(study_key=study_key, resolved=False)
    codes = (IntegrityError.code, UnreadableFile.code)
    damaged = query.filter_by(stage="receive").where(QuarantineItem.code.in_(codes))
    apart = site.catalog.all(damaged)
    come = {path.stem: path for path in arrived}
    for item in apart:
        if item.digest in come:
            site.catalog.resolve(study_key, item.code, digest=item.digest)
            unreadable_name(come[item.digest]).unlink(missing_ok=True)
    told = query.filter_by(code=IncompleteStudy.code).where(QuarantineItem.source.in_(("", source)))
    return bool(site.catalog.all(told)) or any(item.digest not in come for item in apart)


def _revise(
    site: Site,
    inbox: Inbox,
    study_key: str,
    source: str,
    arrived: _Arrived,
    run: RunContext,
) -> tuple[str, str, Admission]:
    """Digest, status, and what became of the instances."""
    held = newest_revision(site, study_key)
    if not arrived:
        here = held_manifest(site, held).instances if held else ()
        return held.digest if held else "", "unchanged", Admission(here, 0, ())
    identity = _identity(site, study_key, source, arrived, run)
    is_short = _lacks(site, study_key, identity.source, arrived)
    zone = site.zone("raw", site.region_of(study_key, identity.source))
    zone.admit(site.region_of_source(source))  # More of it may come by another door.
    with zone.draft() as draft:
        folder = draft / "instances"
        folder.mkdir()
        before = link_held(site, held, folder) if held else ()
        kept = [entry for series in before for entry in series.instances]
        for path, (entry, _) in arrived.items():
            link_file(path, folder / entry.path)
        admission = admit(kept, (entry for entry, _ in arrived.values()))
        quarantine_collisions(
            site,
            study_key,
            admission.collisions,
            folder,
            source=identity.source,
            stage="receive",
        )
        if held and len(admission.accepted) == len(kept):
            return held.digest, "unchanged", admission
        manifest = make_manifest(
            study_key,
            identity.StudyInstanceUID,
            admission.accepted,
            list(_refs(arrived, before)),
            before,
            completeness="incomplete" if is_short else "quiet",
        )
        inbox.owe(study_key, manifest.digest)
        publish(site, study_key, manifest, draft, identity, run)
    return manifest.digest, "revised" if held else "new", admission


def _identity(
    site: Site, study_key: str, source: str, arrived: _Arrived, run: RunContext
) -> Identity:
    """Of the study: the vault's where it has one, so that a pulled study keeps its source."""
    places = [place for _, place in arrived.values()]
    for place in places:
        site.keys.that_made(study_key, place.StudyInstanceUID)
    date = next((place.StudyDate for place in places if place.StudyDate), "")
    if site.vault.knows(study_key):
        known = site.vault.open(study_key, purpose="ingest", run=run)
        return replace(known, StudyDate=known.StudyDate or date)
    return Identity(places[0].StudyInstanceUID, "", "", date, source)


def _refs(arrived: _Arrived, before: Iterable[SeriesManifest]) -> Iterable[InstanceRef]:
    """What landed, as a PACS would list it: a series has one modality.

    What is held already stays in its series, and a UID that came twice in its first.
    """
    modality = {series.SeriesInstanceUID: series.Modality for series in before}
    seen = {entry.SOPInstanceUID for series in before for entry in series.instances}
    for entry, place in arrived.values():
        if entry.SOPInstanceUID not in seen:
            seen.add(entry.SOPInstanceUID)
            uid = place.SeriesInstanceUID
            of_series = modality.setdefault(uid, place.Modality)
            yield InstanceRef(entry.SOPInstanceUID, uid, entry.SOPClassUID, of_series)


def _quarantine(site: Site, study_key: str, source: str) -> str:
    return site.zone("quarantine", site.region_of(study_key, source)).uri(study_key)
