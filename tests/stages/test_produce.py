"""A product is made once: found, or built, sealed, published and written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import Product, Study, Tombstone, utc_now
from hounsfield.errors import NotFound
from hounsfield.site import Site
from hounsfield.stages.produce import Recipe, open_product, produce
from hounsfield.store.product import read_product, verify
from tests.stages.conftest import RUN

RECIPE = Recipe(
    kind="volume",
    zone="volumes",
    study_key="st-a",
    input_digest="i" * 64,
    packages=("hounsfield.errors",),
    parameters={"spacing": 1},
)


@pytest.fixture
def builder() -> Callable[[Path], dict[str, Any]]:
    """Builds, and counts how often."""

    def build(draft: Path) -> dict[str, Any]:
        build.calls += 1  # type: ignore[attr-defined]
        (draft / "data.bin").write_bytes(b"voxels")
        return {"shape": [1, 2, 3]}

    build.calls = 0  # type: ignore[attr-defined]
    return build


def test_made_and_then_found(site: Site, builder: Any) -> None:
    first, made = produce(site, RECIPE, builder, run=RUN)
    again, made_again = produce(site, RECIPE, builder, run=RUN)
    assert (made, made_again, builder.calls) == (True, False, 1)
    assert again.product_id == first.product_id == RECIPE.identity
    with open_product(site, again) as folder:
        assert verify(folder).digest == again.digest
        assert (folder / "data.bin").read_bytes() == b"voxels"


def test_the_catalog_and_the_manifest_say_the_same(site: Site, builder: Any) -> None:
    produce(site, RECIPE, builder, run=RUN)
    (row,) = site.catalog.all(select(Product))
    with open_product(site, row) as folder:
        sealed = read_product(folder)
    assert (row.digest, row.bytes, row.product_id) == (sealed.digest, 6, sealed.product_id)
    assert row.detail == {"spacing": 1, "shape": [1, 2, 3]}
    assert sealed.detail["provenance"] == {
        "input": RECIPE.input_digest,
        "code": RECIPE.code,
        "bundle": "",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "deid"},
        {"study_key": "st-b"},
        {"series_key": "se-a"},
        {"input_digest": "j" * 64},
        {"parameters": {"spacing": 2}},
        {"packages": ("hounsfield.records",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_another_product(change: dict[str, Any]) -> None:
    other = replace(RECIPE, **change)
    assert other.identity != RECIPE.identity
    assert other.relative != RECIPE.relative


def test_a_build_that_fails_leaves_nothing(site: Site) -> None:
    def build(draft: Path) -> dict[str, Any]:
        (draft / "half.bin").write_bytes(b"ha")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        produce(site, RECIPE, build, run=RUN)
    assert site.catalog.product(RECIPE.identity) is None
    assert not list(Path(site.settings.site.zones["volumes"]).rglob("*.bin"))


def test_killed_before_the_catalog_knows_the_first_product_stands(
    site: Site, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(site.catalog, "put", dying)
    with pytest.raises(KeyboardInterrupt):
        produce(site, RECIPE, builder, run=RUN)
    monkeypatch.undo()
    product, _ = produce(site, RECIPE, builder, run=RUN)
    assert site.catalog.product(RECIPE.identity) is not None
    manifests = list(Path(site.settings.site.zones["volumes"]).rglob("product.json"))
    assert len(manifests) == 1
    with open_product(site, product) as folder:
        verify(folder)


def test_two_runs_side_by_side_make_one(site: Site, builder: Any) -> None:
    """The second starts while the first builds."""

    def meanwhile(draft: Path) -> dict[str, Any]:
        produce(site, RECIPE, builder, run=RUN)
        return builder(draft)

    product, _ = produce(site, RECIPE, meanwhile, run=RUN)
    assert builder.calls == 2
    assert len(site.catalog.all(select(Product))) == 1
    with open_product(site, product) as folder:
        assert verify(folder).digest == product.digest


def erased(site: Site, *_: Any) -> None:
    """Leaves of the study what an erasure does."""
    stone = {"study_key": "st-a", "kind": "study", "uri": "catalog", "case": "c1"}
    why = {"rule": "erase_patient", "why": "asked for"}
    site.catalog.put(Tombstone(**stone, **why, product_id="", deleted_at=utc_now()))


def test_of_a_patient_who_is_erased_meanwhile_nothing_is_published(
    site: Site, builder: Any
) -> None:
    """The run had the study open; a certificate says that nothing of it is here."""

    def build(draft: Path) -> dict[str, Any]:
        erased(site)
        return dict(builder(draft))

    with pytest.raises(NotFound):
        produce(site, RECIPE, build, run=RUN)
    assert not site.zone("volumes").files("st-a")
    assert not site.catalog.all(select(Product))
    site.catalog.put(Study(study_key="st-a", patient_key="pt-a"))  # It was pushed again.
    assert produce(site, RECIPE, builder, run=RUN)[1]


def test_what_was_published_when_the_patient_was_erased_goes(
    site: Site, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment: the bytes are there, and no row yet."""
    monkeypatch.setattr("hounsfield.stages.produce._check_not_erased", erased)
    with pytest.raises(NotFound):
        produce(site, RECIPE, builder, run=RUN)
    assert not site.zone("volumes").files("st-a")
    assert not site.catalog.all(select(Product))
