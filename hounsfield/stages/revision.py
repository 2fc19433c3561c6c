"""Revisions: what the raw zone holds of a study, one whole state after the other.

Both doors, the pull from a PACS and the push to the receiver, end here.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hounsfield.catalog.models import Event, Product, Study
from hounsfield.deid import own_identity, patient_identity
from hounsfield.dicom.reading import read_beginning
from hounsfield.errors import ContentCollision, NotFound, UnreadableFile
from hounsfield.pacs import InstanceRef
from hounsfield.provenance import product_id
from hounsfield.records import (
    Completeness,
    InstanceEntry,
    RunContext,
    SeriesManifest,
    StudyManifest,
    counted,
)
from hounsfield.site import Site
from hounsfield.stages.hold import extend_holds
from hounsfield.store import seal
from hounsfield.vault import Identity

__all__ = [
    "LAYOUT",
    "Admission",
    "admit",
    "alert",
    "enrol",
    "held_manifest",
    "link_file",
    "link_held",
    "make_manifest",
    "newest_revision",
    "patient_of",
    "publish",
    "quarantine_collisions",
    "raw_manifest",
    "revision_id",
]

log = logging.getLogger(__name__)

#: How studies are laid out in the raw zone; raised when that changes.
LAYOUT = "raw/1"
#: A Code String (PS3.5 Table 6.2-1), in small letters too.
_CODE = re.compile(r"[A-Za-z0-9_ ]{1,16}")
_ROOM = 255  # characters of the catalog's column


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


def raw_manifest(folder: Path) -> StudyManifest:
    """The manifest of a revision in the raw zone."""
    return StudyManifest.from_dict(json.loads((folder / "manifest.json").read_bytes()))


def newest_revision(site: Site, study_key: str) -> Product | None:
    """The newest revision of a study, if there is any."""
    try:
        return site.catalog.latest(study_key, "raw")
    except NotFound:
        return None


def revision_id(digest: str) -> str:
    """The product that the revision with this manifest digest is."""
    return product_id("raw", digest, LAYOUT, {})


def publish(
    site: Site,
    study_key: str,
    manifest: StudyManifest,
    draft: Path,
    identity: Identity,
    run: RunContext,
) -> None:
    """Makes a draft the newest revision: raw zone first, then vault, the catalog last.

    Parameters
    ----------
    draft
        Of the raw zone, with the folder ``instances`` that the manifest lists.
    identity
        Patient and issuer are filled in from the instances.
    """
    region = site.region_of(study_key, identity.source)
    zone = site.zone("raw", region)
    relative = f"{study_key}/{manifest.digest[:16]}"
    (draft / "manifest.json").write_text(json.dumps(manifest.to_dict(), indent=1))
    identity_of_product = revision_id(manifest.digest)
    product = seal(
        draft,
        product_id=identity_of_product,
        kind="raw",
        study_key=study_key,
        detail={},
        region=region,
    )
    patient = patient_of(draft / "instances", manifest)
    zone.commit(draft, relative)
    site.catalog.put(
        enrol(site, manifest, patient, identity, run=run, state="received"),
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


def enrol(
    site: Site,
    manifest: StudyManifest,
    patient: tuple[str, str],
    identity: Identity,
    *,
    run: RunContext,
    state: str,
) -> Study:
    """Tells the vault whose study it is, and gives its row for the catalog.

    Parameters
    ----------
    state
        ``received``, or ``quarantined`` for what is here of a study that has no revision yet.
    """
    patient_id, issuer = patient
    names = site.keys.that_made(manifest.study_key, manifest.StudyInstanceUID)
    patient_key = names.patient_key(patient_id, issuer)
    known = replace(identity, PatientID=patient_id, IssuerOfPatientID=issuer)
    site.vault.put(manifest.study_key, patient_key, known, run=run)
    held = site.keys.patient_keys(patient_id, issuer)
    with suppress(NotFound):  # Its patient has another pseudonym once an image names the issuer.
        held.append(site.catalog.study(manifest.study_key).patient_key)
    extend_holds(site, patient_key, held, run=run)
    return Study(
        study_key=manifest.study_key,
        patient_key=patient_key,
        project=site.settings.site.project,
        key_version=names.version,
        source=identity.source,
        region=site.region_of(manifest.study_key, identity.source),
        state=state,
        reason="",
        legal_hold=bool(site.catalog.holds(manifest.study_key, patient_key)),
        modalities=_modalities(manifest),
        revision=manifest.digest if state == "received" else "",
        series_count=len(manifest.series),
        instance_count=len(manifest.instances),
        bytes=sum(entry.size for entry in manifest.instances),
    )


def _modalities(manifest: StudyManifest) -> str:
    """For the catalog, which has room for codes: a sender may have written anything there."""
    found = {series.Modality for series in manifest.series if _CODE.fullmatch(series.Modality)}
    return "/".join(sorted(found))[:_ROOM]


def make_manifest(
    study_key: str,
    study_instance_uid: str,
    entries: Sequence[InstanceEntry],
    listed: Sequence[InstanceRef],
    before: Sequence[SeriesManifest],
    *,
    completeness: Completeness = "confirmed",
) -> StudyManifest:
    """Groups the instances by the series that they are `listed` in.

    What is listed no more since the revision `before` stays in its series.

    Parameters
    ----------
    completeness
        What the manifest says of it.
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
        completeness=completeness,
    )


def held_manifest(site: Site, held: Product) -> StudyManifest:
    """The manifest of a revision, without its instances."""
    zone, relative = site.locate(held.uri)
    return StudyManifest.from_dict(json.loads(zone.read_file(relative, "manifest.json")))


def link_held(site: Site, held: Product, folder: Path) -> tuple[SeriesManifest, ...]:
    """Takes over the instances of the newest revision; links cost no space on one disk."""
    zone, relative = site.locate(held.uri)
    with zone.open(relative) as revision:
        manifest = raw_manifest(revision)
        for entry in manifest.instances:
            link_file(revision / "instances" / entry.path, folder / entry.path)
    return manifest.series


def link_file(source: Path, target: Path) -> None:
    """Gives a file a second name, or a copy where that cannot be; one that is there stays."""
    if target.exists():  # A copy would write through a link into the revision that it is of.
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def quarantine_collisions(
    site: Site,
    study_key: str,
    collisions: Sequence[InstanceEntry],
    folder: Path,
    *,
    source: str,
    stage: str = "ingest",
) -> None:
    """Keeps the second content of a UID, out of the study, where a person can compare."""
    region = site.region_of(study_key, source)
    zone = site.zone("quarantine", region)
    for entry in collisions:
        path = folder / entry.path
        zone.put_file(f"{study_key}/{entry.path}", path, region=region)
        path.unlink(missing_ok=True)  # The second content may come twice, too.
        log.warning("Study %s: one SOPInstanceUID came with two contents.", study_key)
        site.catalog.quarantine(
            study_key,
            stage=stage,
            code=ContentCollision.code,
            reason="one SOPInstanceUID came with two contents: the first is used, this is kept",
            digest=entry.sha256,
            uri=zone.uri(f"{study_key}/{entry.path}"),
            arrives=True,
        )
    if collisions:
        sentence = "came with two contents; the second of each is in quarantine."
        alert(site, study_key, stage, f"{counted(len(collisions), 'UID')} {sentence}")


def alert(site: Site, study_key: str, stage: str, sentence: str) -> None:
    """Into the study's timeline, where who looks at it sees it."""
    event = Event(
        study_key=study_key,
        stage=stage,
        state="alert",
        sentence=sentence,
        actor="hounsfield",
    )
    with site.catalog.write() as session:
        session.add(event)


def patient_of(folder: Path, manifest: StudyManifest) -> tuple[str, str]:
    """PatientID and its issuer, as de-identification takes them: by all that read together."""
    headers = []
    for entry in manifest.instances:
        with suppress(UnreadableFile):
            headers.append(read_beginning(folder / entry.path, "StudyInstanceUID"))
    if headers:
        named = {patient for patient in map(own_identity, headers) if patient[0]}
        return patient_identity(headers[0], named)
    # No file reads: validation will refuse the study, which then is its own patient.
    return f"study {manifest.StudyInstanceUID}", ""
