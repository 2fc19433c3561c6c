"""supersede: a snapshot that may not be trained on any more, and the one that takes its place."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, update

from hounsfield.catalog.models import Snapshot, SnapshotMember, Tombstone
from hounsfield.datasets import keep_snapshot, load_snapshot
from hounsfield.errors import NotFound
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, bury
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.snapshot import tell_tracker

__all__ = ["supersede"]


def supersede(
    site: Site,
    digest: str,
    studies: Collection[str],
    state: str,
    grounds: Grounds,
    *,
    run: RunContext,
) -> str:
    """Freezes a snapshot once more without some studies, and takes its own manifest away.

    Who stays keeps the split that was frozen, so nobody who was trained on is tested on. Killed
    at any point it is done again: the successor first, the old manifest after it, and last the
    rows by which it is found that there is something to do.

    Parameters
    ----------
    state
        What the old one is then, such as ``superseded: erasure``.

    Returns
    -------
    str
        The successor's digest; empty where nobody stays.

    Raises
    ------
    NotFound
        If there is no such snapshot.
    """
    with site.catalog.read() as session:
        row = session.get(Snapshot, digest)
    if row is None:
        raise NotFound("there is no snapshot of this digest", where=digest[:12])
    successor = row.successor or ""
    if row.state == "frozen":
        successor = _succeed(site, digest, studies, grounds, run)
        change = update(Snapshot).where(Snapshot.digest == digest)
        with site.catalog.write() as session:
            session.execute(change.values(state=state, successor=successor or None))
    _retire(site, row, state, successor, grounds, run)
    with site.catalog.write() as session:
        session.execute(
            delete(SnapshotMember).where(
                SnapshotMember.snapshot == digest, SnapshotMember.study_key.in_(studies)
            )
        )
    return successor


def _succeed(
    site: Site, digest: str, studies: Collection[str], grounds: Grounds, run: RunContext
) -> str:
    kept = load_snapshot(site, digest).without(studies)
    if not kept.members:
        return ""
    keep_snapshot(site, kept, purpose=grounds.rule, run=run)
    tell_tracker(site, kept, kept.cohort.to_dict())
    return kept.digest


def _retire(
    site: Site, row: Snapshot, state: str, successor: str, grounds: Grounds, run: RunContext
) -> None:
    """The manifest names its members: it goes from the zone, and from MLflow."""
    tracker_of(site).retire_snapshot(row.digest, state, successor)
    zone, relative = site.locate(row.uri)
    files = zone.files(relative)
    if files:
        stone = Tombstone(
            study_key="",
            product_id=row.digest,
            kind="snapshot",
            digest=row.digest,
            uri=row.uri,
            bytes=sum(files.values()),
            actor=run.actor,
            run_id=run.run_id,
        )
        bury(site, stone, lambda: zone.purge(relative), grounds)
