"""The page of what lies where: costs by month, and orphans."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import update

from hounsfield.catalog.models import Orphan, Product
from hounsfield.site import Site
from hounsfield.stages.costs import measure_storage
from tests.plugins import made_up
from tests.plugins.conftest import RUN, open_site
from tests.plugins.made_up import HOSTILE
from tests.plugins.test_pages import Reader

OpenPage = Callable[..., Any]


def fill(site: Site) -> None:
    """Two months; in the second the volume has moved; an orphan of each kind."""
    made_up.fill(site, RUN)
    with site.catalog.write() as session:
        session.execute(update(Product).values(bytes=2_000_000_000_000))
    measure_storage(site, date(2026, 3, 31))
    moved = update(Product).where(Product.kind == "volume")
    with site.catalog.write() as session:
        session.execute(moved.values(tier="warm"))
    measure_storage(site, date(2026, 4, 1))
    site.catalog.put(
        Orphan(place="raw", what="row", uri="/zones/raw/st-a/1", bytes=7),
        Orphan(place="warm-volume", what="files", uri=f"/zones/{HOSTILE}", files=3, bytes=5_000),
    )


def test_costs_and_orphans(open_page: OpenPage, tmp_path: Path) -> None:
    site = open_site(tmp_path)
    fill(site)
    page = open_page(site).get("/hounsfield/storage")
    assert page.status_code == 200 and "<script>alert" not in page.text
    text = " ".join(Reader(page.text).text.split())
    assert text.index("2026-04") < text.index("2026-03")
    assert "2026-04 hot default CT/SR 4.0 TB 92.00" in text
    assert "2026-04 warm default CT/SR 2.0 TB 25.00" in text
    assert "2026-03 hot default CT/SR 6.0 TB 138.00" in text
    assert "2026-04 6.0 TB 117.00" in text, "the sum of the month"
    assert "raw row /zones/raw/st-a/1 0 7 Bytes" in text
    assert "the catalog names it, and it is not there" in page.text


def test_before_anything_is_measured(open_page: OpenPage, empty: Site) -> None:
    text = Reader(open_page(empty).get("/hounsfield/storage").text).text
    assert "Nothing is measured yet." in text and "The last look found none." in text


def test_the_list_leads_there(open_page: OpenPage, empty: Site) -> None:
    client = open_page(empty, prefix="/flow")
    links = Reader(client.get("/flow/hounsfield/").text).links
    assert "/flow/hounsfield/storage" in links
    assert client.get("/flow/hounsfield/storage").status_code == 200
