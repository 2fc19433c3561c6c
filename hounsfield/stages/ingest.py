"""ingest: from the PACS to the raw zone, byte for byte, whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hounsfield.catalog.models import Product
from hounsfield.errors import NotFound, PacsUnavailable
from hounsfield.pacs import InstanceRef, StudyFilter, Window
from hounsfield.pacs.connect import client_of
from hounsfield.records import RunContext, StudyManifest
from hounsfield.settings import SourceSettings
from hounsfield.site import Site
from hounsfield.stages.revision import (
    LAYOUT,
    Admission,
    admit,
    link_held,
    make_manifest,
    newest_revision,
    publish,
    quarantine_collisions,
    raw_manifest,
)
from hounsfield.stages.step import step
from hounsfield.vault import Identity

__all__ = ["client_of", "find_studies", "retrieve_study", "source_of"]

log = logging.getLogger(__name__)


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
    settings = source_of(site, source)
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
        client = client_of(source_of(site, identity.source))
        listed = _not_ours(site, study_key, client.find_instances(identity.StudyInstanceUID))
        if not listed:
            raise PacsUnavailable(
                "the PACS lists no instance of the study", where=study_key, remedy="is it moving?"
            )
        held = newest_revision(site, study_key)
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
        before = link_held(site, held, folder) if held else ()
        kept = [entry for series in before for entry in series.instances]
        wanted = {ref.SOPInstanceUID for ref in listed}
        missing = wanted - {entry.SOPInstanceUID for entry in kept}
        client = client_of(source_of(site, identity.source))
        report = client.fetch_study(identity.StudyInstanceUID, folder, only=missing)
        if report.missing:
            raise PacsUnavailable(
                f"{len(report.missing)} of {report.requested} instances did not arrive",
                where=study_key,
                remedy="the next try asks for them again",
            )
        admission = admit(kept, report.entries)
        quarantine_collisions(site, study_key, admission.collisions, folder)
        manifest = make_manifest(
            study_key, identity.StudyInstanceUID, admission.accepted, listed, before
        )
        publish(site, study_key, manifest, draft, identity, run)
    return manifest, admission


def _holds(site: Site, held: Product, listed: Sequence[InstanceRef]) -> bool:
    zone, relative = site.locate(held.uri)
    with zone.open(relative) as revision:
        have = {entry.SOPInstanceUID for entry in raw_manifest(revision).instances}
    return {ref.SOPInstanceUID for ref in listed} <= have


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


def _not_ours(site: Site, study_key: str, listed: Sequence[InstanceRef]) -> list[InstanceRef]:
    """Without the results that we stored: they are no reason to read the study again."""
    ours = {row.SOPInstanceUID for row in site.catalog.deliveries(study_key)}
    return [ref for ref in listed if ref.SOPInstanceUID not in ours]
