"""Working hours: open when the clock of the source says so, on every night of the year."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hounsfield.errors import ConfigError
from hounsfield.stages.hours import seconds_until_open

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
CLOCKS = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
DAY = 24 * 3600


def spell(first: time, last: time) -> str:
    return f"{first:%H:%M}-{last:%H:%M}"


def is_open(first: time, last: time, zone: str, moment: datetime) -> bool:
    """Minute by minute: from `first` on, till `last` is met."""
    clock = moment.astimezone(ZoneInfo(zone)).time()
    minutes = [first]
    while (at := _next(minutes[-1])) not in (last, first):
        minutes.append(at)
    return clock.replace(second=0, microsecond=0) in minutes


def _next(clock: time) -> time:
    return (datetime.combine(datetime.min, clock) + timedelta(minutes=1)).time()


@given(CLOCKS, CLOCKS, ZONES, MOMENTS)
def test_open_is_what_the_clock_of_the_source_says(
    first: time, last: time, zone: str, moment: datetime
) -> None:
    wait = seconds_until_open(spell(first, last), zone, moment)
    assert (wait == 0) == is_open(first, last, zone, moment)
    assert 0 <= wait <= DAY + 3600, "a night has at most an hour more"


@given(CLOCKS, CLOCKS, ZONES, MOMENTS)
def test_after_the_wait_it_is_open_and_not_before(
    first: time, last: time, zone: str, moment: datetime
) -> None:
    hours = spell(first, last)
    wait = seconds_until_open(hours, zone, moment)
    assume(wait > 0)
    begin = moment + timedelta(seconds=wait)
    local = begin.astimezone(ZoneInfo(zone))
    assume(local.time() == first)  # A clock that is set may leave the beginning out.
    assert seconds_until_open(hours, zone, begin) == 0
    assert seconds_until_open(hours, zone, begin - timedelta(microseconds=1)) > 0


@pytest.mark.parametrize(
    ("hours", "zone", "moment", "wait"),
    [
        ("", "UTC", "2026-03-01T12:00", 0),
        ("08:00-08:00", "UTC", "2026-03-01T03:00", 0),
        ("08:00-18:00", "UTC", "2026-03-01T18:00", 14 * 3600),
        ("22:00-06:00", "UTC", "2026-03-01T05:59", 0),
        ("22:00-06:00", "UTC", "2026-03-01T06:00", 16 * 3600),
        # The clock is set from 02:00 to 03:00: the night has an hour less.
        ("08:00-18:00", "Europe/Berlin", "2026-03-28T23:00", 7 * 3600),
        ("08:00-18:00", "Europe/Berlin", "2026-03-27T23:00", 8 * 3600),
    ],
)
def test_by_the_clock(hours: str, zone: str, moment: str, wait: float) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert seconds_until_open(hours, zone, now) == wait


def test_an_unknown_time_zone_is_told() -> None:
    with pytest.raises(ConfigError, match="time zone"):
        seconds_until_open("08:00-18:00", "Mars/Olympus", datetime.now(UTC))
