"""ingest: from the PACS to the raw zone, byte for byte, whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hounsfield.catalog.models import Product, Study
from hounsfield.deid import patient_identity
from hounsfield.dicom.reading import read_header
from hounsfield.errors import ContentCollision, NotFound, PacsUnavailable, UnreadableFile
from hounsfield.pacs import DimseClient, DimsePeer, InstanceRef, PacsClient, StudyFilter, Window
from hounsfield.provenance import product_id
from hounsfield.records import InstanceEntry, RunContext, SeriesManifest, StudyManifest
from hounsfield.settings import SourceSettings
from hounsfield.site import Site
from hounsfield.stages.step import step
from hounsfield.store import seal
from hounsfield.vault import Identity

__all__ = ["Admission", "admit", "client_of", "find_studies", "raw_manifest", "retrieve_study"]

log = logging.getLogger(__name__)

#: How studies are laid out in the raw zone; raised when that changes.
LAYOUT = "raw/1"


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of the instances that came.

    Attributes
    ----------
    accepted
        One entry per SOPInstanceUID: the first content that came.
    duplicates
        How many came again with the same content.
    collisions
        Entries whose SOPInstanceUID was there already, with other content.
    """

    accepted: tuple[InstanceEntry, ...]
    duplicates: int
    collisions: tuple[InstanceEntry, ...]


def admit(held: Iterable[InstanceEntry], arrived: Iterable[InstanceEntry]) -> Admission:
    """Sorts what arrived against what is held: new, the same again, or in conflict."""
    known = {entry.SOPInstanceUID: entry for entry in held}
    duplicates = 0
    collisions = []
    for entry in arrived:
        first = known.setdefault(entry.SOPInstanceUID, entry)
        if first is entry:
            continue
        if first.sha256 == entry.sha256:
            duplicates += 1
        else:
            collisions.append(entry)
    return Admission(tuple(known.values()), duplicates, tuple(collisions))


def client_of(source: SourceSettings) -> PacsClient:
    """The client that speaks with a source."""
    return DimseClient(DimsePeer.from_dict(source.peer))


def find_studies(
    site: Site, source: str, start: datetime, end: datetime, *, run: RunContext
) -> list[str]:
    """Asks a source for the studies of a window and gives their keys.

    The original UIDs go into the vault, so that only keys travel on.

    Parameters
    ----------
    start, end
        Aware datetimes; the window is half open.

    Raises
    ------
    NotFound
        If configs/sources.yaml names no such source.
    PacsUnavailable
        If the source does not answer.
    """
    settings = _source(site, source)
    window = Window.of(start, end, settings.timezone)
    filters = StudyFilter(modalities=frozenset(settings.modalities))
    keys = []
    for entry in client_of(settings).find_studies(window, filters):
        key = site.pseudonyms.study_key(entry.StudyInstanceUID)
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


def retrieve_study(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """Brings one study into the raw zone, as a revision that is whole.

    Only instances that no earlier revision holds are fetched. The study is complete when what
    is here equals what the PACS lists; till then the error is transient.

    Returns
    -------
    dict
        ``study_key``, ``digest`` of the manifest, and ``status``: ``new``, ``revised`` (more
        came than was held) or ``unchanged``.
    """
    with (
        step(site, study_key, "ingest", run) as record,
        site.catalog.lock(study_key, f"{run.run_id}/{run.task_id}/{run.map_index}"),
    ):
        identity = site.vault.open(study_key, purpose="ingest", run=run)
        client = client_of(_source(site, identity.source))
        listed = client.find_instances(identity.StudyInstanceUID)
        if not listed:
            raise PacsUnavailable(
                "the PACS lists no instance of the study", where=study_key, remedy="is it moving?"
            )
        held = _newest_revision(site, study_key)
        if held is not None and _holds(site, held, listed):
            record.say(f"The {len(listed)} instances that the PACS lists are here already.")
            return {"study_key": study_key, "digest": held.digest, "status": "unchanged"}
        manifest, admission = _fetch(site, study_key, identity, listed, held, run)
        record.say(
            f"Received {len(manifest.instances)} instances in {len(manifest.series)} series, as "
            f"many as the PACS lists; {admission.duplicates} came twice, "
            f"{len(admission.collisions)} collided.",
            digest=manifest.digest,
            version=LAYOUT,
        )
        status = "revised" if held else "new"
        return {"study_key": study_key, "digest": manifest.digest, "status": status}


def raw_manifest(folder: Path) -> StudyManifest:
    """The manifest of a revision in the raw zone."""
    return StudyManifest.from_dict(json.loads((folder / "manifest.json").read_bytes()))


def _fetch(
    site: Site,
    study_key: str,
    identity: Identity,
    listed: Sequence[InstanceRef],
    held: Product | None,
    run: RunContext,
) -> tuple[StudyManifest, Admission]:
    """Fetches what is missing, and publishes all as the next revision."""
    zone = site.zone("raw")
    with zone.draft() as draft:
        folder = draft / "instances"
        folder.mkdir()
        before = _link_held(site, held, folder) if held else ()
        kept = [entry for series in before for entry in series.instances]
        wanted = {ref.SOPInstanceUID for ref in listed}
        missing = wanted - {entry.SOPInstanceUID for entry in kept}
        client = client_of(_source(site, identity.source))
        report = client.fetch_study(identity.StudyInstanceUID, folder, only=missing)
        if report.missing:
            raise PacsUnavailable(
                f"{len(report.missing)} of {report.requested} instances did not arrive",
                where=study_key,
                remedy="the next try asks for them again",
            )
        admission = admit(kept, report.entries)
        _quarantine_collisions(site, study_key, admission.collisions, folder)
        manifest = _manifest(
            study_key, identity.StudyInstanceUID, admission.accepted, listed, before
        )
        (draft / "manifest.json").write_text(json.dumps(manifest.to_dict(), indent=1))
        _publish(site, study_key, manifest, draft, identity, run)
    return manifest, admission


def _publish(
    site: Site,
    study_key: str,
    manifest: StudyManifest,
    draft: Path,
    identity: Identity,
    run: RunContext,
) -> None:
    zone = site.zone("raw")
    relative = f"{study_key}/{manifest.digest[:16]}"
    identity_of_product = product_id("raw", manifest.digest, LAYOUT, {})
    product = seal(
        draft, product_id=identity_of_product, kind="raw", study_key=study_key, detail={}
    )
    patient_id, issuer = _patient(draft / "instances", manifest)
    zone.commit(draft, relative)
    patient_key = site.pseudonyms.patient_key(patient_id, issuer)
    known = replace(identity, PatientID=patient_id, IssuerOfPatientID=issuer)
    site.vault.put(study_key, patient_key, known, run=run)
    site.catalog.put(
        Study(
            study_key=study_key,
            patient_key=patient_key,
            project=site.settings.site.project,
            source=identity.source,
            state="received",
            reason="",
            modalities="/".join(sorted({series.Modality for series in manifest.series})),
            revision=manifest.digest,
            series_count=len(manifest.series),
            instance_count=len(manifest.instances),
            bytes=sum(entry.size for entry in manifest.instances),
        ),
        Product(
            product_id=identity_of_product,
            study_key=study_key,
            kind="raw",
            digest=manifest.digest,
            input_digest=manifest.digest,
            uri=zone.uri(relative),
            bytes=product.size,
            code=LAYOUT,
            detail={"completeness": manifest.completeness},
            run_id=run.run_id,
        ),
    )


def _patient(folder: Path, manifest: StudyManifest) -> tuple[str, str]:
    """PatientID and its issuer, from the first instance that reads."""
    for entry in manifest.instances:
        try:
            return patient_identity(read_header(folder / entry.path))
        except UnreadableFile:
            continue
    # No file reads: validation will refuse the study, which then is its own patient.
    return f"study {manifest.StudyInstanceUID}", ""


def _manifest(
    study_key: str,
    study_instance_uid: str,
    entries: Sequence[InstanceEntry],
    listed: Sequence[InstanceRef],
    before: Sequence[SeriesManifest],
) -> StudyManifest:
    """Groups the instances by the series that the PACS lists them in.

    What the PACS has lost since the revision `before` stays in its series.
    """
    place = {
        e.SOPInstanceUID: (s.SeriesInstanceUID, s.Modality) for s in before for e in s.instances
    }
    place |= {ref.SOPInstanceUID: (ref.SeriesInstanceUID, ref.Modality) for ref in listed}
    groups: dict[tuple[str, str], list[InstanceEntry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.SOPInstanceUID):
        groups.setdefault(place[entry.SOPInstanceUID], []).append(entry)
    series = [SeriesManifest(uid, modality, tuple(g)) for (uid, modality), g in groups.items()]
    return StudyManifest(
        study_key=study_key,
        StudyInstanceUID=study_instance_uid,
        series=tuple(sorted(series, key=lambda item: item.SeriesInstanceUID)),
    )


def _link_held(site: Site, held: Product, folder: Path) -> tuple[SeriesManifest, ...]:
    """Takes over the instances of the newest revision; links cost no space on one disk."""
    zone, relative = site.locate(held.uri)
    with zone.open(relative) as revision:
        manifest = raw_manifest(revision)
        for entry in manifest.instances:
            source, target = revision / "instances" / entry.path, folder / entry.path
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)
    return manifest.series


def _quarantine_collisions(
    site: Site, study_key: str, collisions: Sequence[InstanceEntry], folder: Path
) -> None:
    """Keeps the second content of a UID, out of the study, where a person can compare."""
    zone = site.zone("quarantine")
    for entry in collisions:
        path = folder / entry.path
        zone.put_file(f"{study_key}/{entry.path}", path)
        path.unlink(missing_ok=True)  # The second content may come twice, too.
        log.warning("Study %s: one SOPInstanceUID came with two contents.", study_key)
        site.catalog.quarantine(
            study_key,
            stage="ingest",
            code=ContentCollision.code,
            reason="one SOPInstanceUID came with two contents: the first is used, this is kept",
            digest=entry.sha256,
            uri=zone.uri(f"{study_key}/{entry.path}"),
        )


def _holds(site: Site, held: Product, listed: Sequence[InstanceRef]) -> bool:
    zone, relative = site.locate(held.uri)
    with zone.open(relative) as revision:
        have = {entry.SOPInstanceUID for entry in raw_manifest(revision).instances}
    return {ref.SOPInstanceUID for ref in listed} <= have


def _newest_revision(site: Site, study_key: str) -> Product | None:
    try:
        return site.catalog.latest(study_key, "raw")
    except NotFound:
        return None


def _source(site: Site, name: str) -> SourceSettings:
    try:
        return site.settings.sources[name]
    except KeyError:
        raise NotFound(f"configs/sources.yaml names no source {name!r}") from None
