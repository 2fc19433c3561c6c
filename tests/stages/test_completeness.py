"""What is missing is told in numbers; a study is whole when its source says so twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from hounsfield.catalog.models import Delivery, Product, QuarantineItem
from hounsfield.errors import ConfigError, IncompleteStudy, NotYet, PermanentError
from hounsfield.pacs import InstanceRef, SeriesEntry
from hounsfield.site import Site
from hounsfield.stages.completeness import Listing, ask
from hounsfield.stages.ingest import find_studies, retrieve_study
from hounsfield.stages.revision import held_manifest
from tests.stages.conftest import RUN, STUDY, FakePacs, instances, with_source
from tests.stages.test_ingest import DAY

ALL, WITHHELD = 60, 3


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key(site: Site, pacs: FakePacs) -> str:
    """A study of 60 in two series, of which the PACS has 57."""
    for number in range(ALL - WITHHELD):
        give(pacs, number)
    (found,) = find_studies(site, "pacs", *DAY, run=RUN)
    return found


def give(pacs: FakePacs, number: int) -> None:
    pacs.give(f"1.2.3.{number}", f"slice {number}", series="1.2.3" if number < 30 else "1.2.4")


def give_the_rest(pacs: FakePacs) -> None:
    for number in range(ALL - WITHHELD, ALL):
        give(pacs, number)


def refs(sizes: list[int]) -> tuple[InstanceRef, ...]:
    return tuple(
        InstanceRef(f"{series}.{number}", str(series), "", "CT")
        for series, size in enumerate(sizes)
        for number in range(size)
    )


SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@given(SIZES, st.data())
def test_whole_is_when_nothing_is_missing(sizes: list[int], data: st.DataObject) -> None:
    listing = Listing(refs(sizes), uncounted=data.draw(st.integers(0, 3)))
    here = data.draw(st.sets(st.sampled_from(sorted(listing.uids))))
    short = listing.shortfall(here)
    missing = listing.uncounted + len(listing.uids - here)
    if not missing:
        assert short is None
        return
    assert short is not None
    assert short.missing == missing
    told = sum(gap.missing for gap in short.gaps)
    assert told + listing.uncounted == missing, "what is listed is placed in its series"
    assert all(0 < gap.missing <= gap.total for gap in short.gaps)


@pytest.mark.parametrize(
    ("counts", "uncounted", "sentence"),
    [
        ((3, 3), 1, "missing are 1 of 3 in series 2 of 2 (CT)"),
        ((3, None), 1, "missing are 1 of no series that it names"),
        ((3, 2, 4), 4, "missing are 4 of 4 in series 3 of 3 (SR)"),
        ((9, 9), 1, "missing are 6 of 9 in series 1 of 2 (CT), 7 of 9 in series 2 of 2 (CT)"),
    ],
)
def test_what_is_counted_and_not_listed_is_told_by_series(
    counts: tuple[int | None, ...], uncounted: int, sentence: str
) -> None:
    listed = refs([3, 2])
    series = tuple(
        SeriesEntry(str(number), "CT" if number < 2 else "SR", count)
        for number, count in enumerate(counts)
    )
    short = Listing(listed, uncounted, series).shortfall({ref.SOPInstanceUID for ref in listed})
    assert str(short).endswith(sentence)
    assert str(short).startswith(f"the PACS counts {5 + uncounted} instances, lists 5 and gave 5")


def test_a_study_of_many_series_is_told_shortly() -> None:
    short = Listing(refs([1] * 40)).shortfall(set())
    assert str(short).endswith("1 of 1 in series 10 of 40 (CT), more in 30 other series")


def test_our_own_results_are_not_missed(pacs: FakePacs) -> None:
    """The PACS lists them and counts them."""
    pacs.give("1.2.3.1")
    pacs.give("2.25.1", "our report", series="2.25.2")
    assert ask(pacs, STUDY, {"2.25.1"}).shortfall({"1.2.3.1"}) is None
    pacs.uncounted = 1
    short = ask(pacs, STUDY, {"2.25.1"}).shortfall({"1.2.3.1"})
    assert short is not None
    assert (short.counted, short.listed, short.here, short.series) == (2, 1, 1, 1)


def test_the_source_is_asked_twice(site: Site, pacs: FakePacs, key: str, clock: Clock) -> None:
    patient = with_source(site, confirm_after_seconds=600.0)
    with pytest.raises(NotYet, match="once more") as wait:
        retrieve_study(patient, key, run=RUN, now=clock)
    assert wait.value.seconds == 600
    clock.seconds += 590
    with pytest.raises(NotYet) as wait:
        retrieve_study(patient, key, run=RUN, now=clock)
    assert wait.value.seconds == 10
    assert not site.catalog.all(select(Product))
    clock.seconds += 10
    assert retrieve_study(patient, key, run=RUN, now=clock)["status"] == "new"
    assert len(pacs.asked) == 1, "each instance is fetched once"
    assert [event.state for event in site.catalog.timeline(key)] == ["waiting", "waiting", "done"]
    assert completeness(site, key) == "confirmed"


@pytest.mark.parametrize("is_short", [True, False])
def test_a_clock_that_is_set_right_keeps_no_study_waiting(
    site: Site, pacs: FakePacs, key: str, clock: Clock, is_short: bool
) -> None:
    """It was a year ahead till the machine asked for the time."""
    patient = with_source(site, confirm_after_seconds=5.0, give_up_after_seconds=600.0)
    if is_short:
        promise(pacs, "counts")
    clock.seconds += 31_536_000
    with pytest.raises(NotYet):
        retrieve_study(patient, key, run=RUN, now=clock)
    clock.seconds -= 31_536_000
    if is_short:
        assert "gave 57" in wait_to_the_end(patient, key, clock).what
        return
    with pytest.raises(NotYet):
        retrieve_study(patient, key, run=RUN, now=clock)
    clock.seconds += 5
    assert retrieve_study(patient, key, run=RUN, now=clock)["status"] == "new"


def test_what_comes_in_between_is_fetched_and_waited_for_again(
    site: Site, pacs: FakePacs, key: str, clock: Clock
) -> None:
    patient = with_source(site, confirm_after_seconds=600.0)
    with pytest.raises(NotYet):
        retrieve_study(patient, key, run=RUN, now=clock)
    give_the_rest(pacs)
    clock.seconds += 600
    with pytest.raises(NotYet) as wait:
        retrieve_study(patient, key, run=RUN, now=clock)
    assert wait.value.seconds == 600
    clock.seconds += 600
    assert retrieve_study(patient, key, run=RUN, now=clock)["status"] == "new"
    assert [len(asked) for asked in pacs.asked] == [ALL - WITHHELD, WITHHELD]
    assert len(instances(site, key)) == ALL


def test_what_the_pacs_takes_back_before_it_is_whole_is_no_part_of_it(
    site: Site, pacs: FakePacs, key: str, clock: Clock
) -> None:
    patient = with_source(site, confirm_after_seconds=5.0)
    with pytest.raises(NotYet):
        retrieve_study(patient, key, run=RUN, now=clock)
    del pacs.listed["1.2.3.7"]
    clock.seconds += 5
    with pytest.raises(NotYet):
        retrieve_study(patient, key, run=RUN, now=clock)
    clock.seconds += 5
    retrieve_study(patient, key, run=RUN, now=clock)
    assert set(instances(site, key)) == set(pacs.listed)


@pytest.mark.parametrize("how", ["lists", "counts"])
def test_three_of_sixty_come_ten_minutes_later(
    site: Site, pacs: FakePacs, key: str, clock: Clock, how: str
) -> None:
    """The PACS says that there are 60, by its list or by its count, and gives 57."""
    promise(pacs, how)
    said = "lists 57 and gave 57" if how == "counts" else "lists 60 and gave 57"
    waits = []
    for _ in range(4):
        with pytest.raises(NotYet, match=f"counts 60 instances, {said}") as wait:
            retrieve_study(site, key, run=RUN, now=clock)
        waits.append(wait.value.seconds)
        clock.seconds += wait.value.seconds
    assert waits == sorted(waits), "asked less and less often"
    clock.seconds += 600
    keep_the_promise(pacs)
    assert retrieve_study(site, key, run=RUN, now=clock)["status"] == "new"
    assert len(instances(site, key)) == ALL
    assert all(len(asked) <= WITHHELD for asked in pacs.asked[1:])
    assert completeness(site, key) == "confirmed"


@pytest.mark.parametrize("how", ["lists", "counts"])
def test_what_never_becomes_whole_is_reported_with_what_is_missing(
    site: Site, pacs: FakePacs, key: str, clock: Clock, how: str
) -> None:
    promise(pacs, how)
    error = wait_to_the_end(site, key, clock)
    gap = "3 of 30 in series 2 of 2 (CT)" if how == "lists" else "3 of no series that it names"
    assert f"missing are {gap}" in error.what
    assert "private transfer syntax" in error.remedy, "which C-GET cannot propose"
    (item,) = site.catalog.all(select(QuarantineItem))
    assert (item.code, item.stage, item.resolved) == ("incomplete-study", "ingest", False)
    assert len(list(Path(item.uri).rglob("*.dcm"))) == ALL - WITHHELD, "what came is kept"
    study = site.catalog.study(key)
    assert (study.state, study.instance_count) == ("quarantined", ALL - WITHHELD)
    assert gap in study.reason
    assert study.patient_key == site.pseudonyms.patient_key("LOVELACE-1815", "SWITHIN")
    assert not site.catalog.all(select(Product)), "nobody takes it for whole"
    told = json.dumps([error.what, error.remedy, item.reason, item.uri, study.reason])
    assert not any(secret in told for secret in (STUDY, "LOVELACE", "1.2.3"))

    keep_the_promise(pacs)  # A person had it mended, and clears the task.
    assert retrieve_study(site, key, run=RUN, now=clock)["status"] == "new"
    assert max(len(asked) for asked in pacs.asked[1:]) <= WITHHELD
    (item,) = site.catalog.all(select(QuarantineItem))
    assert item.resolved
    assert (site.catalog.study(key).state, site.catalog.study(key).reason) == ("received", "")


def test_what_came_cut_short_is_told_to_have_come_so(
    site: Site, pacs: FakePacs, key: str, clock: Clock
) -> None:
    """The PACS itself has halves, and gives them as often as it is asked."""
    promise(pacs, "lists")
    pacs.cut_short = WITHHELD
    error = wait_to_the_end(site, key, clock)
    assert error.what.endswith("; 3 came cut short, as the PACS may have them")
    assert error.what in site.catalog.study(key).reason


def test_the_next_try_has_all_the_patience_again(
    site: Site, pacs: FakePacs, key: str, clock: Clock
) -> None:
    promise(pacs, "counts")
    wait_to_the_end(site, key, clock)
    with pytest.raises(NotYet):
        retrieve_study(site, key, run=RUN, now=clock)


def test_an_exception_lets_it_on_and_says_so(
    site: Site, pacs: FakePacs, key: str, clock: Clock
) -> None:
    promise(pacs, "lists")
    lenient = with_source(site, accept_incomplete=True, give_up_after_seconds=60.0)
    with pytest.raises(NotYet):
        retrieve_study(lenient, key, run=RUN, now=clock)
    clock.seconds += 60
    assert retrieve_study(lenient, key, run=RUN, now=clock)["status"] == "new"
    assert len(instances(site, key)) == ALL - WITHHELD
    assert completeness(site, key) == "incomplete"
    said = site.catalog.timeline(key)[-1].sentence
    assert "incomplete, and let on" in said
    assert "3 of 30 in series 2 of 2 (CT)" in said
    with pytest.raises(NotYet):
        retrieve_study(lenient, key, run=RUN, now=clock)
    clock.seconds += 60
    assert retrieve_study(lenient, key, run=RUN, now=clock)["status"] == "unchanged"
    keep_the_promise(pacs)
    assert retrieve_study(lenient, key, run=RUN, now=clock)["status"] == "revised"
    assert completeness(site, key) == "confirmed"


@pytest.mark.parametrize("mended", ["by the PACS", "by an exception"])
def test_a_study_that_was_held_up_goes_on_without_more(
    site: Site, pacs: FakePacs, key: str, clock: Clock, mended: str
) -> None:
    """It had a revision; three more were promised, and it was put into quarantine for them."""
    first = retrieve_study(site, key, run=RUN, now=clock)
    promise(pacs, "counts")
    wait_to_the_end(site, key, clock)
    assert site.catalog.study(key).state == "quarantined"
    if mended == "by the PACS":
        pacs.uncounted = 0
    else:
        site = with_source(site, accept_incomplete=True, give_up_after_seconds=0.0)
    again = retrieve_study(site, key, run=RUN, now=clock)
    assert again == {**first, "status": "new"}, "it is announced again"
    assert (site.catalog.study(key).state, site.catalog.study(key).reason) == ("received", "")
    assert retrieve_study(site, key, run=RUN, now=clock)["status"] == "unchanged"


@pytest.mark.parametrize("error", [ConfigError("not one that we trust"), PermanentError("JSON")])
def test_what_kept_a_source_from_being_asked_holds_up_nothing_when_it_is_over(
    site: Site,
    pacs: FakePacs,
    key: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    error: PermanentError,
) -> None:
    """As a certificate that ran out in the night; what another stage refused stays refused."""

    def refuse(*_: object) -> NoReturn:
        raise error

    first = retrieve_study(site, key, run=RUN, now=clock)
    site.catalog.set_state(key, "reported")
    site.catalog.quarantine(key, stage="validate", code=error.code, reason="it is odd")
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(pacs, "find_instances", refuse)
        retrieve_study(site, key, run=RUN, now=clock)
    assert site.catalog.study(key).state == "quarantined"
    assert retrieve_study(site, key, run=RUN, now=clock) == {**first, "status": "new"}
    assert (site.catalog.study(key).state, site.catalog.study(key).reason) == ("received", "")
    items = site.catalog.all(select(QuarantineItem))
    found = {(item.stage, item.resolved) for item in items}
    assert found == {("validate", False), ("ingest", True)}


def test_what_another_source_has_more_holds_up_nothing(
    site: Site, pacs: FakePacs, key: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study goes on as its own source has it; what is missing stays noted, once."""
    other = FakePacs()
    give(other, 0)
    promise(other, "counts")
    one = site.settings.sources["pacs"]
    sources = {"pacs": one, "other": one.model_copy(update={"jurisdiction": "other"})}
    site = Site(site.settings.model_copy(update={"sources": sources}))
    monkeypatch.setattr(
        "hounsfield.stages.ingest.client_of",
        lambda settings, _: other if settings.jurisdiction else pacs,
    )
    first = retrieve_study(site, key, "pacs", run=RUN, now=clock)
    site.catalog.set_state(key, "reported")
    for _ in range(2):  # Each night, while the study is in the lookback.
        assert "counts 4 instances" in wait_to_the_end(site, key, clock, "other").what
        again = retrieve_study(site, key, "pacs", run=RUN, now=clock)
        assert again == {**first, "status": "unchanged"}
        assert site.catalog.study(key).state == "reported"
        (item,) = site.catalog.all(select(QuarantineItem))
        assert (item.source, item.resolved) == ("other", False)
    other.uncounted = 0
    mended = retrieve_study(site, key, "other", run=RUN, now=clock)
    assert mended == {**first, "status": "unchanged"}
    (item,) = site.catalog.all(select(QuarantineItem))
    assert item.resolved
    assert site.catalog.study(key).state == "reported"


def test_nothing_at_all_is_never_let_on(site: Site, pacs: FakePacs, key: str, clock: Clock) -> None:
    pacs.sent.clear()
    lenient = with_source(site, accept_incomplete=True)
    assert "gave 0" in wait_to_the_end(lenient, key, clock).what
    assert site.catalog.study(key).instance_count == 0


def test_a_pacs_that_contradicts_itself_is_reported(
    site: Site, pacs: FakePacs, key: str, clock: Clock
) -> None:
    """Two of its servers list different instances, and take turns."""
    hesitant = with_source(site, confirm_after_seconds=600.0)
    everything = dict(pacs.listed)
    with pytest.raises(IncompleteStudy, match="something else than"):
        for turn in range(50):
            pacs.listed = dict(list(everything.items())[turn % 2 :])
            try:
                retrieve_study(hesitant, key, run=RUN, now=clock)
            except NotYet as wait:
                clock.seconds += wait.seconds
    assert not site.catalog.all(select(Product))


def test_our_results_in_the_pacs_delay_nothing(
    site: Site, pacs: FakePacs, key: str, clock: Clock
) -> None:
    retrieve_study(site, key, run=RUN, now=clock)
    for number in (1, 2):
        pacs.give(f"2.25.{number}", "ours", series="2.25.9")
        row = {"kind": "sr", "study_key": key, "prediction_id": "p", "destination": "pacs"}
        uid = {"SOPInstanceUID": f"2.25.{number}", "SOPClassUID": "1.2", "sha256": "0" * 64}
        site.catalog.put(Delivery(**row, **uid))
    assert retrieve_study(site, key, run=RUN, now=clock)["status"] == "unchanged"
    give_the_rest(pacs)
    assert retrieve_study(site, key, run=RUN, now=clock)["status"] == "revised"
    assert len(instances(site, key)) == ALL


def promise(pacs: FakePacs, how: str) -> None:
    """Three more are in its count, or in its list, and do not come."""
    if how == "counts":
        pacs.uncounted = WITHHELD
    else:
        pacs.listed |= {f"1.2.3.{number}": "1.2.4" for number in range(ALL - WITHHELD, ALL)}


def keep_the_promise(pacs: FakePacs) -> None:
    pacs.uncounted = 0
    give_the_rest(pacs)


def wait_to_the_end(site: Site, key: str, clock: Clock, source: str = "") -> IncompleteStudy:
    """Comes again as often as it is told to, as Airflow does."""
    for _ in range(100):
        try:
            retrieve_study(site, key, source, run=RUN, now=clock)
        except NotYet as wait:
            clock.seconds += wait.seconds
        except IncompleteStudy as error:
            return error
    raise AssertionError("it waits for ever")


def completeness(site: Site, key: str) -> str:
    product = site.catalog.latest(key, "raw")
    manifest = held_manifest(site, product)
    assert product.detail == {"completeness": manifest.completeness}
    return manifest.completeness
