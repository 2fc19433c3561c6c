"""Studies of made-up patients with a product in each zone, to be deleted or to be kept."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from hounsfield.catalog.models import (
    Delivery,
    Event,
    Label,
    Prediction,
    Product,
    QuarantineItem,
    Series,
    Study,
    utc_now,
)
from hounsfield.pacs.known import Known
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.snapshot import snapshot
from hounsfield.store import seal
from hounsfield.tracking import Tracker
from hounsfield.tracking.lineage import prediction_lineage
from hounsfield.vault import Identity

__all__ = [
    "ADA",
    "BEA",
    "ERASING",
    "PLACES",
    "keep",
    "keep_patient",
    "keep_study",
    "keep_two_patients",
    "remains",
]

#: Certificates, tombstones and the audit trail tell which studies were erased.
_ON_RECORD = ("zones/evidence/", "databases/")

#: Stages of an erasure that ask the tracker.
ERASING = ("belongings", "remove", "erase", "supersede")

#: Kind → zone, and folder within the study's.
PLACES = {
    "raw": ("raw", ""),
    "candidate": ("quarantine", "candidate/"),
    "deid": ("deid", ""),
    "volume": ("volumes", "2.25.1/"),
    "prediction": ("results", "predictions/"),
    "objects": ("objects", ""),
    "review": ("review", ""),
    "label": ("datasets", "labels/"),
}


def keep_study(site: Site, study_key: str, patient_key: str, **facts: Any) -> Study:
    row = Study(study_key=study_key, patient_key=patient_key, **{"modalities": "CT", **facts})
    site.catalog.put(row)
    return row


def keep(
    site: Site, kind: str, study_key: str, *, content: str = "", made: datetime | None = None
) -> Product:
    """Publishes a product and writes its row."""
    zone_name, folder = PLACES[kind]
    zone = site.zone(zone_name)  # type: ignore[arg-type]
    relative = f"{study_key}/{folder}{kind}{content}"
    identity = f"{kind}{content}-{study_key}"
    with zone.draft() as draft:
        (draft / "data.bin").write_bytes(f"{kind} {content} of {study_key}".encode())
        sealed = seal(draft, product_id=identity, kind=kind, study_key=study_key, detail={})
        zone.commit(draft, relative)
    row = Product(
        product_id=identity,
        study_key=study_key,
        series_key=f"se-{study_key}",
        kind=kind,
        digest=sealed.digest,
        input_digest="0" * 64,
        uri=zone.uri(relative),
        bytes=sealed.size,
        created_at=made or utc_now(),
    )
    site.catalog.put(row)
    return row


ADA = Identity("1.2.826.0.1.3680043.8.498.1", "LOVELACE-1815", "SWITHIN", "20260301", "pacs")
BEA = Identity("1.2.826.0.1.3680043.8.498.2", "POTTER-1866", "SWITHIN", "20260302", "pacs")


def keep_patient(site: Site, identity: Identity, tracker: Tracker, run: RunContext) -> Study:
    """A study with something in each place where something of a patient can lie."""
    names = site.pseudonyms
    study_key = names.study_key(identity.StudyInstanceUID)
    patient_key = names.patient_key(identity.PatientID, identity.IssuerOfPatientID)
    series_key = f"se-{study_key}"
    site.vault.put(study_key, patient_key, identity, run=run)
    study = keep_study(site, study_key, patient_key, state="reported")
    site.catalog.put(
        Series(series_key=series_key, study_key=study_key, modality="CT", instance_count=1)
    )
    made = {kind: keep(site, kind, study_key) for kind in PLACES}
    label, volume = made["label"], made["volume"]
    prediction = f"prediction of {study_key}"[:64]
    site.catalog.put(
        Label(
            label_id=label.product_id,
            series_key=series_key,
            kind="nodule",
            uri=label.uri,
            digest=label.digest,
            source="reader 1",
        ),
        Event(study_key=study_key, stage="chunk", state="done"),
        QuarantineItem(study_key=study_key, stage="ingest", code="c", reason="r"),
        Prediction(
            prediction_id=prediction,
            study_key=study_key,
            series_key=series_key,
            model="lungs",
            version="1",
            volume_digest=volume.digest,
            product_id=made["prediction"].product_id,
        ),
        Delivery(
            SOPInstanceUID=names.uid(study_key),
            SOPClassUID="1",
            kind="sr",
            study_key=study_key,
            prediction_id=prediction,
            destination="pacs",
            sha256="0",
            state="confirmed",
        ),
    )
    tracker.log_prediction(prediction_lineage(site, prediction, tracker=tracker))
    _leave_the_rest(site, study_key)
    return study


def _leave_the_rest(site: Site, study_key: str) -> None:
    """What waits, what was refused, what a kill left, and pages."""
    home, quarantine = site.settings.home, Path(site.zone("quarantine").root)
    name = hashlib.md5(study_key.encode(), usedforsecurity=False).hexdigest()
    draft = Path(site.zone("raw").root) / ".drafts" / f"hounsfield-{name}"
    warm = Path(site.tier("warm", "volume").root)
    for path in (
        quarantine / study_key / "second.dcm",
        Path(site.zone("raw").root) / ".staging" / study_key / "came.dcm",
        home / "landing" / study_key / "pushed.dcm",
        site.settings.site.docs / "studies" / f"{study_key}.html",
        site.settings.site.docs / "certificates" / f"{study_key}.html",
        warm / study_key / "half" / "of-a-move.bin",
        draft / "data.bin",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {study_key}")
    seal(draft, product_id="d", kind="raw", study_key=study_key, detail={})
    Known(home / "landing" / ".known.db").note(study_key, [f"1.2.3.{study_key}"])
    with (site.settings.site.docs / "studies.js").open("a") as entries:
        entries.write(f'study("{study_key}",1)\n')


def keep_two_patients(site: Site, tracker: Tracker, run: RunContext) -> tuple[Study, Study, str]:
    """Two patients in one snapshot that a model learned from; gives the snapshot's digest."""
    ada = keep_patient(site, ADA, tracker, run)
    bea = keep_patient(site, BEA, tracker, run)
    told = snapshot(site, name="both", cohort={"modality": "CT"}, run=run)
    weights = site.settings.home / "weights"
    weights.mkdir()
    (weights / "model.pt").write_text(told["digest"])
    tracker.register("lungs", weights, tags={"snapshot_digest": told["digest"]})
    return ada, bea, told["digest"]


def remains(site: Site, study_key: str) -> list[str]:
    """Each file of the installation that is named for a study, or says that it is of it."""
    found = []
    for path in sorted(site.settings.home.rglob("*")):
        name = path.relative_to(site.settings.home).as_posix()
        told = path.read_bytes() if path.is_file() else b""
        is_named = study_key in name or study_key.encode() in told
        if is_named and not name.startswith(_ON_RECORD):
            found.append(name)
    return found
