"""Freezing: a cohort becomes a manifest that no later study changes."""

from __future__ import annotations

import json
import logging

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError as RowExists

from hounsfield.catalog.models import Label, Product, Series, Snapshot, SnapshotMember, Study
from hounsfield.datasets.cohort import Cohort
from hounsfield.datasets.manifest import Member, SnapshotManifest
from hounsfield.datasets.split import Fractions, split_patients
from hounsfield.errors import IntegrityError, NotFound, WrongRegion
from hounsfield.provenance import code_version
from hounsfield.records import RunContext, canonical_json
from hounsfield.site import Site
from hounsfield.store import Zone, seal

__all__ = ["MANIFEST_NAME", "freeze", "keep_snapshot", "load_snapshot"]

logger = logging.getLogger(__name__)

MANIFEST_NAME = "snapshot.json"

#: Thinner slices than this show small nodules; readers and models treat them apart.
_THIN_MM = 1.5


def freeze(
    site: Site,
    *,
    name: str,
    cohort: Cohort,
    seed: int,
    fractions: Fractions,
    run: RunContext,
) -> SnapshotManifest:
    """Freezes the volumes that the cohort has now.

    The same cohort on the same data is the same snapshot: it is found, not made again, and
    keeps the name that it was first given.

    Raises
    ------
    NotFound
        If no volume of a prepared study fits the cohort, or a patient is erased meanwhile.
    WrongRegion
        If those that fit are of several regions.
    """
    manifest = SnapshotManifest(
        name, cohort, seed, fractions, _members(site, cohort, seed, fractions)
    )
    if not manifest.members:
        raise NotFound(
            "no volume of a prepared study fits the cohort",
            where=name,
            remedy="widen the cohort, or let prepare finish",
        )
    with site.catalog.read() as session:
        known = session.get(Snapshot, manifest.digest)
    if known is not None:
        return load_snapshot(site, manifest.digest)
    keep_snapshot(site, manifest, purpose="training", run=run)
    return manifest


def keep_snapshot(site: Site, manifest: SnapshotManifest, *, purpose: str, run: RunContext) -> None:
    """Publishes a manifest and writes its rows; what is kept already stays as it is."""
    with site.catalog.read() as session:
        if session.get(Snapshot, manifest.digest) is not None:
            return
    _publish(site, manifest, run)
    _write_rows(site, manifest)
    site.audit.append(
        action="snapshot.freeze",
        object=manifest.digest,
        purpose=purpose,
        run=run,
        detail=manifest.name,
    )
    logger.info("Froze snapshot %s: %d volumes.", manifest.digest[:12], len(manifest.members))


def load_snapshot(site: Site, digest: str) -> SnapshotManifest:
    """A frozen snapshot.

    Raises
    ------
    NotFound
        If there is none of this digest.
    IntegrityError
        If its manifest was changed since.
    """
    try:
        with _zone_of(site, digest).open(_place(digest)) as folder:
            manifest = _parse((folder / MANIFEST_NAME).read_bytes())
    except NotFound:
        raise _gone(site, digest) from None
    if manifest is None or manifest.digest != digest:
        raise IntegrityError(
            "the manifest is not the one that was frozen",
            where=f"snapshot {digest[:12]}",
            remedy="restore it from a copy; MLflow keeps one beside the snapshot's run",
        )
    return manifest


def _gone(site: Site, digest: str) -> NotFound:
    with site.catalog.read() as session:
        row = session.get(Snapshot, digest)
    if row is None or row.state == "frozen":
        return NotFound("there is no snapshot of this digest", where=digest[:12])
    remedy = f"train on {row.successor[:12]}, which takes its place" if row.successor else ""
    return NotFound(f"the snapshot is {row.state}", where=digest[:12], remedy=remedy)


def _parse(text: bytes) -> SnapshotManifest | None:
    try:
        return SnapshotManifest.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None


def _members(site: Site, cohort: Cohort, seed: int, fractions: Fractions) -> tuple[Member, ...]:
    labels = _newest_labels(site, cohort)
    with site.catalog.read() as session:
        # A series that came again has several volumes: the newest comes last and stays.
        found = {row[0].series_key: row for row in session.execute(cohort.query())}
    chosen = [
        (series, study, volume)
        for series, study, volume in found.values()
        if cohort.describes(series)
        and cohort.region in ("", study.region or site.settings.site.region)
        and (not cohort.label or series.series_key in labels)
        # Pictures, films, and stacks of uneven steps have no grid to train on.
        and volume.detail.get("regular", True)
    ]
    splits = split_patients((study.patient_key for _, study, _ in chosen), seed, fractions)
    members = (
        _member(series, study, volume, labels.get(series.series_key), splits)
        for series, study, volume in chosen
    )
    return tuple(sorted(members, key=lambda member: (member.volume_digest, member.series_key)))


def _member(
    series: Series, study: Study, volume: Product, label: Label | None, splits: dict[str, str]
) -> Member:
    return Member(
        volume_digest=volume.digest,
        patient_key=study.patient_key,
        study_key=study.study_key,
        series_key=series.series_key,
        split=splits[study.patient_key],
        uri=volume.uri,
        label_digest=label.digest if label else None,
        label_version=label.version if label else None,
        subgroup=_subgroup(series),
        profile_digest=str(volume.detail.get("profile_digest", "")),
    )


def _subgroup(series: Series) -> dict[str, str]:
    thickness = series.slice_thickness_mm
    groups = {
        "manufacturer": series.manufacturer,
        "sex": str(series.facts.get("PatientSex") or ""),
        "slices": "" if thickness is None else "thin" if thickness <= _THIN_MM else "thick",
    }
    return {name: value for name, value in groups.items() if value}


def _newest_labels(site: Site, cohort: Cohort) -> dict[str, Label]:
    """Series → its newest label of the cohort's kind."""
    if not cohort.label:
        return {}
    query = select(Label).where(Label.kind == cohort.label)
    rows = site.catalog.all(query.order_by(Label.created_at, Label.label_id))
    return {row.series_key: row for row in rows}


def _publish(site: Site, manifest: SnapshotManifest, run: RunContext) -> None:
    zone = _zone_for(site, manifest)
    with zone.draft() as draft:
        (draft / MANIFEST_NAME).write_bytes(canonical_json(manifest.to_dict()))
        seal(
            draft,
            product_id=manifest.digest,
            kind="snapshot",
            study_key="",
            detail={
                "code": code_version("hounsfield.datasets"),
                "run": run.to_dict(),
                "profile_digests": manifest.profile_digests,
            },
            region=zone.region,
        )
        zone.commit(draft, _place(manifest.digest))


def _zone_for(site: Site, manifest: SnapshotManifest) -> Zone:
    """In the region that all of its members are of."""
    home = site.settings.site.region
    query = select(Study.study_key, Study.region).where(Study.region.not_in(("", home)))
    with site.catalog.read() as session:
        away = {key: region or home for key, region in session.execute(query)}
    regions = sorted({away.get(member.study_key, home) for member in manifest.members})
    if len(regions) > 1:
        raise WrongRegion(
            f"its studies are of the regions {', '.join(regions)}, and none may leave its own",
            where=f"snapshot {manifest.name}",
            remedy="freeze one of each: give the cohort a region",
        )
    return site.zone("datasets", *regions)


def _zone_of(site: Site, digest: str) -> Zone:
    with site.catalog.read() as session:
        row = session.get(Snapshot, digest)
    return site.locate(row.uri)[0] if row is not None else site.zone("datasets")


def _write_rows(site: Site, manifest: SnapshotManifest) -> None:
    digest = manifest.digest
    row = Snapshot(
        digest=digest,
        name=manifest.name,
        uri=_zone_for(site, manifest).uri(_place(digest)),
        cohort=manifest.cohort.to_dict(),
        members=len(manifest.members),
    )
    members = (
        SnapshotMember(
            snapshot=digest,
            volume_digest=member.volume_digest,
            study_key=member.study_key,
            series_key=member.series_key,
            split=member.split,
        )
        for member in manifest.members
    )
    try:
        site.catalog.put(row, *members)
    except RowExists:
        return  # another run froze the same at the same moment: equal digest, equal rows
    except NotFound:  # The patient of a member was erased since the cohort was asked for.
        _zone_for(site, manifest).purge(_place(digest))
        raise


def _place(digest: str) -> str:
    return f"snapshots/{digest[:16]}"
