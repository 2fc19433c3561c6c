"""Whole answers from a PACS that cuts them off: every one that can be, or a word that it is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.errors import ConfigError
from hounsfield.pacs import StudyEntry, StudyFilter, Window
from hounsfield.pacs.client import SeriesEntry
from hounsfield.pacs.finding import Listing, ask_whole, select

START = datetime(2024, 3, 1)
DAY = Window(START, START + timedelta(days=1))
MINUTES = st.integers(0, 3 * 24 * 60 - 1)
WINDOWS = (
    st.tuples(MINUTES, MINUTES)
    .map(sorted)
    .map(
        lambda ends: Window(
            START + timedelta(minutes=ends[0]), START + timedelta(minutes=ends[1] + 1)
        )
    )
)
TIMES = st.just("") | st.integers(0, 24 * 60 - 1).map(lambda m: f"{m // 60:02}{m % 60:02}00")
STUDIES = st.lists(
    st.builds(
        StudyEntry,
        StudyInstanceUID=st.integers(0, 10**9).map(str),
        StudyDate=st.integers(1, 3).map(lambda day: f"202403{day:02}"),
        StudyTime=TIMES,
        PatientID=st.sampled_from(("", "P", "-")) | st.integers(0, 10**4).map("P{:04}".format),
    ),
    max_size=40,
    unique_by=lambda study: study.StudyInstanceUID,
)


@dataclass
class Pacs:
    """Matches as PS3.4 Section C.2.2.2 says, and lists the first so many."""

    studies: list[StudyEntry]
    lists: int
    tells: bool = True
    knows_patients: bool = True
    knows_times: bool = True
    asked: int = 0

    def ask(self, window: Window, patient_id: str) -> Listing:
        self.asked += 1
        found = {
            s.StudyInstanceUID: s
            for s in self.studies
            if self._is_between(s.StudyDate, window.study_date_key())
            and (
                not (self.knows_times and window.is_part_of_a_day)
                or self._is_between(s.StudyTime, window.study_time_key())
            )
            and (not patient_id or (self.knows_patients and fnmatchcase(s.PatientID, patient_id)))
        }
        listed = dict(list(found.items())[: self.lists])
        return Listing(listed, is_cut=self.tells and len(listed) >= self.lists)

    def find(self, window: Window) -> set[str]:
        return {s.StudyInstanceUID for s in ask_whole(window, self.ask, "PACS TEST")}

    @staticmethod
    def _is_between(value: str, key: str) -> bool:
        first, _, last = key.partition("-")
        return bool(value) and first <= value <= (last or first)


@contextmanager
def told() -> Iterator[list[str]]:
    """What was logged till the block ends; hypothesis resets no fixtures."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("hounsfield.pacs.finding")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def inside(studies: list[StudyEntry], window: Window) -> set[str]:
    return {s.StudyInstanceUID for s in studies if window.contains(s.StudyDate, s.StudyTime)}


def some(*times: str, patient: str = "") -> list[StudyEntry]:
    number = count()
    return [
        StudyEntry(f"1.{n}", "20240301", time, PatientID=patient or f"P{n:02}")
        for time in times
        for n in [next(number)]
    ]


@given(STUDIES, WINDOWS, st.integers(2, 12), st.booleans())
def test_nothing_is_lost_without_a_word(
    studies: list[StudyEntry], window: Window, lists: int, knows_patients: bool
) -> None:
    pacs = Pacs(studies, lists, knows_patients=knows_patients)
    with told() as lines:
        try:
            found = pacs.find(window)
        except ConfigError:
            return
    missing = inside(studies, window) - found
    assert found <= inside(studies, window)
    assert not missing or lines
    lost = [s for s in studies if s.StudyInstanceUID in missing]
    assert all(not s.StudyTime or s.PatientID in {"", "-"} for s in lost)


@given(st.sets(MINUTES, max_size=40), WINDOWS, st.integers(2, 12))
def test_a_cap_that_is_not_told_loses_nothing(
    minutes: set[int], window: Window, lists: int
) -> None:
    moments = [START + timedelta(minutes=m) for m in minutes]
    studies = [StudyEntry(f"1.{m:%d%H%M}", f"{m:%Y%m%d}", f"{m:%H%M%S}") for m in moments]
    assert Pacs(studies, lists, tells=False).find(window) == inside(studies, window)


HOURS = [f"{hour:02}0000" for hour in range(20)]


@pytest.mark.parametrize("times", [["", *HOURS], [*HOURS, ""]])
def test_a_study_without_time_is_found_by_its_patient(times: list[str]) -> None:
    """Whether the answer that was cut off listed it or not; what else there may be is told."""
    studies = [*some(*times), StudyEntry("1.99", "20240301", "235900", PatientID="P-")]
    with told() as lines:
        assert Pacs(studies, lists=5).find(DAY) == inside(studies, DAY)
    assert ["neither letter nor digit" in line for line in lines] == [True]


def test_that_patients_do_not_tell_studies_apart_is_told() -> None:
    for pacs in (
        Pacs(some(*HOURS, "", patient="P"), lists=5),
        Pacs(some(*HOURS, ""), lists=5, knows_patients=False),
    ):
        with told() as lines:
            assert len(pacs.find(DAY)) == 20
        assert ["does not tell them apart" in line for line in lines] == [True]
        pacs.studies.insert(0, StudyEntry("1.99", "20240301", PatientID="P"))
        with pytest.raises(ConfigError, match="some without StudyTime"):
            pacs.find(DAY)


def test_studies_of_one_minute_are_told_apart() -> None:
    studies = some(*(f"1200{second:02}" for second in range(10, 30)))
    assert Pacs(studies, lists=5).find(DAY) == inside(studies, DAY)


@pytest.mark.parametrize("time", ["000000", "120030"])
def test_studies_of_one_second_are_told_apart_by_their_patients(time: str) -> None:
    """An archive that was imported may say midnight of all; what else there may be is told."""
    studies = some(*[time] * 40, "", *HOURS)
    with told() as lines:
        assert Pacs(studies, lists=5).find(DAY) == inside(studies, DAY)
    assert ["more studies in a second than it lists at once: one may" in s for s in lines] == [True]
    start = datetime.strptime(f"20240301{time}", "%Y%m%d%H%M%S")
    second = Window(start, start + timedelta(seconds=1))
    assert Pacs(studies, lists=5).find(second) == inside(studies, second)


@pytest.mark.parametrize(("patient", "knows_patients"), [("P", True), ("", False)])
def test_studies_of_one_second_that_no_patient_tells_apart_are_too_many(
    patient: str, knows_patients: bool
) -> None:
    studies = some(*HOURS, *["120030"] * 6, patient=patient)
    with pytest.raises(ConfigError, match="one second holds as many studies"):
        Pacs(studies, lists=5, knows_patients=knows_patients).find(DAY)


def test_a_pacs_that_does_not_look_at_the_time_is_not_asked_for_each_second() -> None:
    pacs = Pacs(some(*HOURS), lists=5, knows_times=False)
    with pytest.raises(ConfigError, match="whatever StudyTime"):
        pacs.find(DAY)
    assert pacs.asked < 100


def test_a_study_without_time_is_in_the_window_that_has_midnight() -> None:
    """Also where no answer is cut off: a range of StudyTime does not have it."""
    pacs = Pacs(some("", "003000", "120000"), lists=50)
    assert pacs.find(Window(START, START + timedelta(hours=1))) == {"1.0", "1.1"}
    assert pacs.find(Window(START + timedelta(hours=1), DAY.end)) == {"1.2"}


@pytest.mark.parametrize("listed", [("ct", "SR"), ()])
def test_modalities_are_the_same_in_small_letters(listed: tuple[str, ...]) -> None:
    """A person wrote them so into the settings, or the PACS lists them so."""
    found = [StudyEntry("1.2", ModalitiesInStudy=listed)]
    filters = StudyFilter(frozenset({"Ct"}))
    assert filters.modalities == {"CT"}, "as it is asked for"
    assert select(found, filters, lambda uid: [SeriesEntry("1.3", "ct")]) == found
    assert select(found, StudyFilter(frozenset({"MR"})), lambda uid: [SeriesEntry("1.3")]) == []
