"""The catalog's tables: everything searchable, nothing that identifies a patient.

Instances are rows of a manifest beside the data, not rows here: a petabyte has billions.
Dates of studies are the shifted ones, as in the de-identified headers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime, TypeDecorator

__all__ = [
    "GOING",
    "AuditEvent",
    "Base",
    "Delivery",
    "Erasure",
    "Event",
    "GateResult",
    "Hold",
    "Label",
    "OpenMove",
    "Orphan",
    "Prediction",
    "Product",
    "QuarantineItem",
    "Review",
    "Series",
    "Snapshot",
    "SnapshotMember",
    "StorageDay",
    "Study",
    "StudyLock",
    "Tombstone",
    "utc_now",
]


def utc_now() -> datetime:
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC on every database; SQLite forgets the zone, this puts it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: object) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: object) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own form
        str: String(255),
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
    }


class Study(Base):
    """One study: the partition. `state` is the furthest it got."""

    __tablename__ = "studies"

    study_key: Mapped[str] = mapped_column(primary_key=True)
    patient_key: Mapped[str] = mapped_column(index=True)
    project: Mapped[str] = mapped_column(default="default")
    key_version: Mapped[int] = mapped_column(default=1, server_default="1")  # that named it
    source: Mapped[str] = mapped_column(default="")
    region: Mapped[str | None]  # none, as before regions were named: the site's
    state: Mapped[str] = mapped_column(index=True, default="received")
    reason: Mapped[str] = mapped_column(Text, default="")
    modalities: Mapped[str] = mapped_column(default="")
    body_part: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    manufacturer: Mapped[str] = mapped_column(default="")
    study_date: Mapped[str] = mapped_column(String(8), index=True, default="")
    revision: Mapped[str] = mapped_column(String(64), default="")
    series_count: Mapped[int] = mapped_column(default=0)
    instance_count: Mapped[int] = mapped_column(default=0)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    legal_hold: Mapped[bool] = mapped_column(default=False)
    received_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class Series(Base):
    """One de-identified series, with the facts that routing and cohorts ask for."""

    __tablename__ = "series"

    series_key: Mapped[str] = mapped_column(primary_key=True)
    study_key: Mapped[str] = mapped_column(ForeignKey("studies.study_key"), index=True)
    modality: Mapped[str] = mapped_column(String(16), index=True)
    body_part: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    manufacturer: Mapped[str] = mapped_column(default="")
    slice_thickness_mm: Mapped[float | None]
    instance_count: Mapped[int] = mapped_column(default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Product(Base):
    """Something a stage made, content-addressed: one row per (kind, identity)."""

    __tablename__ = "products"
    __table_args__ = (Index("ix_products_study_kind", "study_key", "kind"),)

    product_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    series_key: Mapped[str] = mapped_column(default="")
    kind: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    input_digest: Mapped[str] = mapped_column(String(64), index=True)
    uri: Mapped[str] = mapped_column(Text)
    tier: Mapped[str] = mapped_column(String(32), default="hot")
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    code: Mapped[str] = mapped_column(default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    run_id: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    verified_at: Mapped[datetime | None] = mapped_column(index=True)  # or had its turn, and was not


class OpenMove(Base):
    """A product on its way between two tiers: both may hold it, whole or in part.

    It is written before anything is copied, and goes after the source is deleted.
    """

    __tablename__ = "open_moves"

    product_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str] = mapped_column(String(32))
    target: Mapped[str] = mapped_column(String(32))
    begun_at: Mapped[datetime] = mapped_column(default=utc_now)


class Event(Base):
    """One step of a study's life, as the timeline shows it."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    stage: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(32))
    sentence: Mapped[str] = mapped_column(Text, default="")
    digest: Mapped[str] = mapped_column(String(64), default="")
    version: Mapped[str] = mapped_column(default="")
    seconds: Mapped[float] = mapped_column(default=0.0)
    actor: Mapped[str] = mapped_column(default="")
    dag_id: Mapped[str] = mapped_column(default="")
    run_id: Mapped[str] = mapped_column(default="")
    task_id: Mapped[str] = mapped_column(default="")
    try_number: Mapped[int] = mapped_column(default=1)
    map_index: Mapped[int] = mapped_column(default=-1)
    at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class Prediction(Base):
    """What one model version said about one volume."""

    __tablename__ = "predictions"

    prediction_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    series_key: Mapped[str] = mapped_column(default="")
    model: Mapped[str] = mapped_column(index=True)
    version: Mapped[str]
    role: Mapped[str] = mapped_column(String(16), default="champion")
    volume_digest: Mapped[str] = mapped_column(String(64))
    product_id: Mapped[str] = mapped_column(String(64))
    findings: Mapped[int] = mapped_column(default=0)
    summary: Mapped[str] = mapped_column(Text, default="")
    numbers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seconds: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class Delivery(Base):
    """One result object on its way to one destination. Its UID is ours, derived and keyed.

    Attributes
    ----------
    state
        ``sending``: not acknowledged yet. ``sent``: acknowledged, not proven yet. ``missing``:
        acknowledged, and the proof says that it is not there. ``confirmed``: proven.
        ``refused``: for good, and in quarantine. ``failed``: given up.
    attempts
        How often it was sent.
    trying_since
        When the present row of tries began; none while nobody tries.
    sent_at
        When the destination acknowledged it last.
    proof
        How it was proven: ``commitment`` or ``query``.
    """

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("SOPInstanceUID", "destination"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    SOPInstanceUID: Mapped[str] = mapped_column(String(64), index=True)
    SOPClassUID: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    study_key: Mapped[str] = mapped_column(index=True)
    prediction_id: Mapped[str] = mapped_column(String(64), index=True)
    destination: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default="sending")
    reason: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    trying_since: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    proof: Mapped[str | None] = mapped_column(String(16))


class Label(Base):
    """A reference label of a series, with where it comes from."""

    __tablename__ = "labels"

    label_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    series_key: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    uri: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    source: Mapped[str]
    version: Mapped[str] = mapped_column(default="1")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Snapshot(Base):
    """A frozen training set; the manifest lies in the zone `datasets`.

    Attributes
    ----------
    state
        ``frozen``, or why there is another in its place, such as ``superseded: erasure``.
    successor
        Digest of that other; none where none of its members may be kept.
    """

    __tablename__ = "snapshots"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    uri: Mapped[str] = mapped_column(Text)
    cohort: Mapped[dict[str, Any]] = mapped_column(default=dict)
    members: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(32), default="frozen")
    successor: Mapped[str | None] = mapped_column(String(64))
    mlflow_run_id: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Erasure(Base):
    """A patient's erasure from the asking to the certificate.

    Attributes
    ----------
    state
        ``asked``, ``approved``, ``rejected`` or ``done``.
    plan
        What was found of the patient: it only grows, so that who comes after a kill knows what
        was here.
    certificate
        Where it lies; empty until it is done.
    """

    __tablename__ = "erasures"

    erasure_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    patient_key: Mapped[str] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(String(16), default="asked")
    why: Mapped[str] = mapped_column(Text)
    requested_by: Mapped[str]
    plan: Mapped[dict[str, Any]] = mapped_column(default=dict)
    approved_by: Mapped[str] = mapped_column(default="")
    approved_why: Mapped[str] = mapped_column(Text, default="")
    certificate: Mapped[str] = mapped_column(Text, default="")
    asked_at: Mapped[datetime] = mapped_column(default=utc_now)
    decided_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]


class SnapshotMember(Base):
    """One volume in one snapshot: where a question of lineage or erasure begins."""

    __tablename__ = "snapshot_members"

    snapshot: Mapped[str] = mapped_column(ForeignKey("snapshots.digest"), primary_key=True)
    volume_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    series_key: Mapped[str]
    split: Mapped[str] = mapped_column(String(16))


class StorageDay(Base):
    """What lay in a tier on one day, of one project and modality: what costs are counted from.

    `tier` is also ``copy of`` one, ``waiting`` or ``quarantine``.
    """

    __tablename__ = "storage_days"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)  # 2026-03-31, UTC
    tier: Mapped[str] = mapped_column(String(32), primary_key=True)
    project: Mapped[str] = mapped_column(primary_key=True)
    modality: Mapped[str] = mapped_column(primary_key=True)
    products: Mapped[int] = mapped_column(default=0)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)


class Orphan(Base):
    """What the last look found to be in a place without a row, or in the catalog without bytes.

    Attributes
    ----------
    what
        ``product``: a whole one that no row names. ``files``: what is neither a product nor in
        quarantine. ``row``: the catalog names it, and it is not there. ``going``: it is hidden,
        and its deletion not finished: an object lock keeps it, or a kill cut it short.
    """

    __tablename__ = "orphans"

    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str]
    uri: Mapped[str] = mapped_column(Text)
    what: Mapped[str] = mapped_column(String(16))
    files: Mapped[int] = mapped_column(default=0)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    seen_at: Mapped[datetime] = mapped_column(default=utc_now)


class QuarantineItem(Base):
    """Something refused, why, and where its bytes are kept (zone `quarantine` or `raw`).

    Attributes
    ----------
    source
        Which one was asked; what it said, another cannot take back. Empty: none was.
    """

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("study_key", "code", "digest", "source"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    stage: Mapped[str] = mapped_column(String(32))
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64), default="")
    uri: Mapped[str] = mapped_column(Text, default="")
    source: Mapped[str] = mapped_column(default="")
    resolved: Mapped[bool] = mapped_column(default=False)
    at: Mapped[datetime] = mapped_column(default=utc_now)


class GateResult(Base):
    """What the release gate found in one candidate: kinds and places, never a value.

    `product_id` and `digest` name what was looked at, so that nothing else is released by it.
    """

    __tablename__ = "gate_results"

    result_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    product_id: Mapped[str] = mapped_column(String(64), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(String(16))
    findings_digest: Mapped[str] = mapped_column(String(64))
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    run_id: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(default=utc_now)


class Review(Base):
    """A question to a person about one candidate, and the answer.

    `state` is open, released, masked or rejected. `masks` are the regions that the reviewer
    asked for; `pictures` is the product in the zone `review` that the page shows meanwhile.
    """

    __tablename__ = "reviews"

    review_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    product_id: Mapped[str] = mapped_column(String(64), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    findings_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default="open")
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    pictures: Mapped[str] = mapped_column(String(64), default="")
    masks: Mapped[list[Any]] = mapped_column(JSON, default=list)
    reviewer: Mapped[str] = mapped_column(default="")
    why: Mapped[str] = mapped_column(Text, default="")
    dag_id: Mapped[str] = mapped_column(default="")
    run_id: Mapped[str] = mapped_column(default="")
    opened_at: Mapped[datetime] = mapped_column(default=utc_now)
    decided_at: Mapped[datetime | None]


class Hold(Base):
    """A legal hold on a study or on all of a patient's: what it names is not deleted.

    Attributes
    ----------
    subject
        A study key or a patient key.
    lifted_at
        None while it stands.
    """

    __tablename__ = "holds"

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(index=True)
    why: Mapped[str] = mapped_column(Text)
    set_by: Mapped[str]
    set_at: Mapped[datetime] = mapped_column(default=utc_now)
    lifted_by: Mapped[str] = mapped_column(default="")
    lifted_why: Mapped[str] = mapped_column(Text, default="")
    lifted_at: Mapped[datetime | None]


class Tombstone(Base):
    """What was deleted, why, by which rule, and who approved it.

    It is written before the bytes go, and closed when they are gone: one that is open is of a
    deletion that was cut short, and the same deletion goes on with it.

    Attributes
    ----------
    product_id
        Empty for what was no product: instances that waited, pages, rows.
    rule
        The policy or the step that asked for it.
    approved_by
        Who said yes; empty where the rule asks nobody.
    case
        The erasure that it was part of.
    """

    __tablename__ = "tombstones"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_key: Mapped[str] = mapped_column(index=True)
    product_id: Mapped[str] = mapped_column(String(64), index=True, default="")
    kind: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64), default="")
    uri: Mapped[str] = mapped_column(Text)
    tier: Mapped[str] = mapped_column(String(32), default="")
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    rule: Mapped[str]
    why: Mapped[str] = mapped_column(Text)
    approved_by: Mapped[str] = mapped_column(default="")
    case: Mapped[str] = mapped_column(String(64), index=True, default="")
    actor: Mapped[str] = mapped_column(default="")
    run_id: Mapped[str] = mapped_column(default="")
    begun_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    deleted_at: Mapped[datetime | None]


#: Products whose deletion was begun, and not finished: by a kill, or for an object lock.
GOING: Final = select(Tombstone.product_id).where(Tombstone.deleted_at.is_(None))


class StudyLock(Base):
    """Held while order matters; a holder that died lets go when it expires."""

    __tablename__ = "study_locks"

    study_key: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]


class AuditEvent(Base):
    """One access to PHI, or one decision; `hash` chains each row to the one before."""

    __tablename__ = "audit_events"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str]
    action: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(index=True)
    purpose: Mapped[str] = mapped_column(Text)
    run: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
