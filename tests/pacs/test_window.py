from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hounsfield.errors import ConfigError
from hounsfield.pacs import Window

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1))
LENGTHS = st.timedeltas(timedelta(microseconds=1), timedelta(days=400))


@given(MOMENTS, LENGTHS, MOMENTS)
def test_halves_are_the_whole_and_share_nothing(
    start: datetime, length: timedelta, moment: datetime
) -> None:
    window = Window(start, start + length)
    halves = window.halves()
    if halves is None:
        assert length <= timedelta(seconds=1)
        return
    first, second = halves
    assert (first.start, first.end, second.end) == (window.start, second.start, window.end)
    study = (f"{moment:%Y%m%d}", f"{moment:%H%M%S}")
    assert first.contains(*study) + second.contains(*study) == window.contains(*study)


@given(MOMENTS, LENGTHS)
def test_halving_ends(start: datetime, length: timedelta) -> None:
    window, steps = Window(start, start + length), 0
    while (halves := window.halves()) is not None:
        window, steps = halves[0], steps + 1
        assert steps < 40


@given(MOMENTS, LENGTHS, st.lists(st.floats(0, 1, exclude_max=True), max_size=9))
def test_no_part_has_all_that_are_listed(
    start: datetime, length: timedelta, shares: list[float]
) -> None:
    window = Window(start, start + length)
    moments = [start + length * share for share in shares]
    studies = [(f"{moment:%Y%m%d}", f"{moment:%H%M%S}") for moment in moments]
    parts = window.parts(studies)
    if not parts:
        assert len(set(studies)) < 2
        return
    assert parts[0].start == window.start
    assert parts[-1].end == window.end
    assert all(first.end == second.start for first, second in pairwise(parts))
    if all(window.contains(*study) for study in studies):  # but for fractions of a second
        assert not any(all(part.contains(*study) for study in studies) for part in parts)


def test_keys_of_range_matching() -> None:
    day = Window(datetime(2024, 2, 29), datetime(2024, 3, 1))
    assert day.study_date_key() == "20240229"
    assert Window(datetime(2024, 2, 29), datetime(2024, 3, 2)).study_date_key() == (
        "20240229-20240301"
    )
    hour = Window(datetime(2024, 2, 29, 23), datetime(2024, 3, 1))
    assert hour.study_date_key() == "20240229"
    assert hour.study_time_key() == "230000-235959.999999"


@given(
    st.sampled_from(["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from([datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)]),
    st.integers(7, 600),
    st.integers(0, 3 * 24 * 60 - 1),
)
@example("Europe/Zurich", datetime(2026, 10, 24, tzinfo=UTC), 90, 1440 + 45)  # 02:45, to 02:30
@example("Europe/Zurich", datetime(2026, 10, 24, tzinfo=UTC), 130, 1440 + 70)  # 02:10, from 02:50
def test_no_study_falls_between_windows_when_the_clock_is_set(
    timezone: str, first: datetime, minutes: int, moment: int
) -> None:
    """Each is asked for by the run whose interval it is made in, not only before it is there."""
    length = timedelta(minutes=minutes)
    windows = [
        Window.of(first + number * length, first + (number + 1) * length, timezone)
        for number in range(3 * 24 * 60 // minutes + 1)
    ]
    local = (first + timedelta(minutes=moment)).astimezone(ZoneInfo(timezone))
    assert windows[moment // minutes].contains(f"{local:%Y%m%d}", f"{local:%H%M%S}")


def test_aware_interval_in_the_time_of_the_pacs() -> None:
    start = datetime(2024, 7, 1, 22, tzinfo=UTC)
    window = Window.of(start, start + timedelta(hours=1), "Europe/Zurich")
    assert window.start == datetime(2024, 7, 2, 0)
    with pytest.raises(ConfigError):
        Window(start, start + timedelta(hours=1))
    with pytest.raises(ConfigError):
        Window.of(start, start + timedelta(hours=1), "Nowhere/Town")


@pytest.mark.parametrize(
    ("date", "time", "inside"),
    [
        ("20240301", "000000", True),
        ("20240301", "", True),  # no time: midnight
        ("2024.03.01", "23:59:59", True),  # the form of the old ACR-NEMA
        ("20240301", "1015", True),
        ("20240302", "000000", False),
        ("garbage", "", True),  # the PACS thought so: better twice than never
    ],
)
def test_contains(date: str, time: str, inside: bool) -> None:
    window = Window(datetime(2024, 3, 1), datetime(2024, 3, 2))
    assert window.contains(date, time) is inside
