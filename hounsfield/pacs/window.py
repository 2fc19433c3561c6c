"""A half-open stretch of study time, and how it is asked for by C-FIND."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hounsfield.errors import ConfigError

__all__ = ["Window", "is_time"]

_MIDNIGHT = time()
_LEAST = timedelta(seconds=1)
_DAY = timedelta(days=1)
_NO_TIME = timedelta()
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Study dates and times from `start` up to, but not including, `end`.

    StudyDate and StudyTime are local to the PACS (PS3.3 Section C.12.1.1.8), so both ends
    are naive datetimes in the PACS's own time zone.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is not None or self.end.tzinfo is not None:
            raise ConfigError("a window is in the PACS's local time", remedy="use Window.of")
        if self.start >= self.end:
            raise ConfigError("a window must end after it starts")

    @classmethod
    def of(cls, start: datetime, end: datetime, timezone: str = "UTC") -> Self:
        """A window from aware datetimes, such as Airflow's data interval.

        Parameters
        ----------
        timezone
            Of the PACS, as an IANA name.
        """
        try:
            zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigError("unknown time zone", where="timezone") from None
        first, last = (moment.astimezone(zone) for moment in (start, end))
        # A time that comes twice, for the clock is set back, is asked for with all of its hour.
        first, last = first - _set_back(first), last + _set_back(last)
        return cls(first.replace(tzinfo=None), last.replace(tzinfo=None))

    @property
    def is_whole_days(self) -> bool:
        return self.start.time() == self.end.time() == _MIDNIGHT

    @property
    def is_within_a_day(self) -> bool:
        return self.start.date() == self.last.date()

    @property
    def is_part_of_a_day(self) -> bool:
        """Whether it is asked for by StudyTime, too: a key that no study without one matches."""
        return self.is_within_a_day and not self.is_whole_days

    @property
    def day(self) -> Window:
        """All of the day on which it starts."""
        midnight = datetime.combine(self.start, _MIDNIGHT)
        return Window(midnight, midnight + _DAY)

    @property
    def last(self) -> datetime:
        """The last moment that is inside."""
        return self.end - _TICK

    def study_date_key(self) -> str:
        """StudyDate for range matching (PS3.4 Section C.2.2.2.5)."""
        first, last = f"{self.start:%Y%m%d}", f"{self.last:%Y%m%d}"
        return first if first == last else f"{first}-{last}"

    def study_time_key(self) -> str:
        """StudyTime for range matching, for a window within one day."""
        return f"{self.start:%H%M%S}-{self.last:%H%M%S.%f}"

    def contains(self, study_date: str, study_time: str) -> bool:
        """Whether a study is inside; one without a legible time counts at midnight.

        A date that cannot be read counts as inside: the PACS thought so, and a study asked
        for twice is better than one lost.
        """
        moment = _moment(study_date, study_time)
        return moment is None or self.start <= moment < self.end

    def parts(self, listed: Iterable[tuple[str, str]]) -> tuple[Window, ...]:
        """Windows that together are this one, none of which has all the studies of a list.

        A PACS that lists but so many of this one's lists more of the parts'. Empty where the
        studies cannot be told apart: all that have a time have the same.

        Parameters
        ----------
        listed
            StudyDate and StudyTime of each.
        """
        studies = [(day, _clock(clock)) for date, clock in listed if (day := _day(date))]
        days = sorted({day for day, _ in studies})
        moments = sorted(
            {datetime.combine(day, clock) for day, clock in studies if clock is not None}
        )
        if len(days) > 1:
            cuts = [days[len(days) // 2]]
        elif len(moments) > 1:
            cuts = [days[0], moments[len(moments) // 2], days[0] + _DAY]
        else:
            return ()
        inside = [cut for cut in cuts if self.start < cut < self.end]
        return tuple(Window(*ends) for ends in pairwise((self.start, *inside, self.end)))

    def halves(self) -> tuple[Window, Window] | None:
        """Two windows that together are this one; None where it is a second or less.

        Split at midnight while there is one inside: a key on StudyTime is only understood
        within a day.
        """
        if self.end - self.start <= _LEAST:
            return None
        middle = self.start + (self.end - self.start) / 2
        midnight = datetime.combine(middle.date(), _MIDNIGHT)
        if midnight <= self.start:
            midnight += _DAY
        inside = self.start < midnight < self.end
        cut = midnight if inside else middle.replace(microsecond=0)
        cut = cut if self.start < cut < self.end else middle
        return Window(self.start, cut), Window(cut, self.end)


def is_time(study_time: str) -> bool:
    """Whether a StudyTime can be read."""
    return _clock(study_time) is not None


def _set_back(moment: datetime) -> timedelta:
    """By how much the clock is set back, if that makes it show this moment twice."""
    offsets = (moment.replace(fold=fold).utcoffset() or _NO_TIME for fold in (0, 1))
    return next(offsets) - next(offsets)


def _moment(study_date: str, study_time: str) -> datetime | None:
    day, clock = _day(study_date), _clock(study_time)
    return day and datetime.combine(day, clock or _MIDNIGHT)


def _day(study_date: str) -> datetime | None:
    try:
        return datetime.strptime(study_date.replace(".", "").strip()[:8], "%Y%m%d")
    except ValueError:
        return None


def _clock(study_time: str) -> time | None:
    digits = study_time.replace(":", "").split(".")[0].strip()[:6]
    try:
        return datetime.strptime(digits.ljust(6, "0"), "%H%M%S").time() if digits else None
    except ValueError:
        return None
