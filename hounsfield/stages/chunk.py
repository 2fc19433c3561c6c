"""chunk: de-identified series to OME-Zarr volumes, laid out for fast reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hounsfield.catalog.models import Product, Series
from hounsfield.errors import GeometryError, UndecodablePixels
from hounsfield.records import RunContext, counted
from hounsfield.site import Site
from hounsfield.stages.produce import Recipe, open_product, passed_on, produce
from hounsfield.stages.step import step
from hounsfield.volume import Volume, build_volume
from hounsfield.volume.deface import METHOD
from hounsfield.volume.layout import LAYOUTS
from hounsfield.volume.series import parts_of

__all__ = ["VOLUME", "chunk"]

#: Name of the volume's folder within its product.
VOLUME = "volume.ome.zarr"


def chunk(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """Makes a volume of every series that is one, and notes why the others are none.

    Of a series of several pictures each is a volume, or none by itself.

    Where the site asks for it, heads lose their faces, and each product says so.

    Returns
    -------
    dict
        ``study_key``, ``volumes`` (product ids) and ``without`` (how many series, or pictures of
        one, have none).
    """
    with step(site, study_key, "chunk", run) as record:
        raw = site.catalog.latest(study_key, "raw")
        source = site.catalog.latest(study_key, "deid", input_digest=raw.digest)
        volumes, without = [], []
        with open_product(site, source) as folder:
            for series, paths, which in _parts(folder / "instances"):
                try:
                    volumes.append(_volume(site, study_key, source, series, paths, run, which))
                except (GeometryError, UndecodablePixels) as reason:
                    _note(site, series, reason.what)
                    without.append(reason.what)
        site.catalog.set_state(study_key, "prepared")
        reasons = f"; {len(without)} without: {'; '.join(without)}" if without else ""
        record.say(f"{counted(len(volumes), 'volume')}{reasons}.", digest=source.digest)
        return {
            "study_key": study_key,
            "volumes": [product.product_id for product in volumes],
            "without": len(without),
        }


def _parts(folder: Path) -> Iterator[tuple[str, Sequence[Path], dict[str, Any]]]:
    """Each series, or each of its pictures: its key, its files, and which picture it is."""
    for series in sorted(path for path in folder.iterdir() if path.is_dir()):
        parts = parts_of(sorted(series.iterdir()))
        for number, paths in enumerate(parts, start=1):
            # Only where there are several, so that the products of stacks stay what they are.
            yield series.name, paths, {"picture": number} if len(parts) > 1 else {}


def _volume(
    site: Site,
    study_key: str,
    source: Product,
    series_key: str,
    paths: Sequence[Path],
    run: RunContext,
    which: dict[str, Any],
) -> Product:
    deface, settings = site.settings.site.deface, site.settings.site.volumes
    # Only where it is on, so that the products of sites without it stay what they are.
    changed = {"deface": METHOD} if deface else {}
    changed |= {"resample_tilt": "linear"} if settings.resample_tilt else {}
    recipe = Recipe(
        kind="volume",
        zone="volumes",
        study_key=study_key,
        series_key=series_key,
        input_digest=source.digest,
        packages=("hounsfield.volume", "hounsfield.dicom"),
        parameters={**which, **changed},
    )

    def build(draft: Path) -> dict[str, Any]:
        provenance = {"study_key": study_key, "deid": source.digest, "code": recipe.code}
        provenance |= passed_on(source)
        built = build_volume(
            paths,
            draft / VOLUME,
            provenance=provenance,
            layout=LAYOUTS[settings.recipe],
            workers=settings.workers,
            memory_bytes=settings.memory_mib << 20,
            deface=deface,
            resample_tilt=settings.resample_tilt,
        )
        return {**_facts(built), **passed_on(source)}

    product, _ = produce(site, recipe, build, run=run)
    return product


def _facts(volume: Volume) -> dict[str, Any]:
    facts = {
        "series_key": volume.series_instance_uid,
        "modality": volume.modality,
        "axes": list(volume.axes),
        "shape": list(volume.shape),
        "spacing_zyx": [float(mm) for mm in volume.spacing_zyx] if volume.has_place else None,
        "regular": volume.is_regular,
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
