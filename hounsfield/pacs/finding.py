"""Finding studies, in whatever protocol: answers that are whole, and filters of our own."""

from __future__ import annotations

import logging
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hounsfield.errors import ConfigError
from hounsfield.pacs.client import SeriesEntry, StudyEntry, StudyFilter
from hounsfield.pacs.window import Window, is_time

__all__ = ["Listing", "ask_whole", "cut_list", "select", "warn_of_unnamed"]

log = logging.getLogger(__name__)

_ENDINGS = (*string.digits, *string.ascii_letters)  # of a PatientID
_LONGEST_ENDING = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """What a PACS lists when it is asked for studies.

    Attributes
    ----------
    studies
        StudyInstanceUID → study; a PACS may list some from outside the window.
    is_cut
        Whether the answer was, or may have been, cut off.
    """

    studies: dict[str, StudyEntry]
    is_cut: bool


#: Asks for a window, and for a PatientID with wildcards where it is not empty.
Ask = Callable[[Window, str], Listing]


def ask_whole(window: Window, ask: Ask, where: str) -> list[StudyEntry]:
    """The studies of `window`, each once.

    Where an answer was cut off, the window is halved, and both halves are asked for, until the
    answers are whole. Parts of a day are asked for by StudyTime, in no range of which is a study
    without one, and which does not tell those of one second apart (an archive that was imported
    may say 000000 of all): those of the day are then looked for by PatientID.

    Parameters
    ----------
    where
        How errors name the PACS.

    Raises
    ------
    ConfigError
        If even one second holds more studies than the PACS lists, or a day does that has
        studies without StudyTime, and PatientID does not tell them apart either; or if the PACS
        does not look at StudyTime.
    """
    search = _Search(ask, where)
    search.by_time(window)
    for day in search.days | search.crowded:
        search.by_patient(day)
    return [s for s in search.found.values() if window.contains(s.StudyDate, s.StudyTime)]


class _Search:
    """Asks until answers are whole.

    Attributes
    ----------
    found
        All that was ever listed: an answer that was cut off is true as far as it goes.
    days
        Those of which midnight, where studies without StudyTime count, was asked for by
        StudyTime.
    crowded
        Those of which one second holds more studies than the PACS lists.
    """

    def __init__(self, ask: Ask, where: str) -> None:
        self._ask = ask
        self._where = where
        self.found: dict[str, StudyEntry] = {}
        self.days: set[Window] = set()
        self.crowded: set[Window] = set()

    def by_time(self, window: Window) -> None:
        """Finds all that a key on StudyDate, or on StudyTime within a day, can find."""
        if window.is_part_of_a_day and window.start == window.day.start:
            self.days.add(window.day)
        listing = self._list(window)
        if not listing.is_cut:
            return
        halves = window.halves()
        if halves is None:
            listed = listing.studies.values()
            if not all(window.contains(s.StudyDate, s.StudyTime) for s in listed):
                raise self._too_many("too many studies, whatever StudyTime is asked for")
            self.crowded.add(window.day)
        for half in halves or ():
            self.by_time(half)

    def by_patient(self, day: Window) -> None:
        """Finds those of a day that StudyTime does not tell apart, or tells that it cannot."""
        if not (day in self.crowded or self._list(day).is_cut):
            return
        known = {uid for uid, s in self._of(day).items() if s.PatientID.endswith(_ENDINGS)}
        seen: set[str] = set()
        is_whole = True
        for listing in self._by_ending(day):
            seen |= listing.studies.keys()
            is_whole = not listing.is_cut
            if not is_whole:
                break
        # That what was found by time is found again shows that the PACS knows this key.
        if is_whole and known and known <= seen:
            why = "if its PatientID ends with neither letter nor digit"
        elif day in self.crowded:
            raise self._too_many("one second holds as many studies as the result cap")
        elif all(is_time(study.StudyTime) for study in self._of(day).values()):
            why = "for PatientID does not tell them apart"
        else:
            raise self._too_many("a day holds too many studies, and some without StudyTime")
        log.warning(
            "%s has more studies in a %s than it lists at once: one%s may be missing, %s (raise "
            "the cap in the PACS and max_results).",
            self._where,
            *(("second", "") if day in self.crowded else ("day", " without StudyTime")),
            why,
        )

    def _by_ending(self, day: Window, ending: str = "") -> Iterator[Listing]:
        """Answers that together are those of all PatientIDs with this ending.

        By the end, for most of them are numbers that begin alike.
        """
        if ending:
            yield self._list(day, ending)
        for character in _ENDINGS:
            longer = character + ending
            listing = self._list(day, f"*{longer}")
            if listing.is_cut and len(longer) < _LONGEST_ENDING:
                yield from self._by_ending(day, longer)
            else:
                yield listing

    def _list(self, window: Window, patient_id: str = "") -> Listing:
        """The answer for a window; cut off, too, where the PACS did not tell that it is.

        It then lists, when it is asked for parts of the window, what it had not.
        """
        listing = self._ask_for(window, patient_id)
        if listing.is_cut:
            return listing
        listed = [(s.StudyDate, s.StudyTime) for s in listing.studies.values()]
        parts = (self._ask_for(part, patient_id) for part in window.parts(listed))
        knows_more = any(p.is_cut or p.studies.keys() - listing.studies.keys() for p in parts)
        return Listing(listing.studies, is_cut=knows_more)

    def _ask_for(self, window: Window, patient_id: str) -> Listing:
        listing = self._ask(window, patient_id)
        self.found |= listing.studies
        return listing

    def _of(self, day: Window) -> dict[str, StudyEntry]:
        found = self.found.items()
        return {uid: s for uid, s in found if day.contains(s.StudyDate, s.StudyTime)}

    def _too_many(self, what: str) -> ConfigError:
        return ConfigError(
            what,
            where=f"{self._where}, max_results",
            remedy="raise the cap in the PACS and here",
        )


def cut_list(where: str) -> ConfigError:
    """The error for a list of series or instances that is not whole: there is no halving it."""
    return ConfigError(
        "the PACS lists only some of a study's series or instances",
        where=where,
        remedy="raise its limit of results",
    )


def warn_of_unnamed(where: str) -> None:
    """Tells of a study that is listed without its UID; the others are fetched all the same."""
    log.warning(
        "%s lists a study without StudyInstanceUID: it is not fetched (have it mended there)",
        where,
    )


def select(
    studies: Iterable[StudyEntry],
    filters: StudyFilter,
    series_of: Callable[[str], Sequence[SeriesEntry]],
) -> list[StudyEntry]:
    """The studies that pass `filters`, by date and time.

    A PACS may ignore a key on modalities, and has none for a part of the description. Where
    it lists no modalities by study, they are asked for series by series.
    """

    def has_modality(study: StudyEntry) -> bool:
        listed = set(study.ModalitiesInStudy)
        if filters.modalities and not listed:
            listed = {item.Modality for item in series_of(study.StudyInstanceUID)}
        return not filters.modalities or not filters.modalities.isdisjoint(map(str.upper, listed))

    wanted = [s for s in studies if filters.describes(s.StudyDescription) and has_modality(s)]
    return sorted(wanted, key=lambda s: (s.StudyDate, s.StudyTime, s.StudyInstanceUID))
