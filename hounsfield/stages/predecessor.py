"""Predecessors: the report in the PACS whose place the next one of a study and model takes.

Late images make a new revision of a study, and so a new report. It names the one before, so
that a reader who opens either knows of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import dcmread
from sqlalchemy import select

from hounsfield.catalog.models import Delivery, Prediction, Product
from hounsfield.results import Predecessor
from hounsfield.site import Site
from hounsfield.stages.produce import open_product

__all__ = ["predecessor_of"]

#: States of a delivery whose object the destination has taken.
_DELIVERED = ("sent", "confirmed")
_REPORT = "sr.dcm"


def predecessor_of(site: Site, prediction: Prediction) -> Predecessor | None:
    """The newest delivered report of an earlier prediction of the same model on the study.

    Decided once: what the results of this prediction named when they were first built they
    name for ever, whatever was delivered since. So building again gives the same object.
    """
    built = _objects(site, prediction.study_key)
    for product in built:
        if product.detail.get("prediction_id") == prediction.prediction_id:
            named = product.detail.get("predecessor")
            return Predecessor(**named) if named else None
    for earlier in _delivered(site, prediction):
        for product in built:
            if product.detail.get("prediction_id") == earlier.prediction_id:
                report = _report(site, product)
                if report.SOPInstanceUID == earlier.SOPInstanceUID:
                    return report
    return None


def _objects(site: Site, study_key: str) -> Sequence[Product]:
    query = select(Product).where(Product.study_key == study_key, Product.kind == "objects")
    return site.catalog.all(query.order_by(Product.created_at, Product.product_id))


def _delivered(site: Site, prediction: Prediction) -> Sequence[Delivery]:
    """Reports of earlier predictions that a PACS has, the newest first."""
    query = (
        select(Delivery)
        .join(Prediction, Prediction.prediction_id == Delivery.prediction_id)
        .where(
            Delivery.study_key == prediction.study_key,
            Delivery.kind == "sr",
            Delivery.state.in_(_DELIVERED),
            Prediction.model == prediction.model,
            Prediction.prediction_id != prediction.prediction_id,
            Prediction.created_at < prediction.created_at,
        )
    )
    return site.catalog.all(query.order_by(Prediction.created_at.desc(), Delivery.id.desc()))


def _report(site: Site, product: Product) -> Predecessor:
    with open_product(site, product) as folder:
        header = dcmread(folder / _REPORT, specific_tags=["SOPInstanceUID", "SeriesInstanceUID"])
    return Predecessor(str(header.SOPInstanceUID), str(header.SeriesInstanceUID))
