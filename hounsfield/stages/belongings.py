"""belongings: what is here of a patient, in every place, as an erasure plans it.

What the catalog and the vault know, and what no row tells whose it is. A plan is a dict, as the
catalog keeps it with the erasure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from hounsfield.catalog.models import Delivery, Product, Snapshot, SnapshotMember, Study
from hounsfield.records import RunContext, counted
from hounsfield.site import Site
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.loose import Loose, loose_instances, studies_that_wait
from hounsfield.stages.mixed import Mixed, mixed_studies

__all__ = [
    "Seen",
    "found_of",
    "landed_of",
    "made_in",
    "mixed_of",
    "mixed_with",
    "own_studies",
    "patient_keys",
    "see",
    "strays_of",
    "summary",
    "touched_by",
    "widened",
]

#: Results are in the PACS in these states, or may be.
_DELIVERED = ("sent", "missing", "confirmed")


class Seen(NamedTuple):
    """What no row tells whose it is, by its headers."""

    loose: Sequence[Loose]
    mixed: Sequence[Mixed]


def patient_keys(
    site: Site,
    patient_key: str,
    known: dict[str, Any],
    seen: Seen,
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


def see(site: Site, why: str, run: RunContext) -> Seen:
    purpose = f"erasure: {why}"
    return Seen(
        loose_instances(site, purpose=purpose, run=run),
        mixed_studies(site, purpose=purpose, run=run),
    )


def found_of(site: Site, keys: Sequence[str], seen: Seen) -> dict[str, Any]:
    """What is here now; `seen` was looked for before, for what leaves there is in the catalog."""
    in_catalog = select(Study.study_key).where(Study.patient_key.in_(keys))
    waiting = studies_that_wait(site, seen.loose, keys)
    mixed = {one.study_key: len(one.of(keys)) for one in mixed_with(seen, keys)}
    own = {*site.catalog.all(in_catalog), *site.vault.studies_of(keys), *waiting}
    studies = sorted(own - mixed.keys())
    strays = strays_of(seen.loose, keys, studies)
    made = [*studies, *made_in(seen, keys)]
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


def strays_of(loose: Sequence[Loose], keys: Sequence[str], studies: Sequence[str]) -> list[Loose]:
    """The patient's instances under studies that are not the patient's, or not alone."""
    return [one for one in loose if one.is_of(keys) and one.study_key not in studies]


def mixed_with(seen: Seen, keys: Sequence[str]) -> list[Mixed]:
    """The studies of several patients that this one is among."""
    return [one for one in seen.mixed if one.of(keys)]


def made_in(seen: Seen, keys: Sequence[str]) -> list[str]:
    """Studies of several patients in which all that was made is of this one."""
    return [one.study_key for one in mixed_with(seen, keys) if one.valid_of(keys)]


def landed_of(loose: Sequence[Loose], keys: Sequence[str]) -> frozenset[str]:
    """URIs of the instances of which no header tells another patient."""
    return frozenset(one.uri for one in loose if not one.patient_keys or one.is_of(keys))


def touched_by(plan: dict[str, Any]) -> list[str]:
    """The studies that an erasure touches."""
    rows = (*plan.get("strays", ()), *mixed_of(plan))
    return sorted({*plan["studies"], *(row["study_key"] for row in rows)})


def own_studies(site: Site, plan: dict[str, Any]) -> list[str]:
    """Studies of a plan, without one that was admitted since with another patient's instances."""
    theirs = Study.study_key.in_(plan["studies"]) & Study.patient_key.not_in(plan["patient_keys"])
    others = {*site.catalog.all(select(Study.study_key).where(theirs))}
    return sorted({*plan["studies"]} - others - {row["study_key"] for row in mixed_of(plan)})


def mixed_of(plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Its studies of several patients; of a plan from before they were looked for, none."""
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


def widened(known: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
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


def summary(plan: dict[str, Any]) -> str:
    kinds = Counter(row["kind"] for row in plan["products"])
    size = sum(row["bytes"] for row in plan["products"])
    models = sorted({label for row in plan["snapshots"] for label in row["models"]})
    parts = [
        counted(len(plan["studies"]), "study"),
        f"{counted(len(plan['products']), 'product')} of {size} bytes"
        + "".join(f", {count} {kind}" for kind, count in sorted(kinds.items())),
        *(
            f"{counted(count, 'instance')} that came under studies of others"
            for count in (len(plan["strays"]),)
            if count
        ),
        *(
            f"{counted(row['instances'], 'instance')} in the study {row['study_key']}, "
            "whose others stay"
            for row in plan["mixed"]
        ),
        f"{len(plan['snapshots'])} snapshots to be superseded",
        f"{len(models)} models trained on them" + "".join(f", {label}" for label in models),
        f"{len(plan['results'])} results in the PACS, which stay there",
    ]
    return "; ".join(parts) + "."
