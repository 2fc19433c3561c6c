"""snapshot: freeze a training set, and tell MLflow."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import update

from hounsfield.catalog.models import Snapshot
from hounsfield.datasets import Cohort, Fractions, SnapshotManifest, freeze
from hounsfield.datasets.cohort import PHANTOMS
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.phantoms import LABEL_KIND, make_phantoms

__all__ = ["phantom_snapshot", "profile_tag", "snapshot", "tell_tracker"]

log = logging.getLogger(__name__)


def snapshot(
    site: Site, *, name: str, cohort: dict[str, Any], seed: int = 0, run: RunContext
) -> dict[str, Any]:
    """Freezes what a cohort holds now; the same cohort on the same data is the same snapshot.

    Returns
    -------
    dict
        ``name``, ``digest``, ``members`` and ``splits`` (volumes by split).

    Raises
    ------
    ConfigError
        If the cohort names an unknown key.
    NotFound
        If nothing fits it.
    """
    manifest = freeze(
        site, name=name, cohort=Cohort.from_dict(cohort), seed=seed, fractions=Fractions(), run=run
    )
    tell_tracker(site, manifest, cohort)
    counts = _counts(manifest)
    log.info(
        "Snapshot %s (%s) holds %d volumes: %s.",
        manifest.name,
        manifest.digest[:12],
        len(manifest.members),
        counts,
    )
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "members": len(manifest.members),
        "splits": counts,
    }


def tell_tracker(site: Site, manifest: SnapshotManifest, cohort: dict[str, Any]) -> None:
    """Makes the snapshot a dataset of MLflow's, once, and notes its run in the catalog."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "manifest.json"
        path.write_text(json.dumps(manifest.to_dict(), indent=1))
        run_id = tracker_of(site).log_snapshot(
            manifest.name,
            manifest.digest,
            path,
            members=len(manifest.members),
            cohort=cohort,
            counts=_counts(manifest),
            tags=profile_tag(manifest),
        )
    with site.catalog.write() as session:
        session.execute(
            update(Snapshot).where(Snapshot.digest == manifest.digest).values(mlflow_run_id=run_id)
        )


def profile_tag(manifest: SnapshotManifest) -> dict[str, str]:
    """The digests of the de-identification profiles behind a snapshot, as MLflow's tag."""
    digests = " ".join(manifest.profile_digests)
    return {"deid_profile_digest": digests} if digests else {}


def _counts(manifest: SnapshotManifest) -> dict[str, int]:
    return dict(Counter(member.split for member in manifest.members))


def phantom_snapshot(site: Site, *, count: int, seed: int, run: RunContext) -> dict[str, Any]:
    """Makes the demonstration's training set and freezes it."""
    make_phantoms(site, count=count, seed=seed, run=run)
    cohort = {"project": PHANTOMS, "modality": "CT", "label": LABEL_KIND}
    return snapshot(site, name="phantom chests", cohort=cohort, seed=seed, run=run)
