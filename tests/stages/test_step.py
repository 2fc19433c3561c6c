"""A step writes its event whatever the end, and sorts its failures."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import Event, QuarantineItem, Study, Tombstone, utc_now
from hounsfield.errors import InternalError, InvalidStudy, NotYet, PacsUnavailable
from hounsfield.site import Site
from hounsfield.stages.step import step
from tests.stages.conftest import RUN

KEY = "st-a"


@pytest.fixture(autouse=True)
def study(site: Site) -> None:
    site.catalog.put(Study(study_key=KEY, patient_key="pt-a"))


def only_event(site: Site) -> Event:
    (event,) = site.catalog.timeline(KEY)
    return event


def test_what_was_done_is_told(site: Site) -> None:
    with step(site, KEY, "chunk", RUN) as record:
        record.say("2 volumes.", digest="d", version="v")
    event = only_event(site)
    assert (event.stage, event.state, event.sentence) == ("chunk", "done", "2 volumes.")
    assert (event.digest, event.version) == ("d", "v")
    assert event.seconds >= 0


def test_it_names_the_run(site: Site) -> None:
    with step(site, KEY, "chunk", RUN):
        pass
    event = only_event(site)
    assert {name: getattr(event, name) for name in RUN.to_dict()} == RUN.to_dict()


def test_a_permanent_error_quarantines_with_its_reason(site: Site) -> None:
    refusal = InvalidStudy("a slice is missing", where=KEY, remedy="send it again")
    with pytest.raises(InvalidStudy), step(site, KEY, "validate", RUN) as record:
        record.digest = "d"
        raise refusal
    event, row = only_event(site), site.catalog.study(KEY)
    assert (event.state, event.sentence) == ("refused", "a slice is missing (send it again)")
    assert (row.state, row.reason) == ("quarantined", event.sentence)
    (item,) = site.catalog.all(select(QuarantineItem))
    assert (item.stage, item.code, item.digest) == ("validate", "invalid-study", "d")
    assert item.reason == event.sentence


def test_refused_again_it_is_one_item_and_two_events(site: Site) -> None:
    for _ in range(2):
        with pytest.raises(InvalidStudy), step(site, KEY, "validate", RUN):
            raise InvalidStudy("a slice is missing")
    assert len(site.catalog.all(select(QuarantineItem))) == 1
    assert len(site.catalog.timeline(KEY)) == 2


def test_a_refused_result_leaves_the_study_alone(site: Site) -> None:
    with pytest.raises(InvalidStudy), step(site, KEY, "deliver", RUN, quarantine=False):
        raise InvalidStudy("the PACS said no")
    assert site.catalog.study(KEY).state == "received"
    assert not site.catalog.all(select(QuarantineItem))
    assert only_event(site).state == "refused"


def test_a_transient_error_is_a_failure_that_comes_back(site: Site) -> None:
    with pytest.raises(PacsUnavailable), step(site, KEY, "ingest", RUN):
        raise PacsUnavailable("does not answer")
    assert only_event(site).state == "failed"
    assert site.catalog.study(KEY).state == "received"
    assert not site.catalog.all(select(QuarantineItem))


def test_a_foreign_error_does_not_tell_its_text(site: Site) -> None:
    """It could quote a patient; its kind and the place in our code go on."""
    with pytest.raises(InternalError) as raised, step(site, KEY, "validate", RUN):
        site.settings.site.databases.catalog.index("LOVELACE")
    fault = raised.value
    assert "LOVELACE" not in str(fault)
    assert fault.__suppress_context__
    event = only_event(site)
    assert event.state == "failed"
    assert event.sentence.startswith("ValueError in ")
    assert site.catalog.study(KEY).state == "received", "a fault of ours is none of the study's"


def test_the_place_is_in_our_code(site: Site) -> None:
    """Not in the library that was called, wherever the package is installed."""
    with (
        pytest.raises(InternalError, match=r"in files\.py line \d+"),
        step(site, KEY, "validate", RUN),
    ):
        site.settings.load({"HOUNSFIELD_ROOT": 3})  # type: ignore[dict-item]


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_a_step_that_was_killed_is_not_done(site: Site, end: type[BaseException]) -> None:
    with pytest.raises(end), step(site, KEY, "chunk", RUN) as record:
        record.say("1 of 2 volumes.")
        raise end
    event = only_event(site)
    assert event.state == "failed"
    assert "stopped" in event.sentence


def test_what_is_not_yet_is_waiting_and_no_failure(site: Site) -> None:
    with pytest.raises(NotYet), step(site, KEY, "ingest", RUN):
        raise NotYet("it is asked once more", seconds=60)
    event = only_event(site)
    assert (event.state, event.sentence) == ("waiting", "it is asked once more")
    assert site.catalog.study(KEY).state == "received"


def test_a_refusal_says_where_the_bytes_are(site: Site) -> None:
    with pytest.raises(InvalidStudy), step(site, KEY, "ingest", RUN) as record:
        record.uri = "/zones/raw/.staging/st"
        raise InvalidStudy("a slice is missing")
    (item,) = site.catalog.all(select(QuarantineItem))
    assert item.uri == "/zones/raw/.staging/st"


def test_of_a_patient_who_is_erased_meanwhile_nothing_is_told(site: Site) -> None:
    """But of what arrives again."""

    def refused(*, arrives: bool) -> None:
        with pytest.raises(InvalidStudy), step(site, "st-b", "receive", RUN, arrives=arrives):
            raise InvalidStudy("a slice is missing", where="st-b")

    stone = {"study_key": "st-b", "kind": "study", "uri": "catalog", "case": "c1"}
    site.catalog.put(
        Tombstone(**stone, rule="erase_patient", why="w", product_id="", deleted_at=utc_now())
    )
    refused(arrives=False)
    assert not site.catalog.all(select(QuarantineItem)) and not site.catalog.timeline("st-b")
    refused(arrives=True)
    assert site.catalog.all(select(QuarantineItem)) and site.catalog.timeline("st-b")
