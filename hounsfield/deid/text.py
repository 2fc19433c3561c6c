"""Cleaning of free text that is kept (PS3.15 Section E.3.5, Clean Descriptors).

Two passes. Every kept text loses what is known of this patient and study. A descriptor
loses in addition whatever looks like a date, a telephone number, an identifier, an address
or a titled name, known or not. What remains is kept: a protocol name without the name in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from itertools import permutations

from hounsfield.deid.identifiers import KnownIdentifiers
from hounsfield.deid.patterns import PATTERNS
from hounsfield.deid.vocabulary import NO_NAMES, VOCABULARY

__all__ = ["TextCleaner"]

_GAP = r"[\s^,._=\-/]{0,3}"
_LETTER = r"[^\W\d_]"


class TextCleaner:
    """Takes what is known, and what looks like an identity, out of text.

    Parameters
    ----------
    known
        Gathered over the whole study.
    keep_dates, keep_devices, keep_places
        Where the profile retains them, they are no secret.
    """

    def __init__(
        self,
        known: KnownIdentifiers,
        *,
        keep_dates: bool = False,
        keep_devices: bool = False,
        keep_places: bool = False,
    ) -> None:
        self._keep_dates = keep_dates
        exact = set(_identifiers(known.identifiers))
        if not keep_devices:
            exact |= set(_identifiers(known.devices))
        places = () if keep_places else known.places
        dates = () if keep_dates else known.dates
        parts = [
            *_longest_first(pattern for name in known.names for pattern in _name_patterns(name)),
            *_longest_first(_phrase(place) for place in places if _is_telling(place)),
            *_longest_first(_bounded(re.escape(item)) for item in exact),
            *_longest_first(form for day in dates for form in _date_forms(day)),
        ]
        self._known = re.compile("|".join(dict.fromkeys(parts)), re.I) if parts else None

    def known(self, text: str) -> str:
        """The text without what is known of this patient and study."""
        if self._known is None or not text:
            return text
        normal = unicodedata.normalize("NFKC", text)
        cleaned = self._known.sub(" ", normal)
        return text if cleaned == normal else _tidy(cleaned)

    def descriptor(self, text: str) -> str:
        """The text without what is known, and without what looks like an identity."""
        cleaned = before = self.known(text)
        for kind, pattern in PATTERNS:
            if not (self._keep_dates and kind == "date"):
                cleaned = pattern.sub(" ", cleaned)
        return cleaned if cleaned == before else _tidy(cleaned)


def _identifiers(values: Iterable[str]) -> Iterator[str]:
    """Identifiers long enough to be told from a number of the examination."""
    for value in values:
        plain = _plain(value)
        if len(plain) >= 4 and plain not in VOCABULARY and plain not in NO_NAMES:
            yield plain


def _is_telling(place: str) -> bool:
    words = _plain(place).split()
    return len("".join(words)) >= 4 and not all(word in VOCABULARY for word in words)


def _name_patterns(name: str) -> Iterator[str]:
    """Patterns of a PN value: two parts side by side, or one telling part alone."""
    parts = [part for part in re.split(r"[\s^=,._\-]+", _plain(name)) if part not in NO_NAMES]
    words = list(dict.fromkeys(part for part in parts if len(part) > 1))[:6]
    for first, second in permutations(words, 2):
        if len(first) + len(second) >= 4:
            yield f"{re.escape(first)}{_GAP}{re.escape(second)}"
    for word in words:
        if word in VOCABULARY or not any(character.isalpha() for character in word):
            continue
        if not word.isascii() and not _has_case(word):
            yield re.escape(word)  # Ideographs stand without spaces around them.
        elif len(word) >= 6:
            yield re.escape(word)
        elif len(word) >= 3:
            yield rf"(?<!{_LETTER}){re.escape(word)}(?!{_LETTER})"


def _has_case(word: str) -> bool:
    return word.upper() != word.lower()


def _bounded(pattern: str) -> str:
    return rf"(?<![^\W_]){pattern}(?![^\W_])"


def _phrase(text: str) -> str:
    words = [re.escape(word) for word in re.findall(r"\w+", _plain(text))]
    return _bounded(r"[^\w]*".join(words))


def _date_forms(day: str) -> Iterator[str]:
    """The usual ways to write a day, as patterns."""
    try:
        when = date(int(day[:4]), int(day[4:6]), int(day[6:8]))
    except ValueError:
        return
    year, month, number = f"{when:%Y}", f"0?{when.month}", f"0?{when.day}"
    short = f"(?:{year[:2]})?{year[2:]}"
    word = f"{when:%b}[a-z]*"
    gap = r"[\s.,/_\-]{1,2}"
    for form in (
        f"{when:%Y%m%d}",
        f"{when:%d%m%Y}",
        f"{when:%m%d%Y}",
        f"{year}{gap}{month}{gap}{number}",
        f"{number}{gap}{month}{gap}{short}",
        f"{month}{gap}{number}{gap}{short}",
        f"{number}(?:st|nd|rd|th)?[\\s.,/_\\-]{{0,2}}{word}[\\s.,/_\\-]{{0,2}}{short}",
        f"{word}[\\s.,/_\\-]{{0,2}}{number}(?:st|nd|rd|th)?[\\s.,/_\\-]{{1,2}}{short}",
    ):
        yield rf"(?<!\d){form}(?!\d)"


def _longest_first(patterns: Iterable[str]) -> list[str]:
    return sorted(set(patterns), key=lambda pattern: (-len(pattern), pattern))


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    normal = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(normal.replace("^", " ").replace("=", " ").split())


def _tidy(text: str) -> str:
    """Without the gaps and lone separators that a removal leaves."""
    text = re.sub(r"[ \t]{2,}", " ", text)
    return re.sub(r"\(\s*\)|\[\s*\]", "", text).strip(" \t,;:_^/-")
