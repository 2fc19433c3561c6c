"""What the pages show, and what they make of what nobody should ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hounsfield.site import Site
from tests.plugins import made_up
from tests.plugins.conftest import open_site
from tests.plugins.made_up import HOSTILE, NO_MODEL, QUARANTINED, REASON, REPORTED

OpenPage = Callable[..., Any]
LIST = "/hounsfield/"


class Reader(HTMLParser):
    """The links of a page, its scripts, and its text as a person sees it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.text += " "  # As a person sees it, cells stand apart.

    def handle_data(self, data: str) -> None:
        self.text += data


def keys(page: str) -> list[str]:
    return re.findall(r'href="/hounsfield/studies/(st-[^"]+)"', page)


def test_the_list(open_page: OpenPage, filled: Site) -> None:
    page = open_page(filled).get(LIST)
    assert page.status_code == 200
    assert keys(page.text) == [REPORTED, QUARANTINED, NO_MODEL]
    shown = Reader(page.text).text
    for words in ("2021-03-05", "2026-03-02 12:00:05", "Received (UTC)", REASON, "all3"):
        assert words in shown


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"q": REPORTED}, [REPORTED]),
        ({"q": made_up.PATIENT}, [REPORTED, QUARANTINED]),
        ({"q": " low dose "}, [REPORTED]),
        ({"modality": "us"}, [NO_MODEL]),
        ({"body_part": "chest", "state": "quarantined"}, [QUARANTINED]),
        ({"first": "2021-03-06", "last": ""}, [QUARANTINED]),
        ({"first": "2021-03-01", "last": "2021-03-30"}, [REPORTED]),
        ({"q": "%"}, [NO_MODEL]),
        ({"q": "'; DROP TABLE studies; --"}, []),
        ({"state": "<b>"}, []),
        ({"q": "Ω≠🩻"}, []),
    ],
)
def test_search(
    open_page: OpenPage, filled: Site, asked: dict[str, str], expected: list[str]
) -> None:
    page = open_page(filled).get(LIST, params=asked)
    assert page.status_code == 200
    assert keys(page.text) == expected
    if not expected:
        assert "No study is all of this." in page.text


@pytest.mark.parametrize(
    "asked",
    [
        {"q": "x" * 10_000},
        {"q": "\0"},
        {"first": "yesterday"},
        {"last": "2021-03-05' OR 1=1"},
        {"page": "0"},
        {"page": "-1"},
        {"page": "1e9"},
        {"page": HOSTILE},
        {"modality": HOSTILE * 10},
    ],
)
def test_what_is_no_question_is_refused_and_not_quoted(
    open_page: OpenPage, filled: Site, asked: dict[str, str]
) -> None:
    page = open_page(filled).get(LIST, params=asked)
    assert page.status_code == 422
    assert "Not understood" in page.text
    assert all(value not in page.text for value in asked.values() if len(value) > 3)
    assert not keys(page.text)


@pytest.mark.parametrize("path", [LIST, f"/hounsfield/studies/{NO_MODEL}"])
def test_hostile_text_is_text(open_page: OpenPage, filled: Site, path: str) -> None:
    page = open_page(filled).get(path, params={"q": HOSTILE})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert escape(HOSTILE)[:20] in page.text
    scripts = [attributes for tag, attributes in Reader(page.text).tags if tag == "script"]
    assert len(scripts) == 1 and scripts[0]["nonce"]
    assert not [a for _, attributes in Reader(page.text).tags for a in attributes if a[:2] == "on"]


def test_pages_of_a_long_list(open_page: OpenPage, tmp_path: Path) -> None:
    site = open_site(tmp_path)
    made_up.fill_many(site, 120)
    client = open_page(site)
    seen, address = [], "?body_part=knee"
    while address:
        page = client.get(LIST + address).text
        seen.append(keys(page))
        more = re.search(r'rel="next" href="/hounsfield/([^"]+)"', page)
        address = more.group(1).replace("&amp;", "&") if more else ""
        assert not address or "body_part=knee" in address
    assert [len(part) for part in seen] == [50, 50, 20]
    assert len({key for part in seen for key in part}) == 120
    beyond = client.get(LIST, params={"page": 9})
    assert beyond.status_code == 200 and "There is no page 9" in beyond.text


def test_an_empty_catalog(open_page: OpenPage, empty: Site) -> None:
    page = open_page(empty).get(LIST)
    assert page.status_code == 200
    assert "There are no studies yet." in page.text


@pytest.mark.parametrize(
    "key", ["st-none", "%00", "..%2F..%2Fetc", "'", "%F0%9F%A9%BB", "x" * 4000]
)
def test_an_unknown_study_is_not_found(open_page: OpenPage, filled: Site, key: str) -> None:
    page = open_page(filled).get(f"/hounsfield/studies/{key}")
    assert page.status_code == 404
    assert "There is no such study or page." in page.text


def test_the_life_of_a_study(open_page: OpenPage, filled: Site) -> None:
    page = open_page(filled).get(f"/hounsfield/studies/{REPORTED}")
    shown = Reader(page.text)
    told = [event.sentence for event in filled.catalog.timeline(REPORTED)]
    places = [shown.text.index(sentence) for sentence in told]
    assert places == sorted(places)
    for words in (
        "prepare run asset__1, started by admin",
        "1 min 15 s",
        "< 0.1 s",
        "0.1.0+3f9a1c27be55",
        "not for diagnostic use",
        "1 nodule: 6.4 mm, confidence 0.91.",
        "confirmed",
        "50.8 MB",
    ):
        assert words in shown.text
    assert shown.links.count("/dags/prepare/runs/asset__1/tasks/validate?try_number=1") == len(told)
    # A digest is shown short by its style, and is whole to copy and in its title.
    digest = made_up.digest("raw")
    assert digest in shown.text
    assert ("code", {"class": "digest ", "title": digest}) in shown.tags


def test_the_reason_of_a_quarantine_stands_first(open_page: OpenPage, filled: Site) -> None:
    page = open_page(filled).get(f"/hounsfield/studies/{QUARANTINED}").text
    assert page.index("Why it is in quarantine") < page.index(REASON) < page.index("Timeline")
    run = "/dags/prepare/runs/by%20hand%2F50%20%25%3F%23"
    assert f'href="{run}"' in page
    assert f'href="{run}/tasks/validate/mapped/7?try_number=2"' in page
    assert "invalid-study" in page


def test_what_became_of_each_delivery(open_page: OpenPage, filled: Site) -> None:
    client = open_page(filled)
    proven = Reader(client.get(f"/hounsfield/studies/{REPORTED}").text)
    assert "commitment" in proven.text
    page = client.get(f"/hounsfield/studies/{QUARANTINED}").text
    row = page[page.index("Deliveries</h2>") :].split("<tr>")[2].partition("</tr>")[0]
    cells = " ".join(Reader(row).text.split())
    assert cells == (
        "SR 2.25.3 archive sending out of resources (0xA700) 7 2026-03-02 11:20:05 – – –"
    )
    assert 'title="not acknowledged yet; tried again' in row
    assert f"Kept in /zones/quarantine/{QUARANTINED}/gap" in page


def test_what_a_person_did_outside_airflow_has_no_log(open_page: OpenPage, filled: Site) -> None:
    page = Reader(open_page(filled).get(f"/hounsfield/studies/{NO_MODEL}").text)
    assert "Outside Airflow by cli" in page.text
    assert not [link for link in page.links if "/dags/" in link]


@pytest.mark.parametrize("url", ["", "http://mlflow:5000/"])
def test_models_lead_to_mlflow_where_it_is_known(
    open_page: OpenPage, filled: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOUNSFIELD_MLFLOW_URL", url)
    page = Reader(open_page(filled).get(f"/hounsfield/studies/{REPORTED}").text)
    links = [link for link in page.links if "models" in link]
    assert links == ["http://mlflow:5000/#/models/lung_nodule/versions/3"] * bool(url)


def test_links_stand_below_airflows_own_address(open_page: OpenPage, filled: Site) -> None:
    """Where a proxy serves Airflow below a prefix, every link of the pages is below it too."""
    client = open_page(filled, prefix="/flow")
    for path in ("hounsfield/", f"hounsfield/studies/{REPORTED}", "hounsfield/studies/none"):
        page = Reader(client.get(f"/flow/{path}").text)
        local = [link for link in page.links if not link.startswith("http")]
        assert local and all(link.startswith("/flow/") for link in local)
        forms = [attributes["action"] for tag, attributes in page.tags if tag == "form"]
        assert all(action == "/flow/hounsfield/" for action in forms)


@pytest.mark.parametrize("path", [LIST, f"/hounsfield/studies/{REPORTED}", "/hounsfield/nothing"])
def test_headers(open_page: OpenPage, filled: Site, path: str) -> None:
    client = open_page(filled)
    first, second = client.get(path), client.get(path)
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy and "*" not in policy
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    assert first.text.count(f'nonce="{nonce}"') == 2 and nonce not in second.text
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["referrer-policy"] == "no-referrer"
    assert first.headers["cache-control"] == "no-store"
    assert "style=" not in first.text


def test_a_catalog_that_does_not_answer(open_page: OpenPage, tmp_path: Path) -> None:
    """No tables: a page that says so, without the statement or the database's address."""
    environ_site = open_site(tmp_path)
    with environ_site.catalog.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE studies")
    page = open_page(environ_site).get(LIST)
    assert page.status_code == 503
    assert "SELECT" not in page.text and str(tmp_path) not in page.text


def test_neither_key_nor_vault_is_opened(open_page: OpenPage, filled: Site) -> None:
    client = open_page(filled)
    for path in (LIST, *(f"/hounsfield/studies/{k}" for k in (REPORTED, QUARANTINED, NO_MODEL))):
        assert client.get(path).status_code == 200
    written = {path.name for path in filled.settings.home.rglob("*") if path.is_file()}
    assert written and all(name.startswith("catalog.db") for name in written)
