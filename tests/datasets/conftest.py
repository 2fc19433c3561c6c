"""A site with made-up rows, and products with nothing but a name in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hounsfield.catalog.models import Label, Product, Series, Study
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.store import seal


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(Settings.load({"HOUNSFIELD_HOME": str(tmp_path / "home")}))
    made.set_up()
    return made


def add_volume(site: Site, number: int, *, patient: int | None = None, **facts: Any) -> Product:
    """A prepared study of one series with its volume."""
    study_key, series_key = f"st-{number}", f"2.25.{number}"
    state = facts.pop("state", "prepared")
    known: dict[str, Any] = {
        "modality": "CT",
        "body_part": "CHEST",
        "description": "Thorax 1.0 B70f",
        "manufacturer": "Acme" if number % 2 else "Globex",
        "slice_thickness_mm": 1.0,
        "instance_count": 80,
        **facts,
    }
    patient_key = f"pt-{number if patient is None else patient}"
    site.catalog.put(Study(study_key=study_key, patient_key=patient_key, state=state))
    site.catalog.put(Series(series_key=series_key, study_key=study_key, **known))
    return add_product(site, "volume", number, f"volume of {number}")


def add_product(site: Site, kind: str, number: int, content: str) -> Product:
    zone, relative = site.zone("volumes"), f"st-{number}/{content.replace(' ', '-')}"
    with zone.draft() as draft:
        array = draft / "volume.ome.zarr"
        array.mkdir()
        (array / "zarr.json").write_text(content)
        sealed = seal(draft, product_id=content, kind=kind, study_key=f"st-{number}", detail={})
        zone.commit(draft, relative)
    row = Product(
        product_id=content,
        study_key=f"st-{number}",
        series_key=f"2.25.{number}",
        kind=kind,
        digest=sealed.digest,
        input_digest="0" * 64,
        uri=zone.uri(relative),
    )
    site.catalog.put(row)
    return row


def add_label(site: Site, number: int, version: str = "1") -> Label:
    product = add_product(site, "label", number, f"label {version} of {number}")
    label = Label(
        label_id=f"{number}-{version}",
        series_key=f"2.25.{number}",
        kind="nodule",
        uri=product.uri,
        digest=product.digest,
        source="reader 1",
        version=version,
    )
    site.catalog.put(label)
    return label
