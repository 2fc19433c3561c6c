"""Orphans: found both ways, and left where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, event, select

from hounsfield.catalog.models import OpenMove, Orphan, Product, QuarantineItem
from hounsfield.site import Site
from hounsfield.stages.orphans import find_orphans, note_orphans
from hounsfield.stages.scrub import scrub
from hounsfield.store import Zone
from tests.stages.conftest import RUN
from tests.stages.erasing import half_of_a_move
from tests.stages.kept import PLACES, keep, keep_study
from tests.stages.test_scrub import with_copies


def found(site: Site) -> list[tuple[str, str, str]]:
    return sorted(
        (row.place, row.what, row.uri.rpartition("/zones/")[2]) for row in find_orphans(site)
    )


def test_what_the_catalog_names_and_what_is_on_its_way_is_none(site: Site) -> None:
    keep_study(site, "st-a", "pt-a")
    for kind in PLACES:
        keep(site, kind, "st-a")
    raw, quarantine = (Path(site.zone(name).root) for name in ("raw", "quarantine"))
    for path in (raw / ".staging/st-b/x", raw / ".drafts/y/x", quarantine / "st-a/second.dcm"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    uri = site.zone("quarantine").uri("st-a/second.dcm")
    site.catalog.put(QuarantineItem(study_key="st-a", stage="s", code="c", reason="r", uri=uri))
    assert found(site) == []


def test_each_product_is_read_once_an_asking_and_no_place_asked_for_what_it_listed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_study(site, "st-a", "pt-a")
    for kind in PLACES:
        keep(site, kind, "st-a")
    asked: list[str] = []
    monkeypatch.setattr(Zone, "has", lambda zone, relative: asked.append(relative))
    statements: list[str] = []
    engine = site.catalog.engine
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert found(site) == []
    assert asked == [], "on an object store each would be a request"
    of_products = [told for told in statements if "FROM products" in told]
    assert len(of_products) == 3, "before the listing, after it, and for what is missing"
    assert not any("detail" in told for told in of_products)


def test_a_move_to_a_tier_that_is_no_more_makes_no_orphan_of_a_copy(
    site: Site, tmp_path: Path
) -> None:
    keep_study(site, "st-a", "pt-a")
    product = keep(site, "raw", "st-a")
    with_copies(site, "hot", "raw", tmp_path / "second")
    scrub(site, [product.product_id], run=RUN)
    site.catalog.put(OpenMove(product_id=product.product_id, source="hot", target="ice"))
    assert found(site) == []


def test_each_kind_is_found_and_stays(site: Site) -> None:
    keep_study(site, "st-a", "pt-a")
    lost, _, missing = (keep(site, kind, "st-a") for kind in ("volume", "deid", "raw"))
    with site.catalog.write() as session:
        session.execute(delete(Product).where(Product.product_id == lost.product_id))
    site.zone("raw").delete("st-a/raw")
    left = Path(site.tier("warm", "volume").root) / "st-a" / "half" / "of-a-move.bin"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"1234567")
    assert found(site) == [
        ("raw", "row", "raw/st-a/raw"),
        ("volumes", "product", "volumes/st-a/2.25.1/volume"),
        ("warm-volume", "files", "warm/volumes/st-a"),
    ]
    assert note_orphans(site) == note_orphans(site) == 3
    rows = {row.what: row for row in site.catalog.all(select(Orphan))}
    assert (rows["files"].files, rows["files"].bytes) == (1, 7)
    assert (rows["product"].files, rows["row"].bytes) == (2, missing.bytes)
    assert left.exists() and site.zone("volumes").has("st-a/2.25.1/volume")


def test_the_half_of_a_move_is_one_once_no_row_explains_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_study(site, "st-a", "pt-a")
    product = keep(site, "raw", "st-a")
    begun = OpenMove(product_id=product.product_id, source="hot", target="warm")
    site.catalog.put(begun)
    left = half_of_a_move(site, product)
    assert found(site) == []

    def listed(zone: Zone, *args: str) -> dict[str, int]:
        """As it was when the move came to its end."""
        with site.catalog.write() as session:
            session.execute(delete(OpenMove))
        return files(zone, *args)

    files = Zone.files
    with monkeypatch.context() as patch:
        patch.setattr(Zone, "files", listed)
        assert found(site) == []
    name = "st-a~" + product.uri.rpartition("st-a/")[2].replace("/", "~")
    assert found(site) == [("warm-raw", "files", f"warm/raw/.staging/{name}")]
    assert left()


def test_a_place_within_another_is_looked_at_once(site: Site) -> None:
    tiers = site.settings.tiers.tiers
    roots = {"raw": f"{tiers['hot'].roots['raw']}/warm", "volume": tiers["warm"].roots["volume"]}
    warm = tiers["warm"].model_copy(update={"roots": roots})
    nested = site.settings.tiers.model_copy(update={"tiers": {**tiers, "warm": warm}})
    site.settings = site.settings.model_copy(update={"tiers": nested})
    path = Path(roots["raw"]) / "st-a" / "x.bin"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    assert [row[:2] for row in found(site)] == [("warm-raw", "files")]
