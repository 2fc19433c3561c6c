"""An erasure from question to certificate, and instances that wait for their study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.catalog.models import Erasure, Product, Study
from hounsfield.errors import ObjectLocked
from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.landing import write_instance
from hounsfield.records import RunContext, digest_of
from hounsfield.site import Site
from hounsfield.stages.erase import (
    APPROVALS,
    certify_erasure,
    decide_erasure,
    erase,
    plan_erasure,
)
from hounsfield.stages.receive import Receiver
from hounsfield.store import Zone
from hounsfield.vault import Identity
from tests.stages.conftest import encoded
from tests.stages.kept import (
    ADA,
)

OFFICER = RunContext(actor="admin", dag_id="erase_patient", run_id="r1", task_id="erase")


def ask(site: Site, patient_key: str) -> str:
    why, who = "the patient asks for it", "the patient"
    told = plan_erasure(site, patient_key, why=why, requested_by=who, run=OFFICER)
    return str(told["erasure_id"])


def approve(
    site: Site, case: str, decision: str = "Erase", *, seen: str | None = None
) -> dict[str, Any]:
    """Of the plan as it is, or as a person saw it."""
    plan = plan_of(site, case) if seen is None else seen
    why, who = APPROVALS[0], "officer"
    return decide_erasure(site, case, decision, why, plan=plan, approver=who, run=OFFICER)


def plan_of(site: Site, case: str) -> str:
    """Its digest."""
    with site.catalog.read() as session:
        row = session.get(Erasure, case)
    assert row is not None
    return digest_of(row.plan)


def whole(site: Site, patient_key: str) -> dict[str, Any]:
    """Asked, approved, done; gives the certificate."""
    case = ask(site, patient_key)
    approve(site, case)
    erase(site, case, run=OFFICER)
    told = certify_erasure(site, case, run=OFFICER)
    return json.loads((Path(told["uri"]) / "certificate.json").read_bytes())


LATER = "1.2.826.0.1.3680043.8.498.3"  # a study that nobody has admitted yet


def place(folder: Path, uid: str, study: str = LATER, patient: Identity = ADA) -> Path:
    """An instance as it lies in a folder that takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    of = {"PatientID": patient.PatientID, "IssuerOfPatientID": patient.IssuerOfPatientID}
    entry = write_instance(
        folder,
        encoded(uid, "one", StudyInstanceUID=study, **of),
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    return folder / entry.path


def landed(site: Site, uid: str, study: str = LATER, patient: Identity = ADA) -> Path:
    folder = site.settings.home / "landing" / site.pseudonyms.study_key(study)
    path = place(folder, uid, study, patient)
    return path.rename(path.with_stem(blake3(path.read_bytes()).hexdigest()))


def sweep(site: Site) -> None:
    with Inbox(site.settings.home / "landing") as inbox:
        Receiver(site, inbox, "pacs", None, quiet_seconds=0).sweep()


def half_of_a_move(site: Site, product: Product) -> Callable[[], dict[str, int]]:
    """What a move to a local tier leaves that is killed; gives how to look for it."""
    zone, relative = site.locate(product.uri)
    warm = site.tier("warm", "raw")
    name, (_, sha256) = next(iter(zone.product(relative).files.items()))
    with zone.open(relative) as folder, warm.assembly(relative) as half:
        half.put(folder / name, name, sha256)

    def left() -> dict[str, int]:
        return {name: n for name, n in warm.files(".staging").items() if product.study_key in name}

    assert left()
    return left


def lock(
    patch: pytest.MonkeyPatch, zone: str, study: Study, until: str = "2036-01-01T00:00:00+00:00"
) -> None:
    """What is deleted of a study in a zone is hidden, and its store keeps it."""
    purge = Zone.purge

    def locked(place: Zone, relative: str) -> None:
        purge(place, relative)
        if place.name == zone and relative.startswith(f"{study.study_key}/"):
            raise ObjectLocked(f"an object lock keeps it, until {until}", until=until)

    def ends(place: Zone, relative: str) -> str:
        return until if place.name == zone and relative.startswith(f"{study.study_key}/") else ""

    patch.setattr(Zone, "purge", locked)
    patch.setattr(Zone, "locked_until", ends)
