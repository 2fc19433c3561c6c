"""erase: all that is here of a patient, asked for, approved, deleted, proven and certified.

What was found is written down before anything goes, and only grows; each deletion leaves a
tombstone before it begins; the vault forgets last. So an erasure that is killed at any point is
begun again and goes on where it was. What is looked for is in `belongings`, how it goes in
`remove`.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import func, select, update

from hounsfield.catalog.models import (
    Erasure,
    Product,
    Snapshot,
    utc_now,
)
from hounsfield.errors import ConfigError, IntegrityError, NotFound
from hounsfield.evidence import ErasureCertificate
from hounsfield.records import RunContext, counted, digest_of
from hounsfield.site import Site
from hounsfield.stages.belongings import (
    Seen,
    found_of,
    landed_of,
    made_in,
    mixed_of,
    mixed_with,
    own_studies,
    patient_keys,
    see,
    strays_of,
    summary,
    touched_by,
    widened,
)
from hounsfield.stages.dispose import (
    Grounds,
    begun,
    check_hold,
    go_on,
    left_of,
    past_locks,
    settle,
)
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.loose import nobodys
from hounsfield.stages.mixed import part
from hounsfield.stages.remove import TABLES, remove_made, remove_stray, remove_study
from hounsfield.stages.step import step
from hounsfield.stages.supersede import supersede
from hounsfield.stages.traces import folders_of, landing_of, traces
from hounsfield.store import seal

__all__ = [
    "APPROVALS",
    "DECISIONS",
    "RULE",
    "SUPERSEDED",
    "certify_erasure",
    "decide_erasure",
    "erase",
    "plan_erasure",
]

log = logging.getLogger(__name__)

RULE: Final = "erase_patient"
SUPERSEDED: Final = "superseded: erasure"
#: What a person may decide, and the state of the erasure then.
DECISIONS: Final = {"Erase": "approved", "Reject": "rejected"}
#: Why. A list to choose from: a text of one's own could name the patient, and Airflow keeps it.
APPROVALS: Final = (
    "the request is valid, and nothing obliges us to keep the data",
    "the data were never ours to have",
    "the law obliges us to keep the data",
    "the request is not proven to be the patient's",
)
#: Kind of trace → where it is looked for.
_PLACES: Final = {
    "draft": "drafts of killed runs",
    "landing": "the landing folder",
    "page": "reports and certificates of studies",
}


def plan_erasure(
    site: Site, patient_key: str, *, why: str, requested_by: str, run: RunContext
) -> dict[str, Any]:
    """Finds what is here of a patient, and asks for approval to delete it.

    The patient is known by a pseudonym of any version of the project key: the vault tells the
    others. Asked again before it is done, it is the same erasure with what came meanwhile, and
    wants approval again.

    Parameters
    ----------
    requested_by
        Whose wish it is, by role.

    Returns
    -------
    dict
        ``erasure_id``, the digest of its ``plan``, and a ``summary`` that names no patient.

    Raises
    ------
    NotFound
        If nothing is here of this patient.
    OnHold
        If a legal hold is on any of it.
    StudyLocked
        If another run plans the same just now.
    """
    subject = f"erasure of {patient_key}"
    with (
        step(site, subject, "plan erasure", run, quarantine=False) as record,
        site.catalog.lock(patient_key, f"{run.run_id}/{run.task_id}"),
    ):
        case = _unfinished(site, patient_key)
        known = case.plan if case is not None else {}
        purpose = f"erasure: {why}"
        seen = see(site, why, run)
        keys = patient_keys(site, patient_key, known, seen, purpose, run)
        plan = widened(known, found_of(site, keys, seen))
        if not any(plan[name] for name in ("studies", "strays", "mixed")):
            raise NotFound("nothing is here of this patient", where=patient_key)
        _check_holds(site, plan)
        if case is None:
            identity = digest_of([patient_key, utc_now().isoformat()])[:16]
            case = Erasure(erasure_id=identity, patient_key=patient_key)
        case.state, case.plan, case.why, case.requested_by = "asked", plan, why, requested_by
        site.audit.append(
            action="erasure.ask",
            object=patient_key,
            purpose=why,
            run=run,
            detail=f"erasure {case.erasure_id} for {requested_by}",
        )
        site.catalog.put(case)
        record.say(summary(plan))
        identity, digest = case.erasure_id, digest_of(plan)
        return {"erasure_id": identity, "plan": digest, "summary": record.sentence}


def decide_erasure(
    site: Site,
    erasure_id: str,
    decision: str,
    why: str,
    *,
    plan: str,
    approver: str,
    run: RunContext,
) -> dict[str, Any]:
    """Writes down whether a person approves an erasure.

    Parameters
    ----------
    decision, why
        Of `DECISIONS` and `APPROVALS`.
    plan
        Digest of what the person saw, as `plan_erasure` gave it.

    Returns
    -------
    dict
        ``erasure_id`` and its ``state``.

    Raises
    ------
    ConfigError
        If that is none of what is offered.
    NotFound
        If it was planned anew since the person was asked, is done, or another person decided
        otherwise. What the first has said stands.
    OnHold
        If it is approved, and a legal hold is on any of it.
    """
    case = _case(site, erasure_id)
    if decision not in DECISIONS or why not in APPROVALS:
        raise ConfigError("the decision or its reason is none of those offered", where="erasure")
    state = DECISIONS[decision]
    _check_open(case, plan, state)
    if decision == "Erase":
        _check_holds(site, case.plan)
    who = replace(run, actor=approver)
    site.audit.append(
        action=f"erasure.{state}",
        object=case.patient_key,
        purpose=why,
        run=who,
        detail=f"erasure {erasure_id}, plan {plan}",
    )
    with site.catalog.write() as session:
        case = session.get_one(Erasure, erasure_id, with_for_update=True)
        _check_open(case, plan, state)  # Another may have planned or decided meanwhile.
        if case.state == "asked":
            case.state, case.decided_at = state, utc_now()
            case.approved_by, case.approved_why = approver, why
    return {"erasure_id": erasure_id, "state": state}


def erase(site: Site, erasure_id: str, *, run: RunContext) -> dict[str, Any]:
    """Deletes what a person approved. Killed at any point, it is called again and goes on.

    Returns
    -------
    dict
        ``erasure_id``, and how many ``tombstones`` there are by kind.

    Raises
    ------
    ConfigError
        If it is not approved, or a study came that the approval does not cover.
    OnHold
        If a legal hold is on any of it: nothing more is deleted from then on.
    ObjectLocked
        If an object lock keeps some: all else is deleted by then. Called again when the lock has
        ended, it deletes the rest; there is no certificate before.
    StudyLocked
        If another run holds one of the studies, or a product of theirs, just now.
    """
    case = _case(site, erasure_id)
    with (
        step(site, f"erasure of {case.patient_key}", "erase", run, quarantine=False) as record,
        _locked(site, case),
    ):
        if case.state == "done":  # What came back since then, nobody approved to delete.
            record.say("It is done, and certified.")
            return _told(site, erasure_id)
        seen = see(site, case.why, run)
        plan = _approved(site, case, seen)
        _check_holds(site, plan)
        _delete(site, case, plan, seen, run)
        told = _told(site, erasure_id)
        kinds = ", ".join(f"{count} {kind}" for kind, count in told["tombstones"].items())
        parted = "".join(
            f" Its instances are out of {row['study_key']}: trigger prepare for it."
            for row in mixed_of(plan)
        )
        record.say(f"Deleted of {counted(len(plan['studies']), 'study')}: {kinds}.{parted}")
        return told


def certify_erasure(site: Site, erasure_id: str, *, run: RunContext) -> dict[str, Any]:
    """Looks everywhere again, and writes the certificate where nothing is left.

    Returns
    -------
    dict
        ``erasure_id``, and the ``uri`` of the certificate.

    Raises
    ------
    IntegrityError
        If something of the patient is left.
    """
    case = _case(site, erasure_id)
    with step(
        site, f"erasure of {case.patient_key}", "certify erasure", run, quarantine=False
    ) as record:
        seen = see(site, case.why, run)
        looked = _look(site, case, seen)
        left = {place: count for place, count in looked.items() if count}
        if left:
            told = ", ".join(f"{count} in {place}" for place, count in left.items())
            raise IntegrityError(
                f"something of the patient is left: {told}",
                where=case.patient_key,
                remedy="see that no run works on these studies, then clear erase",
            )
        settle(site, erasure_id)
        uri = _write_certificate(site, case, looked, nobodys(site, seen.loose), run)
        record.say(f"Nothing of the patient is left in {len(looked)} places. Certificate: {uri}.")
        return {"erasure_id": erasure_id, "uri": uri}


def _told(site: Site, erasure_id: str) -> dict[str, Any]:
    counts = Counter(stone.kind for stone in site.catalog.tombstones(case=erasure_id))
    return {"erasure_id": erasure_id, "tombstones": dict(sorted(counts.items()))}


def _unfinished(site: Site, patient_key: str) -> Erasure | None:
    query = select(Erasure).where(
        Erasure.patient_key == patient_key, Erasure.state.in_(("asked", "approved"))
    )
    return next(iter(site.catalog.all(query)), None)


def _case(site: Site, erasure_id: str) -> Erasure:
    with site.catalog.read() as session:
        row = session.get(Erasure, erasure_id)
    if row is None:
        raise NotFound("there is no such erasure", where=erasure_id, remedy="clear plan")
    return row


def _change(site: Site, erasure_id: str, **values: Any) -> None:
    with site.catalog.write() as session:
        session.execute(update(Erasure).where(Erasure.erasure_id == erasure_id).values(**values))


def _check_open(case: Erasure, plan: str, state: str) -> None:
    """Whether this may be decided: it is what the person saw, and nobody has said otherwise."""
    if case.state == "done" or digest_of(case.plan) != plan:
        raise NotFound(
            "what was asked about is no more: it was planned anew since, or is done",
            where=case.erasure_id,
            remedy="clear plan: a person then sees what there is now",
        )
    if case.state not in ("asked", state):
        raise NotFound(
            f"another person has decided: it is {case.state}",
            where=case.erasure_id,
            remedy="a legal hold stops it; what was rejected is asked about again by a new run",
        )


def _check_holds(site: Site, plan: dict[str, Any]) -> None:
    for study_key in touched_by(plan):
        check_hold(site, study_key, *plan["patient_keys"])


@contextmanager
def _locked(site: Site, case: Erasure) -> Iterator[None]:
    """Holds the studies; who was killed finds its own locks."""
    with ExitStack() as held:
        for study_key in touched_by(case.plan):
            held.enter_context(site.catalog.lock(study_key, f"erasure {case.erasure_id}"))
        yield


def _approved(site: Site, case: Erasure, seen: Seen) -> dict[str, Any]:
    """The plan with what is found of it now."""
    if case.state != "approved":
        raise ConfigError(
            f"the erasure is {case.state}, not approved", where=case.erasure_id, remedy="clear plan"
        )
    plan = widened(case.plan, found_of(site, case.plan["patient_keys"], seen))
    if plan["studies"] != case.plan["studies"]:
        raise ConfigError(
            "studies of the patient came that nobody approved to delete",
            where=case.patient_key,
            remedy="clear plan: a person then sees them too",
        )
    _change(site, case.erasure_id, plan=plan)
    return plan


def _delete(site: Site, case: Erasure, plan: dict[str, Any], seen: Seen, run: RunContext) -> None:
    keys = plan["patient_keys"]
    grounds = Grounds(RULE, case.why, approved_by=case.approved_by, case=case.erasure_id)
    own, landed = own_studies(site, plan), landed_of(seen.loose, keys)
    made = [*own, *made_in(seen, keys)]
    with past_locks() as past:
        for stone in begun(site, case.erasure_id):
            with past():
                go_on(site, stone, grounds, run=run)
        for snapshot in plan["snapshots"]:
            with past():
                supersede(site, snapshot["digest"], made, SUPERSEDED, grounds, run=run)
        for study_key in own:
            with past():
                remove_study(site, study_key, grounds, landed, run)
        for stray in strays_of(seen.loose, keys, own):
            with past():
                remove_stray(site, stray, grounds, run)
        for mixed in mixed_with(seen, keys):
            with site.catalog.lock(mixed.study_key, f"erasure {case.erasure_id}"):
                if valid := mixed.valid_of(keys):
                    with past():
                        remove_made(site, mixed.study_key, valid, grounds, run)
                with past():
                    part(site, mixed, keys, grounds, run=run)


def _look(site: Site, case: Erasure, seen: Seen) -> dict[str, int]:
    """Place → how much of the patient is there: by listing, and by asking each database.

    Also what came since: it has to be approved, or it would be here under a certificate.
    """
    keys = case.plan["patient_keys"]
    found = found_of(site, keys, seen)
    studies = own_studies(site, widened(case.plan, found))
    tracker = tracker_of(site)

    looked: dict[str, int] = {}
    for zone in site.places():
        relatives = [relative for key in studies for _, relative in folders_of(zone, key)]
        looked[f"zone {zone.name}"] = sum(
            len(zone.files(relative)) + zone.versions(relative) for relative in relatives
        )
    landed = landed_of(seen.loose, keys)
    others = [trace for key in studies for trace in traces(site, key, landed=landed)]
    for kind, place in _PLACES.items():
        looked[place] = sum(trace.kind == kind for trace in others)
    looked["instances under studies of others"] = len(found["strays"])
    looked["studies of several patients"] = len(found["mixed"])
    looked["the catalog"] = sum(_count(site, table, studies) for table in (*TABLES, Product))
    told = {*site.vault.studies_of(keys), *filter(site.vault.knows, studies)}
    looked["the vault"] = len(told)
    looked["MLflow"] = sum(len(tracker.predictions_of(key)) for key in studies)
    looked["manifests of snapshots"] = _manifests_left(site, case)
    looked["deletions begun"] = sum(left_of(site, one) for one in begun(site, case.erasure_id))
    return looked


def _count(site: Site, table: Any, studies: Sequence[str]) -> int:
    query = select(func.count()).select_from(table).where(table.study_key.in_(studies))
    with site.catalog.read() as session:
        return session.scalar(query) or 0


def _manifests_left(site: Site, case: Erasure) -> int:
    digests = [row["digest"] for row in case.plan["snapshots"]]
    rows = site.catalog.all(select(Snapshot).where(Snapshot.digest.in_(digests)))
    places = [site.locate(row.uri) for row in rows]
    return sum(len(zone.files(relative)) + zone.versions(relative) for zone, relative in places)


def _write_certificate(
    site: Site, case: Erasure, looked: dict[str, int], unread: Sequence[str], run: RunContext
) -> str:
    zone, relative = site.zone("evidence"), f"erasures/{case.erasure_id}"
    if not zone.has(relative):
        certificate = _certificate(site, case, looked, unread)
        with zone.draft() as draft:
            certificate.write(draft)
            seal(
                draft,
                product_id=case.erasure_id,
                kind="erasure",
                study_key="",
                detail={"patient_keys": case.plan["patient_keys"]},
                region=zone.region,
            )
            zone.commit(draft, relative)
    uri = zone.uri(relative)
    if case.state != "done":
        site.audit.append(
            action="erasure.certify",
            object=case.patient_key,
            purpose=case.why,
            run=run,
            detail=f"erasure {case.erasure_id}, {zone.product(relative).digest}",
        )
        _change(site, case.erasure_id, state="done", certificate=uri, done_at=utc_now())
    return uri


def _certificate(
    site: Site, case: Erasure, looked: dict[str, int], unread: Sequence[str]
) -> ErasureCertificate:
    digests = [row["digest"] for row in case.plan["snapshots"]]
    rows = site.catalog.all(select(Snapshot).where(Snapshot.digest.in_(digests)))
    successors = {row.digest: row.successor or "" for row in rows}
    return ErasureCertificate.of(
        site.settings.site.project,
        case,
        site.catalog.tombstones(case=case.erasure_id),
        successors=successors,
        looked=looked,
        unread=unread,
        # One that may not be listed looks as if it were empty.
        has_landing=os.access(landing_of(site), os.R_OK | os.X_OK),
        keeps_runs=site.settings.site.mlflow.uri.startswith(("http://", "https://")),
    )
