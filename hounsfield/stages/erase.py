"""erase: all that is here of a patient, asked for, approved, deleted, proven and certified.

What was found is written down before anything goes, and only grows; each deletion leaves a
tombstone before it begins; the vault forgets last. So an erasure that is killed at any point is
begun again and goes on where it was.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from hounsfield.catalog.models import (
    Delivery,
    Erasure,
    Event,
    GateResult,
    Label,
    Prediction,
    Product,
    QuarantineItem,
    Review,
    Series,
    Snapshot,
    SnapshotMember,
    Study,
    Tombstone,
    utc_now,
)
from hounsfield.errors import ConfigError, IntegrityError, NotFound
from hounsfield.evidence import ErasureCertificate
from hounsfield.records import RunContext, digest_of
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, bury, check_hold, dispose, settle
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.loose import Loose, loose_instances, nobodys, studies_that_wait
from hounsfield.stages.mixed import Mixed, mixed_studies, part
from hounsfield.stages.step import step
from hounsfield.stages.supersede import supersede
from hounsfield.stages.traces import Trace, folders_of, forget_instances, landing_of, traces
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
#: Results are in the PACS in these states, or may be.
_DELIVERED = ("sent", "missing", "confirmed")
#: Kind of trace → where it is looked for.
_PLACES: Final = {
    "draft": "drafts of killed runs",
    "landing": "the landing folder",
    "page": "reports and certificates of studies",
}
#: Rows that tell what was made of a study, in the order in which they may go.
_MADE: Final = (Series, Prediction, Delivery, GateResult, Review, SnapshotMember)
#: And all that tell of it.
_TABLES: Final = (*_MADE, QuarantineItem, Event, Study)


class _Seen(NamedTuple):
    """What no row tells whose it is, by its headers."""

    loose: Sequence[Loose]
    mixed: Sequence[Mixed]


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
        ``erasure_id``, and a ``summary`` that names no patient.

    Raises
    ------
    NotFound
        If nothing is here of this patient.
    OnHold
        If a legal hold is on any of it.
    """
    with step(site, f"erasure of {patient_key}", "plan erasure", run, quarantine=False) as record:
        case = _unfinished(site, patient_key)
        known = case.plan if case is not None else {}
        purpose = f"erasure: {why}"
        seen = _see(site, why, run)
        keys = _patient_keys(site, patient_key, known, seen, purpose, run)
        plan = _widened(known, _found(site, keys, seen))
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
        record.say(_summary(plan))
        return {"erasure_id": case.erasure_id, "summary": record.sentence}


def decide_erasure(
    site: Site, erasure_id: str, decision: str, why: str, *, approver: str, run: RunContext
) -> dict[str, Any]:
    """Writes down whether a person approves an erasure.

    Parameters
    ----------
    decision, why
        Of `DECISIONS` and `APPROVALS`.

    Returns
    -------
    dict
        ``erasure_id`` and its ``state``.

    Raises
    ------
    ConfigError
        If that is none of what is offered.
    OnHold
        If it is approved, and a legal hold is on any of it.
    """
    case = _case(site, erasure_id)
    if decision not in DECISIONS or why not in APPROVALS:
        raise ConfigError("the decision or its reason is none of those offered", where="erasure")
    if decision == "Erase":
        _check_holds(site, case.plan)
    who = replace(run, actor=approver)
    state = DECISIONS[decision]
    site.audit.append(
        action=f"erasure.{state}",
        object=case.patient_key,
        purpose=why,
        run=who,
        detail=f"erasure {erasure_id}, plan {digest_of(case.plan)}",
    )
    _change(
        site, erasure_id, state=state, approved_by=approver, approved_why=why, decided_at=utc_now()
    )
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
        seen = _see(site, case.why, run)
        plan = _approved(site, case, seen)
        _check_holds(site, plan)
        grounds = Grounds(RULE, case.why, approved_by=case.approved_by, case=erasure_id)
        own, landed = _own(site, plan), _landed(seen.loose, plan["patient_keys"])
        made = [*own, *_made(seen, plan["patient_keys"])]
        for snapshot in plan["snapshots"]:
            supersede(site, snapshot["digest"], made, SUPERSEDED, grounds, run=run)
        for study_key in own:
            _erase_study(site, study_key, grounds, landed, run)
        for stray in _strays(seen.loose, plan["patient_keys"], own):
            _erase_stray(site, stray, grounds, run)
        for mixed in _theirs(seen, plan["patient_keys"]):
            with site.catalog.lock(mixed.study_key, f"erasure {erasure_id}"):
                if valid := mixed.valid_of(plan["patient_keys"]):
                    _erase_made(site, mixed.study_key, valid, grounds, run)
                part(site, mixed, plan["patient_keys"], grounds, run=run)
        told = _told(site, erasure_id)
        kinds = ", ".join(f"{count} {kind}" for kind, count in told["tombstones"].items())
        parted = "".join(
            f" Its instances are out of {row['study_key']}: trigger prepare for it."
            for row in _mixed(plan)
        )
        record.say(f"Deleted of {len(plan['studies'])} studies: {kinds}.{parted}")
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
        seen = _see(site, case.why, run)
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


def _patient_keys(
    site: Site,
    patient_key: str,
    known: dict[str, Any],
    seen: _Seen,
    purpose: str,
    run: RunContext,
) -> Sequence[str]:
    """The patient's pseudonyms under each key; those found before, once the vault forgot."""
    keys = {patient_key, *known.get("patient_keys", ())}
    of_others = (keys for one in seen.mixed for keys in one.patient_keys.values())
    for names in (*(one.patient_keys for one in seen.loose), *of_others):
        keys |= names if not names.isdisjoint(keys) else set()
    for study_key in site.vault.studies_of(keys)[:1]:
        identity = site.vault.open(study_key, purpose=purpose, run=run)
        keys |= set(site.keys.patient_keys(identity.PatientID, identity.IssuerOfPatientID))
    return sorted(keys)


def _see(site: Site, why: str, run: RunContext) -> _Seen:
    purpose = f"erasure: {why}"
    return _Seen(
        loose_instances(site, purpose=purpose, run=run),
        mixed_studies(site, purpose=purpose, run=run),
    )


def _found(site: Site, keys: Sequence[str], seen: _Seen) -> dict[str, Any]:
    """What is here now; `seen` was looked for before, for what leaves there is in the catalog."""
    in_catalog = select(Study.study_key).where(Study.patient_key.in_(keys))
    waiting = studies_that_wait(site, seen.loose, keys)
    mixed = {one.study_key: len(one.of(keys)) for one in _theirs(seen, keys)}
    own = {*site.catalog.all(in_catalog), *site.vault.studies_of(keys), *waiting}
    studies = sorted(own - mixed.keys())
    strays = _strays(seen.loose, keys, studies)
    made = [*studies, *_made(seen, keys)]
    return {
        "patient_keys": list(keys),
        "studies": studies,
        "strays": [
            {"uri": one.uri, "study_key": one.study_key, "bytes": one.bytes} for one in strays
        ],
        "mixed": [{"study_key": key, "instances": count} for key, count in mixed.items()],
        "products": _products(site, made),
        "snapshots": _snapshots(site, made),
        "results": _results(site, made),
    }


def _strays(loose: Sequence[Loose], keys: Sequence[str], studies: Sequence[str]) -> list[Loose]:
    """The patient's instances under studies that are not the patient's, or not alone."""
    return [one for one in loose if one.is_of(keys) and one.study_key not in studies]


def _theirs(seen: _Seen, keys: Sequence[str]) -> list[Mixed]:
    """The studies of several patients that this one is among."""
    return [one for one in seen.mixed if one.of(keys)]


def _made(seen: _Seen, keys: Sequence[str]) -> list[str]:
    """Those of them in which all that was made is of this patient."""
    return [one.study_key for one in _theirs(seen, keys) if one.valid_of(keys)]


def _landed(loose: Sequence[Loose], keys: Sequence[str]) -> frozenset[str]:
    """URIs of the instances of which no header tells another patient."""
    return frozenset(one.uri for one in loose if not one.patient_keys or one.is_of(keys))


def _check_holds(site: Site, plan: dict[str, Any]) -> None:
    for study_key in _held(plan):
        check_hold(site, study_key, *plan["patient_keys"])


def _held(plan: dict[str, Any]) -> list[str]:
    """The studies that an erasure touches."""
    rows = (*plan.get("strays", ()), *_mixed(plan))
    return sorted({*plan["studies"], *(row["study_key"] for row in rows)})


def _own(site: Site, plan: dict[str, Any]) -> list[str]:
    """Studies of a plan, without one that was admitted since with another patient's instances."""
    theirs = Study.study_key.in_(plan["studies"]) & Study.patient_key.not_in(plan["patient_keys"])
    others = {*site.catalog.all(select(Study.study_key).where(theirs))}
    return sorted({*plan["studies"]} - others - {row["study_key"] for row in _mixed(plan)})


def _mixed(plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Of a plan from before they were looked for, none."""
    return plan.get("mixed", ())


def _products(site: Site, studies: Sequence[str]) -> list[dict[str, Any]]:
    rows = site.catalog.all(select(Product).where(Product.study_key.in_(studies)))
    columns = ("product_id", "kind", "tier", "bytes")
    return [{name: getattr(row, name) for name in columns} for row in rows]


def _snapshots(site: Site, studies: Sequence[str]) -> list[dict[str, Any]]:
    """Those with the patient in them, and the models that learned from each."""
    member = select(SnapshotMember.snapshot).where(SnapshotMember.study_key.in_(studies))
    rows = site.catalog.all(select(Snapshot).where(Snapshot.digest.in_(member)))
    tracker = tracker_of(site)
    return [
        {
            "digest": row.digest,
            "name": row.name,
            "members": row.members,
            "models": [version.label for version in tracker.trained_on(row.digest)],
        }
        for row in rows
    ]


def _results(site: Site, studies: Sequence[str]) -> list[dict[str, Any]]:
    """What the PACS has of ours, or may have. It is the hospital's record, and stays."""
    # One that was sent and not answered for may be there as well.
    in_flight = (Delivery.attempts > 0) & (Delivery.state != "refused")
    query = select(Delivery).where(
        Delivery.study_key.in_(studies), Delivery.state.in_(_DELIVERED) | in_flight
    )
    columns = ("SOPInstanceUID", "kind", "destination", "state", "study_key")
    return [{name: getattr(row, name) for name in columns} for row in site.catalog.all(query)]


def _widened(known: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Both together: what is deleted already is found no more, and is not forgotten."""
    names = {
        "products": "product_id",
        "strays": "uri",
        "mixed": "study_key",
        "snapshots": "digest",
        "results": "SOPInstanceUID",
    }
    plan: dict[str, Any] = {
        name: sorted({*known.get(name, ()), *found[name]}) for name in ("patient_keys", "studies")
    }
    for name, key in names.items():
        rows = {row[key]: row for row in (*known.get(name, ()), *found[name])}
        plan[name] = [rows[one] for one in sorted(rows)]
    return plan


def _summary(plan: dict[str, Any]) -> str:
    kinds = Counter(row["kind"] for row in plan["products"])
    size = sum(row["bytes"] for row in plan["products"])
    models = sorted({label for row in plan["snapshots"] for label in row["models"]})
    parts = [
        f"{len(plan['studies'])} studies",
        f"{len(plan['products'])} products of {size} bytes"
        + "".join(f", {count} {kind}" for kind, count in sorted(kinds.items())),
        *(
            f"{count} instances that came under studies of others"
            for count in (len(plan["strays"]),)
            if count
        ),
        *(
            f"{row['instances']} instances in the study {row['study_key']}, whose others stay"
            for row in plan["mixed"]
        ),
        f"{len(plan['snapshots'])} snapshots to be superseded",
        f"{len(models)} models trained on them" + "".join(f", {label}" for label in models),
        f"{len(plan['results'])} results in the PACS, which stay there",
    ]
    return "; ".join(parts) + "."


@contextmanager
def _locked(site: Site, case: Erasure) -> Iterator[None]:
    """Holds the studies; who was killed finds its own locks."""
    with ExitStack() as held:
        for study_key in _held(case.plan):
            held.enter_context(site.catalog.lock(study_key, f"erasure {case.erasure_id}"))
        yield


def _approved(site: Site, case: Erasure, seen: _Seen) -> dict[str, Any]:
    """The plan with what is found of it now."""
    if case.state != "approved":
        raise ConfigError(
            f"the erasure is {case.state}, not approved", where=case.erasure_id, remedy="clear plan"
        )
    plan = _widened(case.plan, _found(site, case.plan["patient_keys"], seen))
    if plan["studies"] != case.plan["studies"]:
        raise ConfigError(
            "studies of the patient came that nobody approved to delete",
            where=case.patient_key,
            remedy="clear plan: a person then sees them too",
        )
    _change(site, case.erasure_id, plan=plan)
    return plan


def _erase_study(
    site: Site, study_key: str, grounds: Grounds, landed: Collection[str], run: RunContext
) -> None:
    products = select(Product).where(Product.study_key == study_key).order_by(Product.product_id)
    for product in site.catalog.all(products):
        dispose(site, product, grounds, run=run)
    for trace in list(traces(site, study_key, landed=landed)):
        bury(site, _stone(trace, trace.kind, run), trace.remove, grounds)
    for zone in site.places():
        for _, relative in folders_of(zone, study_key):
            zone.purge(relative)  # the empty folders, and old versions
    forget_instances(site, study_key)
    tracker_of(site).forget_predictions(study_key)
    _remove_rows(site, study_key, grounds, run)
    site.vault.forget(study_key, purpose=f"{grounds.rule}: {grounds.why}", run=run)


def _erase_made(
    site: Site, study_key: str, valid: Sequence[Product], grounds: Grounds, run: RunContext
) -> None:
    """What was made of the patient in a study that stays, for the instances of others in it.

    The revisions it was made of go last: by them it is known that there is any.
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
    for product in (*site.catalog.all(made.order_by(Product.product_id)), *valid):
        dispose(site, product, grounds, run=run)


def _erase_stray(site: Site, stray: Loose, grounds: Grounds, run: RunContext) -> None:
    """One instance, out of a study that stays."""
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
        session.get(
            Study, study_key, with_for_update=True
        )  # Who tells of it waits till it is gone.
        _delete_rows(session, study_key, _TABLES)
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


def _look(site: Site, case: Erasure, seen: _Seen) -> dict[str, int]:
    """Place → how much of the patient is there: by listing, and by asking each database.

    Also what came since: it has to be approved, or it would be here under a certificate.
    """
    keys = case.plan["patient_keys"]
    found = _found(site, keys, seen)
    studies = _own(site, _widened(case.plan, found))
    tracker = tracker_of(site)

    looked: dict[str, int] = {}
    for zone in site.places():
        relatives = [relative for key in studies for _, relative in folders_of(zone, key)]
        looked[f"zone {zone.name}"] = sum(
            len(zone.files(relative)) + zone.versions(relative) for relative in relatives
        )
    landed = _landed(seen.loose, keys)
    others = [trace for key in studies for trace in traces(site, key, landed=landed)]
    for kind, place in _PLACES.items():
        looked[place] = sum(trace.kind == kind for trace in others)
    looked["instances under studies of others"] = len(found["strays"])
    looked["studies of several patients"] = len(found["mixed"])
    looked["the catalog"] = sum(_count(site, table, studies) for table in (*_TABLES, Product))
    told = {*site.vault.studies_of(keys), *filter(site.vault.knows, studies)}
    looked["the vault"] = len(told)
    looked["MLflow"] = sum(len(tracker.predictions_of(key)) for key in studies)
    looked["manifests of snapshots"] = _manifests_left(site, case)
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
