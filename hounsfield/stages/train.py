"""train: a bundle on a snapshot, judged by subgroup, registered with where it comes from."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hounsfield.catalog.models import Snapshot
from hounsfield.datasets import datalist, load_snapshot
from hounsfield.errors import NotFound
from hounsfield.inference import Datalist, train_bundle
from hounsfield.provenance import bundle_digest, code_version
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.snapshot import profile_tag
from hounsfield.tracking import CHAMPION, SHADOW, folder_digest

__all__ = ["find_snapshot", "is_labelled", "region_of_snapshot", "register_untrained", "train"]

log = logging.getLogger(__name__)


def find_snapshot(site: Site, wanted: str) -> str:
    """The digest of a snapshot, by its digest, by its name, or the newest where none is named.

    Raises
    ------
    NotFound
        If there is none.
    """
    query = select(Snapshot).where(Snapshot.state == "frozen")
    if wanted:
        query = query.where((Snapshot.digest.startswith(wanted)) | (Snapshot.name == wanted))
    rows = site.catalog.all(query.order_by(Snapshot.created_at.desc()).limit(1))
    if not rows:
        raise NotFound(
            "there is no such snapshot", where=wanted[:16], remedy="freeze one: snapshot_dataset"
        )
    return str(rows[0].digest)


def region_of_snapshot(site: Site, wanted: str) -> str:
    """The region that the volumes of a snapshot lie in; it is found as `find_snapshot` does.

    Raises
    ------
    NotFound
        If there is none.
    """
    with site.catalog.read() as session:
        row = session.get_one(Snapshot, find_snapshot(site, wanted))
    zone, _ = site.locate(row.uri)
    return zone.region


def is_labelled(site: Site, snapshot: str) -> bool:
    """Whether any member of a snapshot has a label to learn from."""
    return any(member.label_digest for member in load_snapshot(site, snapshot).members)


def train(
    site: Site,
    *,
    bundle: str,
    snapshot: str,
    seed: int = 0,
    epochs: int | None = None,
    run: RunContext,
) -> dict[str, Any]:
    """Trains a bundle on a frozen snapshot and registers the version.

    The first version of a model becomes its champion, since there is nothing to compare it
    with; a later one becomes the shadow, which runs beside and is only watched.

    Parameters
    ----------
    snapshot
        Its digest.
    epochs
        Instead of the bundle's own number.

    Returns
    -------
    dict
        ``model``, ``version``, ``alias``, ``snapshot``, ``run_id`` and ``metrics``.
    """
    tracker = tracker_of(site)
    folder = site.settings.models / bundle
    tags = {
        "snapshot_digest": snapshot,
        "code_version": code_version("hounsfield.inference"),
        "bundle_digest": folder_digest(folder / "configs"),
        "dag_bundle_digest": bundle_digest(),
        **profile_tag(load_snapshot(site, snapshot)),
    }
    with (
        tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch,
        datalist(site, snapshot, run=run) as lists,
        tracker.training_run(bundle, snapshot, {"seed": seed, "bundle": bundle}) as training,
    ):
        outcome = train_bundle(
            folder,
            Datalist.from_dict(lists),
            Path(scratch),
            seed=seed,
            max_epochs=epochs,
            log=training.metric,
        )
        training.metrics(outcome.flat_metrics())
        training.json("evaluation", outcome.to_dict())
        weights = outcome.weights.parent
        version = tracker.register(
            bundle,
            weights,
            training.run_id,
            tags=tags,
            description="For demonstration. Not for diagnostic use.",
        )
    champion = tracker.resolve(bundle, CHAMPION)
    is_champion = champion is None or champion.version == version.version
    alias = CHAMPION if is_champion else SHADOW
    tracker.set_alias(bundle, alias, version.version)
    log.info("%s is registered as %s, trained on %s.", version.label, alias, snapshot[:12])
    return {
        "model": bundle,
        "version": version.version,
        "alias": alias,
        "snapshot": snapshot,
        "run_id": version.run_id,
        "metrics": outcome.flat_metrics(),
    }


def register_untrained(site: Site) -> list[str]:
    """Registers the bundles that compute what they say; their version is their content."""
    tracker = tracker_of(site)
    tracker.prepare()
    labels = []
    for name in site.settings.bundles(trained=False):
        folder = site.settings.models / name
        version = tracker.register(
            name,
            folder / "configs",
            tags={
                "code_version": code_version("hounsfield.inference"),
                "bundle_digest": folder_digest(folder / "configs"),
            },
            description="Computed, not learned. Not for diagnostic use.",
        )
        tracker.set_alias(name, CHAMPION, version.version)
        labels.append(version.label)
    return labels
