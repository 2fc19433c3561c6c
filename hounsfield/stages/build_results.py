"""build results: what a model said becomes DICOM objects, and meets the patient again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import select

from hounsfield.catalog.models import Prediction as PredictionRow
from hounsfield.catalog.models import Product
from hounsfield.dicom.reading import read_header
from hounsfield.errors import GeometryError, NotFound
from hounsfield.records import RunContext, StudyManifest
from hounsfield.results import OutputSettings
from hounsfield.settings import parse
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME
from hounsfield.stages.objects import write_objects
from hounsfield.stages.predecessor import predecessor_of
from hounsfield.stages.predictions import read_prediction
from hounsfield.stages.produce import Recipe, open_product, open_raw, passed_on, produce
from hounsfield.stages.step import step
from hounsfield.volume import Volume

__all__ = ["build_results"]


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
            zone="objects",
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
                uid=site.pseudonyms_for(study_key).uid,
                when=row.created_at,
                settings=settings,
                predecessor=predecessor,
                **passed_on(predicted),
            )
            return {"kinds": kinds, **passed_on(predicted)}

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
    names = site.pseudonyms_for(manifest.study_key)
    return {**paths, **{names.uid(uid): path for uid, path in paths.items()}}


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
