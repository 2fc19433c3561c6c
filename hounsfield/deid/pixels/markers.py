"""Text that belongs to the picture: laterality and view markers stay."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

__all__ = [
    "STROKES",
    "is_marker",
    "is_part",
    "is_telling",
    "resembles",
    "resembles_marker",
    "time_and_marker",
]

_MARKERS: Final = frozenset(
    """
    L R RT LT LEFT RIGHT RE LI LINKS RECHTS A P S I H F AP PA LAT LATERAL OBL RAO LAO LPO RPO
    CC MLO RCC LCC RMLO LMLO ML LM XCCL AT SI IS HF HFS FFS HFP FFP SUPINE PRONE ERECT
    UPRIGHT STANDING SITTING PORTABLE DECUB DECUBITUS INSP EXP INSPIRATION EXPIRATION
    LL RL APR APL
    """.split()  # noqa: SIM905
)

_NAMES: Final = frozenset({"APR", "LAO", "LAT", "LINKS", "RAO"})
_TIME, _WORD = r"(\d{1,2}(?::\d{2}){1,2})", "([A-Za-z]{3,})"
_TIME_AND_WORD: Final = re.compile(rf"{_TIME}\s*{_WORD}|{_WORD}\s*{_TIME}")

#: As what ticks, screws and other lines read; and how many side by side are no number of anybody's.
STROKES: Final = frozenset("1Il一")
_TICKS: Final = 10
#: Share of letters in common from which one text may be a misreading of the other: of four letters,
#: one is another.
_ALIKE: Final = 0.75


def is_marker(text: str) -> bool:
    """Whether the whole text, in whatever script, is made of laterality, view, position markers."""
    words = re.findall(r"[^\W_]+", text.upper())
    return bool(words) and all(word in _MARKERS for word in words)


def is_telling(text: str) -> bool:
    """Whether a text could identify anybody: two letters or digits at least, and no ruler."""
    signs = [character for character in text if character.isalnum()]
    is_ruler = len(signs) >= _TICKS and STROKES.issuperset(signs)
    return len(signs) >= 2 and not is_ruler and not is_marker(text)


def time_and_marker(text: str) -> tuple[str, ...]:
    """The parts of a line that is a time of day and a marker, in any order; else none.

    Other numbers could begin with the letters, two letters be initials, and a few are names, of
    people or of a month.
    """
    match = _TIME_AND_WORD.fullmatch(text.strip())
    parts = tuple(part for part in match.groups() if part) if match else ()
    markers = [part for part in parts if is_marker(part) and part.upper() not in _NAMES]
    return parts if markers else ()


def is_part(text: str, marker: str) -> bool:
    """Whether a text is two letters or more of a marker that stand there side by side."""
    read = _letters(text)
    return len(read) >= 2 and read in _letters(marker)


def resembles_marker(text: str) -> bool:
    """Whether a text could be a marker that was read badly, or a piece of one."""
    return any(resembles(text, marker) for marker in _MARKERS)


def resembles(text: str, marker: str, least: float = _ALIKE) -> bool:
    """Whether a text is nearly a marker, or two letters of it at least.

    Parameters
    ----------
    least
        Share of letters in common from which it is nearly one.
    """
    if is_part(text, marker):
        return True
    read, meant = _letters(text), _letters(marker)
    return SequenceMatcher(None, read, meant, autojunk=False).ratio() >= least


def _letters(text: str) -> str:
    return "".join(character for character in text.upper() if character.isalnum())
