"""Studies of made-up patients with a product in each zone, to be deleted or to be kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hounsfield.catalog.models import Product, Study, utc_now
from hounsfield.site import Site
from hounsfield.store import seal

__all__ = ["PLACES", "keep", "keep_study"]

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
