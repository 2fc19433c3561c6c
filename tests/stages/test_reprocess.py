"""Which studies to send through once more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import Event, Study, utc_now
from hounsfield.errors import ConfigError
from hounsfield.site import Site
from hounsfield.stages.reprocess import select_studies, unheard_studies
from hounsfield.vault import Identity
from tests.stages.conftest import RUN

STUDIES = {
    "st-a": ("20260301", "reported"),
    "st-b": ("20260302", "received"),
    "st-c": ("20260302", "quarantined"),
    "st-d": ("20260303", "prepared"),
    "st-e": ("20260401", "no-model"),
}


@pytest.fixture(autouse=True)
def studies(site: Site) -> None:
    for key, (day, state) in STUDIES.items():
        site.vault.put(key, "pt-a", Identity(f"1.2.{key}", "ADA", "", day, "pacs"), run=RUN)
        site.catalog.put(Study(study_key=key, patient_key="pt-a", state=state, revision="r"))


@pytest.mark.parametrize(
    ("first", "last", "only", "keys"),
    [
        ("2026-03-01", "2026-03-31", "all", ["st-a", "st-b", "st-c", "st-d"]),
        ("2026-03-02", "2026-03-02", "all", ["st-b", "st-c"]),
        ("2026-03-01", "2026-04-30", "unfinished", ["st-b", "st-d"]),
        ("2026-03-01", "2026-04-30", "quarantined", ["st-c"]),
        ("2025-01-01", "2025-12-31", "all", []),
        ("2026-03-31", "2026-03-01", "all", []),
    ],
)
def test_the_window_is_of_real_study_dates(
    site: Site, first: str, last: str, only: str, keys: list[str]
) -> None:
    assert select_studies(site, first=first, last=last, only=only, run=RUN) == keys


def test_a_study_that_was_only_found_is_left_to_ingest(site: Site) -> None:
    """The vault knows it, the catalog does not: there is nothing to replay yet."""
    site.vault.put("st-x", "", Identity("1.2.9", "", "", "20260301", "pacs"), run=RUN)
    window = {"first": "2026-03-01", "last": "2026-03-01"}
    assert select_studies(site, **window, run=RUN) == ["st-a"]


def test_a_study_that_never_was_whole_is_left_to_ingest(site: Site) -> None:
    """The catalog shows it, so that a person sees it; it has no revision to replay."""
    site.catalog.put(Study(study_key="st-a", patient_key="pt-a", state="quarantined", revision=""))
    window = {"first": "2026-03-01", "last": "2026-03-01"}
    assert select_studies(site, **window, run=RUN) == []


def test_asking_is_in_the_trail(site: Site) -> None:
    select_studies(site, first="2026-03-01", last="2026-03-02", run=RUN)
    assert [entry.action for entry in site.audit.entries("studies")] == ["vault.window"]


@pytest.mark.parametrize(
    "day", ["", "yesterday", "2026-02-30", "2026-13-01", "01.03.2026", "٢٠٢٦٠٣٠١"]
)
def test_what_is_no_date_is_refused(site: Site, day: str) -> None:
    with pytest.raises(ConfigError, match="2026-03-31"):
        select_studies(site, first=day, last="2026-03-02", run=RUN)


def test_what_came_and_was_never_begun_is_found_whatever_its_day(site: Site) -> None:
    """As when Airflow lost the event of a task that had ended."""
    assert unheard_studies(site, hours=1) == [], "its turn may come yet"
    with site.catalog.write() as session:
        for study in session.scalars(select(Study)):
            study.updated_at = utc_now() - timedelta(hours=2)
    site.catalog.put(Event(study_key="st-a", stage="route", state="done"))
    assert unheard_studies(site, hours=1) == ["st-b", "st-d"]


def test_what_is_prepared_and_waits_for_infer_is_left_waiting(site: Site) -> None:
    """Where that is switched off, each night would send all of them through `prepare` again."""
    assert unheard_studies(site, hours=0) == ["st-b"]
    event = Event(study_key="st-a", stage="route", state="done")
    event.at = utc_now() - timedelta(hours=1)
    site.catalog.put(event)
    assert unheard_studies(site, hours=0) == ["st-b"]


@pytest.mark.parametrize(("digest", "found"), [("r", []), ("an earlier one", ["st-b"])])
def test_what_was_begun_is_left_to_its_run(site: Site, digest: str, found: list[str]) -> None:
    """Which may be red, and waits for a person then. A later revision is to be begun anew."""
    site.catalog.put(Event(study_key="st-b", stage="validate", state="failed", digest=digest))
    site.catalog.put(Event(study_key="st-d", stage="route", state="failed"))
    assert unheard_studies(site, hours=0) == found


def test_what_was_prepared_anew_is_to_be_routed_anew(site: Site) -> None:
    site.catalog.put(Event(study_key="st-d", stage="route", state="done"))
    site.catalog.set_state("st-d", "prepared")
    site.catalog.put(Event(study_key="st-a", stage="route", state="done"))
    assert "st-d" in unheard_studies(site, hours=0)


def test_an_unknown_choice_is_refused(site: Site) -> None:
    with pytest.raises(ConfigError, match="only"):
        select_studies(site, first="2026-03-01", last="2026-03-02", only="some", run=RUN)


def test_only_what_is_prepared_can_go_through_infer(site: Site) -> None:
    window = {"first": "2026-03-01", "last": "2026-04-30"}
    assert select_studies(site, **window, through="infer", run=RUN) == ["st-a", "st-d", "st-e"]
