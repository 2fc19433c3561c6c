"""Make a product once: find it, or build it, seal it, publish it and write it down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hounsfield.catalog.models import Product
from hounsfield.errors import NotFound
from hounsfield.provenance import bundle_digest, code_version, product_id
from hounsfield.records import RunContext, StudyManifest
from hounsfield.site import Site
from hounsfield.stages.revision import raw_manifest
from hounsfield.store import Zone, seal

__all__ = ["Recipe", "open_product", "open_raw", "passed_on", "produce"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a product is made from: its identity before it exists.

    Attributes
    ----------
    packages
        Those whose code its content depends on.
    series_key
        Empty for a product of the whole study.
    """

    kind: str
    zone: str
    study_key: str
    input_digest: str
    packages: tuple[str, ...]
    parameters: dict[str, Any]
    series_key: str = ""
    folder: str = ""

    @property
    def code(self) -> str:
        return code_version(*self.packages)

    @property
    def identity(self) -> str:
        parts = {**self.parameters, "study_key": self.study_key, "series_key": self.series_key}
        return product_id(self.kind, self.input_digest, self.code, parts)

    @property
    def relative(self) -> str:
        parts = (self.study_key, self.folder, self.series_key, self.identity[:16])
        return "/".join(part for part in parts if part)


def produce(
    site: Site, recipe: Recipe, build: Callable[[Path], dict[str, Any]], *, run: RunContext
) -> tuple[Product, bool]:
    """The product of a recipe, and whether it was made just now.

    Parameters
    ----------
    build
        Fills a draft folder and gives what the catalog shall know about it.

    Raises
    ------
    NotFound
        If the patient was erased while it was made: nothing of it stays then.
    """
    known = site.catalog.product(recipe.identity)
    if known is not None:
        return known, False
    zone = site.zone(recipe.zone, site.region_of(recipe.study_key))
    made = not zone.has(recipe.relative)  # Else a run died before it could write it down.
    if made:
        _build(site, zone, recipe, build)
    row = _row(zone, recipe, run)
    try:
        site.catalog.put(row)
    except NotFound:
        zone.purge(recipe.relative)
        raise
    return site.catalog.product(recipe.identity) or row, made


def _build(site: Site, zone: Zone, recipe: Recipe, build: Callable[[Path], dict[str, Any]]) -> None:
    with zone.draft() as draft:
        detail = {**recipe.parameters, **build(draft)}
        _check_not_erased(site, recipe.study_key)
        provenance = {"input": recipe.input_digest, "code": recipe.code, "bundle": bundle_digest()}
        seal(
            draft,
            product_id=recipe.identity,
            kind=recipe.kind,
            study_key=recipe.study_key,
            detail={**detail, "provenance": provenance},
            region=zone.region,
        )
        zone.commit(draft, recipe.relative)


def _check_not_erased(site: Site, study_key: str) -> None:
    """A study that was pushed again after an erasure is here again, and has a row."""
    if site.catalog.is_erased(study_key):
        site.catalog.study(study_key)


def _row(zone: Zone, recipe: Recipe, run: RunContext) -> Product:
    """What the catalog shall know: what the sealed product says, whoever made it."""
    sealed = zone.product(recipe.relative)
    return Product(
        product_id=recipe.identity,
        study_key=recipe.study_key,
        series_key=recipe.series_key,
        kind=recipe.kind,
        digest=sealed.digest,
        input_digest=recipe.input_digest,
        uri=zone.uri(recipe.relative),
        bytes=sealed.size,
        code=recipe.code,
        detail={name: value for name, value in sealed.detail.items() if name != "provenance"},
        run_id=run.run_id,
    )


def passed_on(source: Product) -> dict[str, Any]:
    """What a product says of the one that it is made from: by which profile it lost the patient.

    Empty where there was no patient, as of phantoms.
    """
    return {key: source.detail[key] for key in ("profile_digest",) if key in source.detail}


@contextmanager
def open_product(site: Site, product: Product) -> Iterator[Path]:
    """A local folder with a product, from whichever zone or tier holds it."""
    zone, relative = site.locate(product.uri)
    with zone.open(relative) as folder:
        yield folder


@contextmanager
def open_raw(
    site: Site, study_key: str, *, purpose: str, run: RunContext
) -> Iterator[tuple[Path, StudyManifest]]:
    """The newest revision of a study as received: its instances' folder and its manifest.

    PHI: each opening is an audit event.
    """
    held = site.catalog.latest(study_key, "raw")
    site.audit.append(
        action="raw.read", object=study_key, purpose=purpose, run=run, detail=held.digest
    )
    with open_product(site, held) as folder:
        yield folder / "instances", raw_manifest(folder)
