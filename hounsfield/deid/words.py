"""The keep-list of descriptors: words of the examination stay, every other word goes.

A name that no header tells of can only be told by not being a word of medicine. So a run of
letters is kept if it is in ``vocabulary.csv``, or is made as codes of protocols are (``T2w``,
``B70f``, ``MPR``); whatever else it is, it goes. Words that are names too (Hand, Brown, May)
stay alone, and go beside a word that went, after a title, and in prose wherever they are not
written small.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

from hounsfield.deid.table.pinned import read_pinned
from hounsfield.deid.vocabulary import VOCABULARY

__all__ = ["GAP", "is_word", "keep_words"]

#: Stands where a name was taken out before: a word beside it can be a part of that.
GAP: Final = "\ufffc"

# Latin letters with their marks; or what is of any other script and neither punctuation, sign
# nor digit. Combining marks belong to their letters.
_LATIN = r"A-Za-zÀ-ÖØ-öø-\u024f\u0300-\u036f\u1e00-\u1eff"
_NO_OTHER = (
    rf"{_LATIN}\x00-\xbf×÷\u2000-\u206f\u2190-\u2bff\u3000-\u3004\u3008-\u3020\u3030\ufff0-\uffff"
)
_RUN: Final = re.compile(rf"[{_LATIN}]+|[^{_NO_OTHER}]+")
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_BESIDE: Final = re.compile(rf"[\s,.'’^/_=\-{GAP}]*")
_TITLES: Final = frozenset(
    "dr dott prof mr mrs ms miss sir herr frau mme mlle sr sra don lady name by for".split()  # noqa: SIM905
)
# What protocols write in one word: ``sagknee``, ``flairtra``.
_STEMS: Final = VOCABULARY | frozenset(
    "sag cor tra sagittal flair dwi epi gre tse tfe tof mpr stir fatsat dixon mprage angio".split()  # noqa: SIM905
)
_LONGEST_STEM: Final = max(map(len, _STEMS))
# Endings that medicine makes its words with.
_MEDICAL: Final = re.compile(
    r"[a-zà-ÿ]{4,}(?:gra(?:m|ms|phy|phic|phie|f[ií]a)|omas?|itis|osis|ectomy|plasty|scop(?:y|ic)"
    r"|otomy|ostomy|opathy|a?emia|algia|metry|olog(?:y|ic|ical)|megaly|rrhage|plegia|lithiasis)"
)
_VOWELS: Final = frozenset("aeiouy")
_LONGEST_CODE, _SHORT = 5, 3


@cache
def _vocabulary() -> dict[str, bool]:
    """Word → whether it is a name too."""
    lines = csv.DictReader(io.StringIO(read_pinned("vocabulary.csv")))
    return {line["word"]: bool(line["also_a_name"]) for line in lines}


def is_word(text: str) -> bool:
    """Whether it is one of the examination."""
    return text.casefold() in _vocabulary()


@dataclass(slots=True)
class _Run:
    """Letters side by side in a text, and what becomes of them."""

    start: int
    end: int
    text: str
    kept: str
    is_doubtful: bool


def keep_words(text: str, *, prose: bool = False) -> str:
    """`text` with :data:`GAP` in place of every word that is not of the examination.

    Parameters
    ----------
    prose
        Whether people write sentences into it: a capital letter then makes a name of a word.
    """
    runs = [_judged(match, prose) for match in _RUN.finditer(text)]
    _drop_beside(text, runs)
    parts, at = [], 0
    for run in runs:
        parts += [text[at : run.start], run.kept]
        at = run.end
    return "".join([*parts, text[at:]])


def _judged(match: re.Match[str], prose: bool) -> _Run:
    run, start, end = match[0], match.start(), match.end()
    around = match.string[max(0, start - 1) : start], match.string[end : end + 1]
    beside_digit = any(sign.isdigit() for sign in around)
    in_code = beside_digit or bool({"_", "/"} & set(around))
    if len(run) == 1 and run.isascii():
        return _Run(start, end, run, run, run.isupper() and not in_code and "-" not in around)
    kept, doubtful = _kept(run, beside_digit, _in_protocol(match))
    if doubtful and prose and not run.islower():
        kept = GAP
    # Beside a name, a hand is a hand, and what is written small is no name.
    doubtful = doubtful and not (in_code or run.islower() or run.casefold() in VOCABULARY)
    return _Run(start, end, run, kept, doubtful)


def _in_protocol(match: re.Match[str]) -> bool:
    """Whether three small letters at most stand in what a scanner wrote: ``t1_mpr_we_p2``."""
    run, text = match[0], match.string
    if len(run) > _SHORT or not (run.isascii() and run.islower()):
        return False
    first = max(text.rfind(" ", 0, match.start()), -1) + 1
    token = text[first:].split(" ", 1)[0]
    return token.count("_") > 1 and any(sign.isdigit() for sign in token)


@lru_cache(maxsize=8192)
def _kept(run: str, beside_digit: bool, in_protocol: bool) -> tuple[str, bool]:
    """What stays of a run, and whether it could be a name all the same."""
    words, low = _vocabulary(), run.casefold()
    if low in words:
        return run, words[low]
    if beside_digit and run[0] == "D" and low[1:] in words:  # 3DMPRAGE
        return run, words[low[1:]]
    if in_protocol or _is_code(run, beside_digit) or _is_compound(run) or _MEDICAL.fullmatch(low):
        return run, False
    if low == run.upper():  # Scripts without capitals write words without gaps, too.
        return "".join(_known_pieces(run)), False
    return GAP, False


def _is_code(run: str, beside_digit: bool) -> bool:
    """Letters as protocols have them: two beside a digit, or capitals that nobody can say."""
    if not run.isascii():
        return False
    if beside_digit and len(run) == 2:
        return True
    return len(run) <= _LONGEST_CODE and run.isupper() and not _VOWELS & set(run.lower())


def _is_compound(run: str) -> bool:
    """Several words of the examination in one: ``AxFLAIR``, ``sagknee``, ``nodules``."""
    words = _vocabulary()

    def are_words(*parts: str) -> bool:
        """All of them, and one at least that is no name."""
        marks = [words.get(part.casefold()) for part in parts if len(part) > 1]
        return None not in marks and False in marks

    if run.endswith("s") and are_words(run[:-1]):
        return True
    parts = _PARTS.findall(run)
    if len(parts) > 1 and "".join(parts) == run:
        return are_words(*parts)
    if len(run) > 2 * _LONGEST_STEM:
        return False
    return any({run[:cut].lower(), run[cut:].lower()} <= _STEMS for cut in range(3, len(run) - 2))


def _known_pieces(run: str) -> Iterator[str]:
    """The longest words first, from left to right; a gap for what is between them.

    Words of one character are too often a part of a name to stay beside what is not known.
    """
    words = _vocabulary()
    pieces, at = [], 0
    while at < len(run):
        sizes = range(min(len(run) - at, 8), 0, -1)
        size = next((size for size in sizes if run[at : at + size] in words), 0)
        pieces.append(run[at : at + size] if size else GAP)
        at += size or 1
    whole = GAP not in pieces
    for piece in pieces:
        yield piece if whole or len(piece) > 1 else GAP


def _drop_beside(text: str, runs: list[_Run]) -> None:
    """Takes out doubtful words after a title, and beside what is gone already, on both sides."""
    for before, run in pairwise(runs):
        title = before.text.casefold() in _TITLES and run.text[:1].isupper() and len(run.text) > 1
        if title and run.is_doubtful and not run.text.isupper():
            run.kept = GAP
    for order in (range(len(runs)), reversed(range(len(runs)))):
        for index in order:
            if runs[index].is_doubtful and _is_beside_a_gap(text, runs, index):
                runs[index].kept = GAP


def _is_beside_a_gap(text: str, runs: list[_Run], index: int) -> bool:
    run = runs[index]
    before = runs[index - 1] if index else None
    after = runs[index + 1] if index + 1 < len(runs) else None
    left = text[before.end if before else 0 : run.start]
    right = text[run.end : after.start if after else len(text)]
    return _reaches(left, before.kept[-1:] if before else "") or (
        _reaches(right, after.kept[:1] if after else "")
    )


def _reaches(between: str, neighbour: str) -> bool:
    """Whether nothing but blanks and stops lies between a word and a gap."""
    return GAP in between + neighbour and _BESIDE.fullmatch(between) is not None
