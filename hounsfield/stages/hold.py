"""hold: what may not be deleted, whatever a policy or a patient asks for."""

from __future__ import annotations

import logging

from sqlalchemy import or_, select, update

from hounsfield.catalog.models import Hold, Study, utc_now
from hounsfield.errors import ConfigError, NotFound
from hounsfield.records import RunContext
from hounsfield.site import Site

__all__ = ["lift_hold", "set_hold"]

log = logging.getLogger(__name__)


def set_hold(site: Site, subject: str, why: str, *, run: RunContext) -> Hold:
    """Puts a study, or all that is and will be here of a patient, on legal hold.

    One subject may be on several; it is free when the last is lifted.

    Parameters
    ----------
    subject
        A study key or a patient key.
    why
        Such as the matter's number; without any name.

    Raises
    ------
    NotFound
        If the catalog knows no such study or patient.
    ConfigError
        If no reason is given.
    """
    _check_reason(why)
    named = or_(Study.study_key == subject, Study.patient_key == subject)
    if not site.catalog.all(select(Study).where(named).limit(1)):
        raise NotFound("the catalog knows no such study or patient", where=subject)
    site.audit.append(action="hold.set", object=subject, purpose=why, run=run)
    hold = Hold(subject=subject, why=why, set_by=run.actor)
    with site.catalog.write() as session:
        session.add(hold)
        session.execute(update(Study).where(named).values(legal_hold=True))
    log.info("%s is on legal hold %d.", subject, hold.id)
    return hold


def lift_hold(site: Site, number: int, why: str, *, run: RunContext) -> Hold:
    """Lifts one legal hold.

    Raises
    ------
    NotFound
        If no such hold stands.
    ConfigError
        If no reason is given.
    """
    _check_reason(why)
    hold = next((row for row in site.catalog.holds() if row.id == number), None)
    if hold is None:
        raise NotFound(f"no legal hold {number} stands", remedy="hounsfield hold lists them")
    site.audit.append(
        action="hold.lift", object=hold.subject, purpose=why, run=run, detail=f"hold {number}"
    )
    held = select(Hold.subject).where(Hold.lifted_at.is_(None))
    named = or_(Study.study_key == hold.subject, Study.patient_key == hold.subject)
    with site.catalog.write() as session:
        session.execute(
            update(Hold)
            .where(Hold.id == number)
            .values(lifted_by=run.actor, lifted_why=why, lifted_at=utc_now())
        )
        free = (Study.study_key.not_in(held), Study.patient_key.not_in(held))
        session.execute(update(Study).where(named, *free).values(legal_hold=False))
    log.info("Legal hold %d on %s is lifted.", number, hold.subject)
    return hold


def _check_reason(why: str) -> None:
    if not why.strip():
        raise ConfigError("a legal hold is set and lifted for a reason", where="why")
