"""Lineage: from any SR or SEG back to the pixels, from the catalog and the registry.

Each step follows a digest, never a name: a prediction names the digest of the volume it read,
a volume that of the de-identified study, and that one the raw manifest's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from hounsfield.catalog.models import (
    Delivery,
    Prediction,
    Product,
    Snapshot,
    SnapshotMember,
)
from hounsfield.errors import NotFound
from hounsfield.site import Site
from hounsfield.tracking.evidence import (
    Lineage,
    MemberNode,
    ModelNode,
    PredictionNode,
    ProductNode,
    ResultNode,
    SnapshotNode,
)
from hounsfield.tracking.registry import ModelVersion
from hounsfield.tracking.tracker import Tracker

__all__ = ["lineage", "prediction_lineage"]

#: What of a product's detail belongs to its evidence.
_DETAIL = {
    "volume": ("shape", "spacing_zyx", "modality"),
    "deid": ("profile", "profile_digest"),
    "raw": ("completeness",),
}


def lineage(site: Site, sop_instance_uid: str, *, tracker: Tracker | None = None) -> Lineage:
    """What the result object of this UID was made from, all the way.

    Raises
    ------
    NotFound
        If no result of ours bears this SOPInstanceUID.
    """
    query = select(Delivery).where(Delivery.SOPInstanceUID == sop_instance_uid.strip())
    found = site.catalog.all(query)
    if not found:
        raise NotFound(
            "no result of this installation has this SOPInstanceUID",
            remedy="give the SOPInstanceUID of an SR or SEG that hounsfield made",
        )
    prediction_id = found[0].prediction_id
    return _trace(site, prediction_id, tracker, asked=sop_instance_uid.strip())


def prediction_lineage(
    site: Site, prediction_id: str, *, tracker: Tracker | None = None
) -> Lineage:
    """The same from a prediction, whether or not it was delivered.

    Raises
    ------
    NotFound
        If the catalog knows no such prediction.
    """
    return _trace(site, prediction_id, tracker, asked="")


def _trace(site: Site, prediction_id: str, tracker: Tracker | None, *, asked: str) -> Lineage:
    mlflow = site.settings.site.mlflow
    with site.catalog.read() as session:
        row = session.get(Prediction, prediction_id)
    if row is None:
        raise NotFound("the catalog knows no such prediction", where=prediction_id[:12])
    volume = _product(site, row.study_key, "volume", row.volume_digest)
    deid = _product(site, row.study_key, "deid", volume.input_digest if volume else "")
    raw = _product(site, row.study_key, "raw", deid.input_digest if deid else "")
    model, snapshot_digest = _model(tracker or Tracker(mlflow.uri, mlflow.artifacts), row)
    return Lineage(
        asked=asked,
        results=_results(site, prediction_id),
        prediction=_prediction(row),
        volume=_node("volume", volume, row.volume_digest),
        deid=_node("deid", deid, volume.input_digest if volume else ""),
        raw=_node("raw", raw, deid.input_digest if deid else ""),
        model=model,
        snapshot=_snapshot(site, snapshot_digest) if snapshot_digest else None,
    )


def _product(site: Site, study_key: str, kind: str, digest: str) -> Product | None:
    if not digest:
        return None
    query = select(Product).where(
        Product.study_key == study_key, Product.kind == kind, Product.digest == digest
    )
    newest = site.catalog.all(query.order_by(Product.created_at.desc()).limit(1))
    return newest[0] if newest else None


def _node(kind: str, row: Product | None, digest: str) -> ProductNode:
    if row is None:
        return ProductNode(kind, digest, known=False)
    detail: dict[str, Any] = {key: row.detail[key] for key in _DETAIL[kind] if key in row.detail}
    return ProductNode(kind, row.digest, row.code, detail=detail)


def _prediction(row: Prediction) -> PredictionNode:
    return PredictionNode(
        prediction_id=row.prediction_id,
        study_key=row.study_key,
        series_key=row.series_key,
        model=row.model,
        version=row.version,
        role=row.role,
        findings=row.findings,
        numbers=dict(row.numbers),
        created_at=row.created_at.isoformat(timespec="seconds"),
    )


def _results(site: Site, prediction_id: str) -> tuple[ResultNode, ...]:
    query = select(Delivery).where(Delivery.prediction_id == prediction_id).order_by(Delivery.id)
    return tuple(
        ResultNode(row.SOPInstanceUID, row.kind, row.destination, row.state, row.sha256)
        for row in site.catalog.all(query)
    )


def _model(tracker: Tracker, row: Prediction) -> tuple[ModelNode, str]:
    """The version in the registry, and the digest of what it learned from."""
    try:
        version: ModelVersion = tracker.version(row.model, row.version)
    except NotFound:
        return ModelNode(row.model, row.version, known=False), ""
    node = ModelNode(
        name=version.name,
        version=version.version,
        training_run=version.run_id if version.trained else "",
        weights_digest=version.digest,
        bundle_digest=version.tags.get("bundle_digest", ""),
        code_version=version.tags.get("code_version", ""),
    )
    return node, version.snapshot_digest


def _snapshot(site: Site, digest: str) -> SnapshotNode:
    with site.catalog.read() as session:
        row = session.get(Snapshot, digest)
    if row is None:
        return SnapshotNode(digest, known=False)
    query = select(SnapshotMember).where(SnapshotMember.snapshot == digest)
    order = (SnapshotMember.split, SnapshotMember.volume_digest)
    members = tuple(
        MemberNode(m.volume_digest, m.study_key, m.series_key, m.split)
        for m in site.catalog.all(query.order_by(*order))
    )
    return SnapshotNode(digest, row.name, members)
