"""hold: what may not be deleted, whatever a policy or a patient asks for."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from sqlalchemy import or_, select, update

from hounsfield.catalog.models import Hold, Study, utc_now
from hounsfield.errors import ConfigError, NotFound
from hounsfield.records import RunContext
from hounsfield.site import Site

__all__ = ["extend_holds", "lift_hold", "set_hold"]

log = logging.getLogger(__name__)


def set_hold(site: Site, subject: str, why: str, *, run: RunContext) -> Hold:
    """Puts a study, or all that is and will be here of a patient, on legal hold.

    One subject may be on several; it is free when the last is lifted. Where the project key was
    rotated, a patient has a pseudonym under each: each gets a hold, to be lifted by itself.

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
    known = site.catalog.all(select(Study).where(named))
    if not known:
        raise NotFound("the catalog knows no such study or patient", where=subject)
    others = _other_names(site, subject, known, run)
    for other in others:
        _hold(site, other, why, run.actor, run)
    return _hold(site, subject, why, run.actor, run)


def extend_holds(site: Site, patient_key: str, names: Collection[str], *, run: RunContext) -> None:
    """Puts what holds a patient on a pseudonym that came after it, of a rotated project key.

    Parameters
    ----------
    names
        The patient's pseudonyms under each version of the key.
    """
    own = {hold.why for hold in site.catalog.holds(patient_key)}
    held = {hold.why: hold.set_by for hold in site.catalog.holds(*names)}
    for why in sorted(held.keys() - own):
        _hold(site, patient_key, why, held[why], run)


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


def _hold(site: Site, subject: str, why: str, set_by: str, run: RunContext) -> Hold:
    site.audit.append(action="hold.set", object=subject, purpose=why, run=run)
    named = or_(Study.study_key == subject, Study.patient_key == subject)
    hold = Hold(subject=subject, why=why, set_by=set_by)
    with site.catalog.write() as session:
        session.add(hold)
        session.execute(update(Study).where(named).values(legal_hold=True))
    log.info("%s is on legal hold %d.", subject, hold.id)
    return hold


def _other_names(site: Site, subject: str, known: Sequence[Study], run: RunContext) -> list[str]:
    """A patient's pseudonyms under the other versions of the key; of a study none."""
    for study in known:
        if study.patient_key == subject and site.vault.knows(study.study_key):
            identity = site.vault.open(study.study_key, purpose="legal hold", run=run)
            names = site.keys.patient_keys(identity.PatientID, identity.IssuerOfPatientID)
            return sorted({*names} - {subject})
    return []


def _check_reason(why: str) -> None:
    if not why.strip():
        raise ConfigError("a legal hold is set and lifted for a reason", where="why")
