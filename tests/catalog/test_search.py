"""The list of studies finds what is asked, and nothing that only looks like a pattern."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hounsfield.catalog import Catalog, open_engine, upgrade
from hounsfield.catalog.models import Study
from tests.catalog.conftest import DATABASES, database_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STUDIES = (
    # study, patient, state, modalities, body part, description, shifted date
    ("st-aaaa", "pt-one", "reported", "CT", "CHEST", "THORAX 1.5 MM", "20210305"),
    ("st-bbbb", "pt-one", "quarantined", "CT/SR", "CHEST", "LOW DOSE", "20210331"),
    ("st-cccc", "pt-two", "no-model", "MR", "BRAIN", "T1_MPRAGE 100%", "20200101"),
    ("st-dddd", "pt-two", "received", "US", "", "", ""),
)


@pytest.fixture(scope="module", params=DATABASES)
def catalog(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Catalog]:
    engine = open_engine(database_of(request, tmp_path_factory.mktemp("catalog")))
    upgrade(engine, "catalog")
    catalog = Catalog(engine)
    for age, (key, patient, state, modalities, part, text, day) in enumerate(STUDIES):
        catalog.put(
            Study(
                study_key=key,
                patient_key=patient,
                state=state,
                modalities=modalities,
                body_part=part,
                description=text,
                study_date=day,
                source="pacs",
                received_at=NOON - timedelta(hours=age),
            )
        )
    catalog.put(Study(study_key="st-made", patient_key="pt-made", source="phantoms"))
    yield catalog
    engine.dispose()


def keys(found: tuple[object, int]) -> list[str]:
    rows, total = found
    assert total == len(rows)  # type: ignore[arg-type]
    return [row.study_key[3:7] for row in rows]  # type: ignore[attr-defined]


def test_an_empty_question_lists_all_but_the_generated_newest_first(catalog: Catalog) -> None:
    assert keys(catalog.search()) == ["aaaa", "bbbb", "cccc", "dddd"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("st-bbbb", ["bbbb"]),
        ("BBB", ["bbbb"]),
        ("pt-two", ["cccc", "dddd"]),
        ("chest", ["aaaa", "bbbb"]),
        ("chest dose", ["bbbb"]),
        ("2021", ["aaaa", "bbbb"]),
        ("2021-03-05", ["aaaa"]),
        ("20210305", ["aaaa"]),
        ("  ", ["aaaa", "bbbb", "cccc", "dddd"]),
        # A wildcard is a character like any other.
        ("%", ["cccc"]),
        ("T1_M", ["cccc"]),
        ("st_bbbb", []),
        ("'", []),
        ("\\", []),
        ("/", []),
        ("--", []),
    ],
)
def test_words(catalog: Catalog, text: str, expected: list[str]) -> None:
    assert keys(catalog.search(text)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"state": "quarantined"}, ["bbbb"]),
        ({"state": "report"}, []),
        ({"modality": "ct"}, ["aaaa", "bbbb"]),
        ({"modality": "SR"}, ["bbbb"]),
        ({"modality": "M"}, []),
        ({"body_part": "brai"}, ["cccc"]),
        ({"first": "2021-03-05"}, ["aaaa", "bbbb"]),
        ({"first": "2021-03-06"}, ["bbbb"]),
        ({"last": "2021-03-05"}, ["aaaa", "cccc"]),
        ({"first": "2020-01-01", "last": "2020-12-31"}, ["cccc"]),
        ({"first": "2021-01-01", "last": "2020-01-01"}, []),
        ({"modality": "CT", "state": "reported", "body_part": "chest"}, ["aaaa"]),
    ],
)
def test_fields(catalog: Catalog, asked: dict[str, str], expected: list[str]) -> None:
    assert keys(catalog.search(**asked)) == expected  # type: ignore[arg-type]


def test_pages_are_parts_of_one_order(catalog: Catalog) -> None:
    pages = [catalog.search(limit=1, offset=start) for start in range(5)]
    assert [row.study_key[3:7] for rows, _ in pages for row in rows] == [
        "aaaa",
        "bbbb",
        "cccc",
        "dddd",
    ]
    assert {total for _, total in pages} == {4}


@given(text=st.text(max_size=60))
@example(text="\0")
@example(text="chest\0")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_only_a_text(catalog: Catalog, text: str) -> None:
    """What a study's fields do not contain finds nothing, whatever it is made of."""
    for key in keys(catalog.search(text)):
        row = next(study for study in STUDIES if study[0] == f"st-{key}")
        fields = " ".join(row[:6]).lower()
        for word in text.split():
            day = word.replace("-", "")
            assert word.lower() in fields or (day and row[6].startswith(day))
