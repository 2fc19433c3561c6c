"""A catalog of studies that never were: each state, each kind of row, and hostile text."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from hounsfield.catalog.models import (
    Base,
    Delivery,
    Event,
    Prediction,
    Product,
    QuarantineItem,
    Study,
)
from hounsfield.records import RunContext
from hounsfield.site import Site

__all__ = ["HOSTILE", "NO_MODEL", "QUARANTINED", "REPORTED", "fill", "fill_many"]

REPORTED = "st-k3v7c2m5x4qapz6b"
QUARANTINED = "st-q7hd2n4vw6t3ymba"
NO_MODEL = "st-a5zr3k7mq2xw4c6e"
PATIENT = "pt-w2m6x7k4d3qz5vna"
#: What a header could hold and a page must not run.
HOSTILE = "<script>alert('%_\"&')</script>"

NOON = datetime(2026, 3, 2, 12, 0, 5, tzinfo=UTC)
REASON = (
    "The series has a gap: 2 of 78 slices are missing between 91.5 mm and 96.0 mm "
    "(ask the PACS for the missing slices, then clear ingest)"
)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def fill(site: Site, run: RunContext) -> None:
    """Three studies with their lives; `run` is the task that the first one's events name."""
    _put(site, *_reported(run), *_quarantined(run), *_no_model())
    for action, purpose in (("vault.put", "ingest"), ("vault.open", "write back")):
        site.audit.append(action=action, object=REPORTED, purpose=purpose, run=run)


def fill_many(site: Site, count: int) -> None:
    """More studies than one page lists."""
    _put(
        site,
        *(
            Study(
                study_key=f"st-{digest(str(number))[:16]}",
                patient_key=f"pt-{digest(str(number // 2))[:16]}",
                state="received",
                source="pacs",
                modalities="MR",
                body_part="KNEE",
                study_date="20190704",
                received_at=NOON - timedelta(days=1, minutes=number),
            )
            for number in range(count)
        ),
    )


def _put(site: Site, *rows: Base) -> None:
    site.catalog.put(*rows)


def _reported(run: RunContext) -> list[Base]:
    volume = digest("volume")
    told = [
        ("retrieve", "Received 96 instances in 2 series, as many as the PACS lists.", 12.31, "raw"),
        ("validate", "Valid, with 1 warnings: SliceThickness is not the spacing.", 3.02, ""),
        ("deidentify", "De-identified 96 instances in 2 series under profile research.", 75.4, "d"),
        ("chunk", "1 volume.", 8.8, "volume"),
        ("run lung_nodule", "lung_nodule 3 (champion) on cpu: 1 nodule of 6.4 mm.", 131.0, "p"),
        ("deliver", "Stored 2 results in main.", 0.04, "r"),
    ]
    events = [
        Event(
            study_key=REPORTED,
            stage=stage,
            state="done",
            sentence=sentence,
            seconds=seconds,
            digest=digest(name) if name else "",
            version="0.1.0+3f9a1c27be55" if name else "",
            at=NOON + timedelta(minutes=number),
            **run.to_dict(),
        )
        for number, (stage, sentence, seconds, name) in enumerate(told)
    ]
    study = Study(
        study_key=REPORTED,
        patient_key=PATIENT,
        source="main",
        state="reported",
        modalities="CT/SR",
        body_part="CHEST",
        description="THORAX LOW DOSE 1.5 MM",
        manufacturer="ACME",
        study_date="20210305",
        revision=digest("raw"),
        series_count=2,
        instance_count=96,
        bytes=50_812_416,
        received_at=NOON,
    )
    prediction = Prediction(
        prediction_id=digest("prediction"),
        study_key=REPORTED,
        model="lung_nodule",
        version="3",
        volume_digest=volume,
        product_id=digest("p"),
        findings=1,
        summary="1 nodule: 6.4 mm, confidence 0.91.",
        seconds=128.2,
        created_at=NOON + timedelta(minutes=4),
    )
    deliveries = [
        Delivery(
            SOPInstanceUID=f"2.25.2958314{kind}77301665921450023871",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33",
            kind=name,
            study_key=REPORTED,
            prediction_id=prediction.prediction_id,
            destination="main",
            sha256=digest(name),
            state="confirmed",
            attempts=1,
            sent_at=NOON + timedelta(minutes=5),
            confirmed_at=NOON + timedelta(minutes=5, seconds=2),
            proof="commitment",
        )
        for kind, name in ((1, "sr"), (2, "seg"))
    ]
    products = [
        Product(
            product_id=digest(f"product {kind}"),
            study_key=REPORTED,
            kind=kind,
            digest=digest(kind),
            input_digest=digest(source),
            uri=f"/zones/{kind}",
            bytes=size,
            code="0.1.0+3f9a1c27be55",
            created_at=NOON + timedelta(minutes=minute),
        )
        for minute, (kind, source, size) in enumerate(
            (
                ("raw", "raw", 50_812_416),
                ("deid", "raw", 50_799_104),
                ("volume", "deid", 9_437_184),
            )
        )
    ]
    return [study, *events, prediction, *deliveries, *products]


def _quarantined(run: RunContext) -> list[Base]:
    return [
        Study(
            study_key=QUARANTINED,
            patient_key=PATIENT,
            source="main",
            state="quarantined",
            reason=REASON,
            modalities="CT",
            body_part="CHEST",
            study_date="20210331",
            instance_count=76,
            series_count=1,
            received_at=NOON - timedelta(hours=1),
        ),
        Event(
            study_key=QUARANTINED,
            stage="validate",
            state="refused",
            sentence=REASON,
            seconds=2.7,
            at=NOON - timedelta(minutes=50),
            # Mapped, in a run whose id a person chose.
            **{**run.to_dict(), "run_id": "by hand/50 %?#", "map_index": 7, "try_number": 2},
        ),
        QuarantineItem(
            study_key=QUARANTINED,
            stage="validate",
            code="invalid-study",
            reason=REASON,
            digest=digest("gap"),
            uri=f"/zones/quarantine/{QUARANTINED}/gap",
            at=NOON - timedelta(minutes=50),
        ),
        Delivery(
            SOPInstanceUID="2.25.3",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33",
            kind="sr",
            study_key=QUARANTINED,
            prediction_id=digest("prediction of what was whole"),
            destination="archive",
            sha256=digest("late"),
            state="sending",
            reason="out of resources (0xA700)",
            attempts=7,
            trying_since=NOON - timedelta(minutes=40),
        ),
    ]


def _no_model() -> list[Base]:
    return [
        Study(
            study_key=NO_MODEL,
            patient_key="pt-h4n6v2c7z3kx5wqd",
            source="folder",
            state="no-model",
            reason="lung_nodule: modality US is not CT; lung_density: modality US is not CT",
            modalities="US",
            body_part="ABDOMEN",
            description=HOSTILE,
            received_at=NOON - timedelta(hours=2),
        ),
        Event(
            study_key=NO_MODEL,
            stage="route",
            state="done",
            sentence=f"0 jobs. {HOSTILE}",
            seconds=0.2,
            actor="cli",
            at=NOON - timedelta(hours=1),
        ),
    ]
