"""Which report a new one takes the place of: the newest that a PACS has, decided once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from hounsfield.catalog.models import Delivery, Prediction, Product
from hounsfield.results import Predecessor, part10
from hounsfield.site import Site
from hounsfield.stages.predecessor import predecessor_of
from hounsfield.store import seal

KEY, NOON = "st-a", datetime(2026, 3, 1, 12, tzinfo=UTC)


def predict(site: Site, number: int, model: str = "lung_nodule") -> Prediction:
    """The prediction of that number; each is an hour after the one before."""
    row = Prediction(
        prediction_id=f"pr-{number}",
        study_key=KEY,
        model=model,
        version="1",
        volume_digest=f"v{number}",
        product_id=f"p{number}",
        created_at=NOON + timedelta(hours=number),
    )
    site.catalog.put(row)
    return row


def build(site: Site, number: int, **detail: Any) -> Predecessor:
    """Results of a prediction, as they lie in the zone; how a later one names them."""
    zone, relative, product_id = site.zone("results"), f"{KEY}/objects/{number}", f"o{number}"
    document = Dataset()
    document.SOPClassUID, document.SOPInstanceUID = ComprehensiveSRStorage, f"2.25.{number}"
    document.SeriesInstanceUID = f"2.25.9{number}"
    with zone.draft() as draft:
        (draft / "sr.dcm").write_bytes(part10(document))
        seal(draft, product_id=product_id, kind="objects", study_key=KEY, detail={})
        zone.commit(draft, relative)
    row = Product(product_id=product_id, study_key=KEY, kind="objects", uri=zone.uri(relative))
    row.digest = row.input_digest = str(number)
    row.detail = {"prediction_id": f"pr-{number}", **detail}
    site.catalog.put(row)
    return Predecessor(f"2.25.{number}", f"2.25.9{number}")


def deliver(site: Site, number: int, state: str = "confirmed") -> None:
    uid = {"SOPInstanceUID": f"2.25.{number}", "SOPClassUID": ComprehensiveSRStorage}
    row = {"kind": "sr", "study_key": KEY, "destination": "pacs", "sha256": "0", "state": state}
    site.catalog.put(Delivery(**uid, **row, prediction_id=f"pr-{number}"))


def test_the_first_has_none(site: Site) -> None:
    assert predecessor_of(site, predict(site, 1)) is None


def test_the_newest_is_named(site: Site) -> None:
    for number in (1, 2):
        predict(site, number)
        newest = build(site, number)
        deliver(site, number)
    assert predecessor_of(site, predict(site, 3)) == newest


@pytest.mark.parametrize("state", ["sending", "refused"])
def test_what_no_pacs_has_is_not_named(site: Site, state: str) -> None:
    for number in (1, 2):
        predict(site, number)
        build(site, number)
    deliver(site, 1)
    deliver(site, 2, state)
    assert predecessor_of(site, predict(site, 3)) == Predecessor("2.25.1", "2.25.91")


def test_another_model_says_something_else(site: Site) -> None:
    predict(site, 1, model="lung_density")
    build(site, 1)
    deliver(site, 1)
    assert predecessor_of(site, predict(site, 2)) is None


def test_neither_itself_nor_a_later_one_is_named(site: Site) -> None:
    for number in (2, 3):
        predict(site, number)
        build(site, number)
        deliver(site, number)
    assert predecessor_of(site, predict(site, 1)) is None
    assert predecessor_of(site, predict(site, 2)) is None


def test_what_was_named_once_is_named_for_ever(site: Site) -> None:
    """Another earlier one was delivered late, when this had been built already."""
    for number in (1, 2):
        predict(site, number)
    first = build(site, 1)
    deliver(site, 1)
    build(site, 2)
    third = predict(site, 3)
    assert predecessor_of(site, third) == first
    named = {"SOPInstanceUID": first.SOPInstanceUID, "SeriesInstanceUID": first.SeriesInstanceUID}
    build(site, 3, predecessor=named)
    deliver(site, 2)
    assert predecessor_of(site, third) == first
    fourth = predict(site, 4)
    build(site, 4)  # It was built without one.
    deliver(site, 3)
    assert predecessor_of(site, fourth) is None
