"""chunk: de-identified series to OME-Zarr volumes, laid out for fast reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from hounsfield.catalog.models import Product, Series
from hounsfield.errors import GeometryError, UndecodablePixels
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.produce import Recipe, open_product, produce
from hounsfield.stages.step import step
from hounsfield.volume import Volume, build_volume
from hounsfield.volume.deface import METHOD

__all__ = ["VOLUME", "chunk"]

#: Name of the volume's folder within its product.
VOLUME = "volume.ome.zarr"


def chunk(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """Makes a volume of every series that is one, and notes why the others are none.

    Where the site asks for it, heads lose their faces, and each product says so.

    Returns
    -------
    dict
        ``study_key``, ``volumes`` (product ids) and ``without`` (how many series have none).
    """
    with step(site, study_key, "chunk", run) as record:
        raw = site.catalog.latest(study_key, "raw")
        source = site.catalog.latest(study_key, "deid", input_digest=raw.digest)
        volumes, without = [], []
        with open_product(site, source) as folder:
            for series in sorted(p for p in (folder / "instances").iterdir() if p.is_dir()):
                try:
                    volumes.append(_volume(site, study_key, source, series, run))
                except (GeometryError, UndecodablePixels) as reason:
                    _note(site, series.name, reason.what)
                    without.append(reason.what)
        site.catalog.set_state(study_key, "prepared")
        reasons = f"; {len(without)} series without: {'; '.join(without)}" if without else ""
        record.say(f"{len(volumes)} volumes{reasons}.", digest=source.digest)
        return {
            "study_key": study_key,
            "volumes": [product.product_id for product in volumes],
            "without": len(without),
        }


def _volume(site: Site, study_key: str, source: Product, series: Path, run: RunContext) -> Product:
    deface = site.settings.site.deface
    recipe = Recipe(
        kind="volume",
        zone="volumes",
        study_key=study_key,
        series_key=series.name,
        input_digest=source.digest,
        packages=("hounsfield.volume", "hounsfield.dicom"),
        # Only where it is on, so that the products of sites without it stay what they are.
        parameters={"deface": METHOD} if deface else {},
    )

    def build(draft: Path) -> dict[str, Any]:
        provenance = {"study_key": study_key, "deid": source.digest, "code": recipe.code}
        built = build_volume(
            sorted(series.iterdir()), draft / VOLUME, provenance=provenance, deface=deface
        )
        return _facts(built)

    product, _ = produce(site, recipe, build, run=run)
    return product


def _facts(volume: Volume) -> dict[str, Any]:
    facts = {
        "series_key": volume.series_instance_uid,
        "modality": volume.modality,
        "shape": list(volume.shape),
        "spacing_zyx": [float(mm) for mm in volume.spacing_zyx],
    }
    if "deface" in volume.metadata:
        facts["defaced"] = volume.metadata["deface"]["done"]
    return facts


def _note(site: Site, series_key: str, reason: str) -> None:
    """Keeps the reason with the series, where routing and people find it."""
    with site.catalog.write() as session:
        row = session.scalars(select(Series).where(Series.series_key == series_key)).first()
        if row is not None:
            row.facts = {**row.facts, "no_volume": reason}
