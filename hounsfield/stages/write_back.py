"""write back: results meet the patient again, go to the PACS, and are asked for there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError as RowExists

from hounsfield.catalog.models import Delivery, Product, utc_now
from hounsfield.catalog.models import Prediction as PredictionRow
from hounsfield.dicom.reading import read_header
from hounsfield.errors import DeliveryRefused, GeometryError, NotFound, PacsUnavailable
from hounsfield.records import RunContext, StudyManifest
from hounsfield.results import OutputSettings
from hounsfield.settings import parse
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.ingest import client_of
from hounsfield.stages.objects import write_objects
from hounsfield.stages.predecessor import predecessor_of
from hounsfield.stages.predictions import read_prediction
from hounsfield.stages.produce import Recipe, open_product, open_raw, produce
from hounsfield.stages.step import step
from hounsfield.store.product import file_digest
from hounsfield.tracking.lineage import prediction_lineage
from hounsfield.volume import Volume

__all__ = ["build_results", "confirm", "deliver"]


def build_results(
    site: Site, study_key: str, prediction_id: str, *, run: RunContext
) -> dict[str, Any]:
    """Builds the SR, and the SEG where there is a mask, from a prediction.

    The prediction knows only pseudonyms; here its slices are matched with the original
    instances, whose patient and study the results then bear.

    Returns
    -------
    dict
        ``study_key``, ``prediction_id``, ``product_id`` and ``objects`` (how many).

    Raises
    ------
    GeometryError
        If the original instances are not the ones that the volume was made from.
    """
    with step(site, study_key, "build results", run, quarantine=False) as record:
        row = _prediction(site, prediction_id)
        predicted = site.catalog.product(row.product_id)
        if predicted is None:
            raise NotFound("the prediction is no longer in the catalog", where=study_key)
        settings = parse(OutputSettings, site.settings.configs / "outputs.yaml")
        predecessor = predecessor_of(site, row)
        named = {"predecessor": asdict(predecessor)} if predecessor else {}
        recipe = Recipe(
            kind="objects",
            zone="results",
            folder="objects",
            study_key=study_key,
            input_digest=predicted.digest,
            packages=("hounsfield.results",),
            parameters={"prediction_id": prediction_id, "outputs": settings.model_dump(), **named},
        )

        def build(draft: Path) -> dict[str, Any]:
            with open_product(site, predicted) as folder:
                prediction, mask = read_prediction(folder)
            volume = _volume(site, row)
            sources = _sources(site, study_key, volume, run)
            kinds = write_objects(
                draft,
                prediction,
                mask,
                sources,
                volume,
                uid=site.pseudonyms.uid,
                when=row.created_at,
                settings=settings,
                predecessor=predecessor,
            )
            return {"kinds": kinds}

        product, _ = produce(site, recipe, build, run=run)
        kinds = product.detail["kinds"]
        after = "; the report names the one before it" if predecessor else ""
        record.say(
            f"Built {' and '.join(kind.upper() for kind in kinds)}{after}.", digest=product.digest
        )
        return {
            "study_key": study_key,
            "prediction_id": prediction_id,
            "product_id": product.product_id,
            "objects": len(kinds),
        }


def deliver(site: Site, study_key: str, product_id: str, *, run: RunContext) -> dict[str, Any]:
    """Stores the objects of a product in the PACS that the study came from.

    A refusal is permanent: the object stays in the results zone, the reason in quarantine.

    Raises
    ------
    DeliveryRefused
        If the PACS refuses an object for good.
    PacsUnavailable
        If it may take it later.
    """
    with step(site, study_key, "write back", run, quarantine=False) as record:
        product = _product(site, product_id, study_key)
        identity = site.vault.open(study_key, purpose="write back", run=run)
        client = client_of(site.settings.sources[identity.source])
        with open_product(site, product) as folder:
            files = sorted(folder.glob("*.dcm"))
            rows = [_delivery(site, product, path, identity.source) for path in files]
            outcomes = client.store(files)
        refused = []
        for row, outcome in zip(rows, outcomes, strict=True):
            row.attempts += 1
            row.sent_at = utc_now()
            row.state = "sent" if outcome.is_stored else "refused"
            row.reason = "" if outcome.is_stored else outcome.reason
            if not outcome.is_stored:
                refused.append(outcome.reason)
                site.catalog.quarantine(
                    study_key,
                    stage="write back",
                    code=DeliveryRefused.code,
                    reason=outcome.reason,
                    digest=row.sha256,
                    uri=product.uri,
                )
        site.catalog.put(*rows)
        if refused:
            raise DeliveryRefused(
                f"the PACS refused {len(refused)} of {len(rows)} results: {refused[0]}",
                where=study_key,
                remedy="the objects are kept; mend the cause and clear this task",
            )
        record.say(f"Stored {len(rows)} results in {identity.source}.", digest=product.digest)
        return {"study_key": study_key, "product_id": product_id, "sent": len(rows)}


def confirm(site: Site, study_key: str, product_id: str, *, run: RunContext) -> dict[str, Any]:
    """Asks the PACS at instance level for each object that was sent.

    Raises
    ------
    PacsUnavailable
        If one is not listed (yet); the next try asks again.
    """
    with step(site, study_key, "confirm", run, quarantine=False) as record:
        product = _product(site, product_id, study_key)
        identity = site.vault.open(study_key, purpose="confirm delivery", run=run)
        client = client_of(site.settings.sources[identity.source])
        listed = {ref.SOPInstanceUID for ref in client.find_instances(identity.StudyInstanceUID)}
        rows = site.catalog.all(
            select(Delivery).where(
                Delivery.study_key == study_key,
                Delivery.prediction_id == product.detail["prediction_id"],
                Delivery.state.in_(("sent", "confirmed")),
            )
        )
        absent = [row for row in rows if row.SOPInstanceUID not in listed]
        if absent or not rows:
            raise PacsUnavailable(
                f"the PACS does not list {len(absent)} of {len(rows)} results",
                where=study_key,
                remedy="the next try asks again",
            )
        for row in rows:
            row.state, row.confirmed_at = "confirmed", row.confirmed_at or utc_now()
        site.catalog.put(*rows)
        tracker = tracker_of(site)  # MLflow then names the results beside their prediction.
        prediction_id = product.detail["prediction_id"]
        tracker.log_prediction(prediction_lineage(site, prediction_id, tracker=tracker))
        record.say(f"The PACS lists all {len(rows)} results.", digest=product.digest)
        return {"study_key": study_key, "confirmed": len(rows)}


def _delivery(site: Site, product: Product, path: Path, destination: str) -> Delivery:
    """The row of one object on its way: the one that is there, or a new one.

    Written before the object is sent, so that two runs at once share it.
    """
    header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID", "SOPClassUID"])
    query = select(Delivery).where(
        Delivery.SOPInstanceUID == str(header.SOPInstanceUID), Delivery.destination == destination
    )
    if not site.catalog.all(query):
        row = Delivery(
            SOPInstanceUID=str(header.SOPInstanceUID),
            SOPClassUID=str(header.SOPClassUID),
            kind=path.stem,
            study_key=product.study_key,
            prediction_id=product.detail["prediction_id"],
            destination=destination,
            sha256=file_digest(path),
        )
        with suppress(RowExists):
            site.catalog.put(row)
    known: Delivery = site.catalog.all(query)[0]
    return known


def _sources(site: Site, study_key: str, volume: Volume, run: RunContext) -> Sequence[Dataset]:
    """Headers of the original instances in the volume's slice order."""
    with open_raw(site, study_key, purpose="build results", run=run) as (folder, manifest):
        paths = _by_new_uid(site, manifest, folder)
        try:
            return [read_header(paths[uid]) for uid in volume.sop_instance_uids]
        except KeyError:
            raise GeometryError(
                "the raw revision has not the instances that the volume was made from",
                where=study_key,
                remedy="run prepare and infer again for this study",
            ) from None


def _by_new_uid(site: Site, manifest: StudyManifest, folder: Path) -> dict[str, Path]:
    """Paths by the UID that a model knows; profiles that retain UIDs leave it as it was."""
    paths = {entry.SOPInstanceUID: folder / entry.path for entry in manifest.instances}
    return {**paths, **{site.pseudonyms.uid(uid): path for uid, path in paths.items()}}


def _volume(site: Site, row: PredictionRow) -> Volume:
    query = select(Product).where(Product.kind == "volume", Product.digest == row.volume_digest)
    source = site.catalog.all(query.where(Product.study_key == row.study_key))[0]
    with open_product(site, source) as folder:
        return Volume.open(folder / VOLUME)


def _prediction(site: Site, prediction_id: str) -> PredictionRow:
    rows = site.catalog.all(
        select(PredictionRow).where(PredictionRow.prediction_id == prediction_id)
    )
    if not rows:
        raise NotFound("the catalog knows no such prediction", where=prediction_id[:16])
    row: PredictionRow = rows[0]
    return row


def _product(site: Site, product_id: str, study_key: str) -> Product:
    product = site.catalog.product(product_id)
    if product is None:
        raise NotFound("the results are no longer in the catalog", where=study_key)
    return product
