"""remove: takes away what is here of a patient; killed at any point, it is called again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hounsfield.catalog.models import (
    Delivery,
    Event,
    GateResult,
    Label,
    Prediction,
    Product,
    QuarantineItem,
    Review,
    Series,
    SnapshotMember,
    Study,
    Tombstone,
    utc_now,
)
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, bury, check_hold, dispose, past_locks
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.loose import Loose
from hounsfield.stages.traces import Trace, folders_of, forget_instances, traces

__all__ = ["TABLES", "remove_made", "remove_stray", "remove_study"]

#: Rows that tell what was made of a study, in the order in which they may go.
_MADE: Final = (Series, Prediction, Delivery, GateResult, Review, SnapshotMember)
#: And all that tell of it.
TABLES: Final = (*_MADE, QuarantineItem, Event, Study)


def remove_study(
    site: Site, study_key: str, grounds: Grounds, landed: Collection[str], run: RunContext
) -> None:
    """All of one that is the patient's; the vault forgets last.

    Parameters
    ----------
    landed
        As of :func:`hounsfield.stages.traces.traces`.

    Raises
    ------
    OnHold
        If a legal hold came since it was begun.
    ObjectLocked
        If an object lock keeps some. All else is gone by then, but for the rows that lead there
        and what the vault knows: when the lock has ended, the same call ends it.
    """
    check_hold(site, study_key)
    products = select(Product).where(Product.study_key == study_key).order_by(Product.product_id)
    with past_locks() as past:
        for product in site.catalog.all(products):
            with past():
                dispose(site, product, grounds, run=run)
        for trace in list(traces(site, study_key, landed=landed)):
            with past():
                bury(site, _stone(trace, trace.kind, run), trace.remove, grounds)
        for zone in site.places():
            for _, relative in folders_of(zone, study_key):
                with past():
                    zone.purge(relative)  # the empty folders, and old versions
        forget_instances(site, study_key)
        tracker_of(site).forget_predictions(study_key)
    _remove_rows(site, study_key, grounds, run)
    site.vault.forget(study_key, purpose=f"{grounds.rule}: {grounds.why}", run=run)


def remove_made(
    site: Site, study_key: str, valid: Sequence[Product], grounds: Grounds, run: RunContext
) -> None:
    """What was made of the patient in a study that stays, for the instances of others in it.

    The revisions it was made of go last: by them it is known that there is any. What an object
    lock keeps of it, its open tombstones tell.

    Raises
    ------
    ObjectLocked
        If an object lock keeps some. All else is gone by then.
    """
    tracker_of(site).forget_predictions(study_key)
    with site.catalog.write() as session:
        _delete_rows(session, study_key, _MADE)
        told = delete(Event).where(Event.study_key == study_key, Event.stage != "validate")
        session.execute(told)
    for trace in list(traces(site, study_key, landed=())):
        if trace.kind in ("draft", "page"):
            bury(site, _stone(trace, trace.kind, run), trace.remove, grounds)
    made = select(Product).where(Product.study_key == study_key, Product.kind != "raw")
    with past_locks() as past:
        for product in (*site.catalog.all(made.order_by(Product.product_id)), *valid):
            with past():
                dispose(site, product, grounds, run=run)


def remove_stray(site: Site, stray: Loose, grounds: Grounds, run: RunContext) -> None:
    """One instance, out of a study that stays; of one that an object lock keeps, the row, too."""
    with past_locks() as past:
        with past():
            bury(site, _stone(stray, stray.place, run), stray.remove, grounds)
        with site.catalog.write() as session:
            session.execute(delete(QuarantineItem).where(QuarantineItem.uri == stray.uri))


def _stone(what: Trace | Loose, kind: str, run: RunContext) -> Tombstone:
    """Of what is no product."""
    return Tombstone(
        study_key=what.study_key,
        product_id="",
        kind=kind,
        uri=what.uri,
        bytes=what.bytes,
        actor=run.actor,
        run_id=run.run_id,
    )


def _remove_rows(site: Site, study_key: str, grounds: Grounds, run: RunContext) -> None:
    """All rows of a study in one transaction, with the tombstone of the study itself."""
    told = {"study_key": study_key, "kind": "study", "case": grounds.case}
    with site.catalog.write() as session:
        # Who tells of it waits till it is gone.
        session.get(Study, study_key, with_for_update=True)
        _delete_rows(session, study_key, TABLES)
        if session.scalars(select(Tombstone.id).filter_by(**told)).first() is None:
            session.add(
                Tombstone(
                    **told,
                    product_id="",
                    uri="catalog",
                    rule=grounds.rule,
                    why=grounds.why,
                    approved_by=grounds.approved_by,
                    actor=run.actor,
                    run_id=run.run_id,
                    deleted_at=utc_now(),
                )
            )


def _delete_rows(session: Session, study_key: str, tables: Sequence[Any]) -> None:
    series = select(Series.series_key).where(Series.study_key == study_key)
    session.execute(delete(Label).where(Label.series_key.in_(series)))
    for table in tables:
        session.execute(delete(table).where(table.study_key == study_key))
