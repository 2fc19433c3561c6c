"""Cleaning of text that is kept (PS3.15 Section E.3.5, Clean Descriptors).

Three passes, each stricter than the one before:

1. Every kept text loses what is known of this patient and study: parts of names, numbers,
   places, devices, dates in all usual forms, and UIDs; one that no option retains also titled
   names. A stranger without a title stays there.
2. A descriptor (LO, SH, UC) loses besides whatever looks like a date, a telephone number, an
   identifier, an address or a titled name, whoever the patient is.
3. Of what is left of a descriptor, words of the examination stay (`words`), and all others go:
   so does the name of somebody whom no header names.

A code string (CS) with letters or signs that no code has is cleaned as a descriptor. Prose (LT,
ST, UT) is cleaned as a descriptor, and loses also the words that are names too,
unless they are written small.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from functools import lru_cache
from itertools import permutations

from hounsfield.deid.identifiers import KnownIdentifiers
from hounsfield.deid.months import WRITTEN_DAYS, months_called
from hounsfield.deid.patterns import PATTERNS, TAKEN, TITLED, UID
from hounsfield.deid.vocabulary import NO_NAMES, VOCABULARY
from hounsfield.deid.words import GAP, is_word, keep_words

__all__ = ["TextCleaner"]

_SPACE = r"[\s^,._=\-/]"
_GAP = _SPACE + "{0,3}"
_LETTER = r"[^\W\d_]"
_ROMAN = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]
#: By the letter of a Japanese era, the year before its first.
_ERAS = {"T": 1911, "S": 1925, "H": 1988, "R": 2018}
#: What comes before a name, also one that is a word of the examination.
_CUE = r"(?:mr|mrs|ms|miss|dr|patient|pt|name|for|by|herr|frau|mme)[\s.:]+"
#: Letters of a part of a name: that is looked for alone, and in any surroundings.
_SHORTEST, _LONG = 3, 6
#: Letters of an identifier, or of two parts of a name: fewer tell nobody. Of an identifier with
#: a digit one fewer does: a number of the examination is lost where it is the patient's, too.
_TELLING = 4
#: Between words of an identifier; and between the letters of a long one, written in groups.
_BETWEEN, _IN_GROUPS = r"[\W_]{0,3}", r"[\s._/\-]?"
#: Between the letters of a long part of a name, to hide it, or where a line ends.
_WITHIN = r"[\s._/\-]{0,2}"
#: Between parts of a name: others are set in brackets, a maiden name or what somebody is called.
_APART = re.compile(r"[\s^=,._\-()\[\]{}<>\"“”„«»/;:+&*?!|#]+")
_APOSTROPHE = re.compile("['’ʼ`´]")
_ESCAPE = "\x1b"  # of ISO 2022
#: Control characters that no text may have (PS3.5 Section 6.1.3), but for NULs that fill it up.
_UNSEEN = re.compile("[\x01-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f]|\0(?!\0*$)")
#: What a code string may consist of (PS3.5 Table 6.2-1), and signs that makers write besides.
_CODE = re.compile(r"[A-Z0-9 _/.+\-]*")
_REMEMBERED = 4096  # texts; slices of a series share theirs


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
        exact = set(_identifiers(known.identifiers, shortest=_TELLING - 1))
        if not keep_devices:
            exact |= set(_identifiers(known.devices, shortest=_TELLING))
        places = () if keep_places else known.places
        days = [] if keep_dates else list(_days(known.dates))
        spellings = {spelling for name in known.names for spelling in _spellings(name)}
        self._names = _any_of(
            _longest_first(pattern for name in spellings for pattern in _chains(name)),
            _longest_first(pattern for name in spellings for pattern in _alone(name)),
            _longest_first(pattern for name in spellings for pattern in _with_initials(name)),
            _longest_first(_phrase(place) for place in places if _is_telling(place)),
        )
        numbers = _any_of(
            _longest_first(map(_identifier, exact)),
            _longest_first(form for day in days for form in _date_forms(day)),
        )
        self._numbers = [pattern for pattern in (numbers, UID) if pattern]
        self._in_months = {(day.month, number) for day in days for number in _beside_a_month(day)}
        self._done: dict[tuple[str, str], str] = {}

    def known(self, text: str) -> str:
        """The text without what is known of this patient and study."""
        return self._once("known", text, self._without_known)

    def technical(self, text: str) -> str:
        """The text without what is known and titled names."""
        return self._once("technical", text, self._without_titled)

    def code(self, text: str) -> str:
        """A code string as it is, but for what is known; of what no code has, a descriptor."""
        return self.known(text) if _CODE.fullmatch(text) else self.descriptor(text)

    def meaning(self, text: str) -> str:
        """The text without what is known and what looks like an identity; each word may stay."""
        return self._once("meaning", text, self._without_identities)

    def descriptor(self, text: str) -> str:
        """The text without what is known, what looks like an identity, and words of no use."""
        return self._once("descriptor", text, self._words)

    def prose(self, text: str) -> str:
        """As :meth:`descriptor`, for what people write in sentences."""
        return self._once("prose", text, lambda normal: self._words(normal, prose=True))

    def _once(self, kind: str, text: str, clean: Callable[[str], str]) -> str:
        """`clean` over the normal form of `text`; the text as it came where that finds nothing."""
        done = self._done.get((kind, text))
        if done is None:
            normal = _normal(text)
            cleaned = "" if self._is_parted(normal) else clean(normal)
            done = text if cleaned == normal else _tidy(cleaned)
            if len(self._done) >= _REMEMBERED:
                self._done.clear()
            self._done[kind, text] = done
        return done

    def _is_parted(self, text: str) -> bool:
        """Whether something known is in it but for control characters: nobody else writes so."""
        joined = _UNSEEN.sub("", text)
        return joined != text and self._without_known(joined) != joined

    def _without_known(self, text: str) -> str:
        if _ESCAPE in text:  # into a character set that was not named: nobody can read on
            text = text.partition(_ESCAPE)[0] + GAP
        for pattern in self._numbers:
            text = pattern.sub(TAKEN, text)
        for pattern in WRITTEN_DAYS if self._in_months else ():
            text = pattern.sub(self._without_known_day, text)
        return self._without_names(self._names, text) if self._names else text

    def _without_names(self, names: re.Pattern[str], text: str) -> str:
        """Also those that the text has marks in and the header has not: Müller, Mueller."""
        text = names.sub(GAP, text)
        for table in (_STROKED, _TRANSCRIBED) if not text.isascii() else ():
            letters = [_unmarked(sign.casefold(), table) for sign in text]
            signs = [index for index, written in enumerate(letters) for _ in written]
            for match in reversed(list(names.finditer("".join(letters)))):
                first, last = signs[match.start()], signs[match.end() - 1]
                text = text[:first] + GAP + text[last + 1 :]
        return text

    def _without_known_day(self, match: re.Match[str]) -> str:
        written = match.groupdict()
        number = int(written.get("day") or written["year"])
        months = months_called(written["month"])
        return TAKEN if any((month, number) in self._in_months for month in months) else match[0]

    def _without_titled(self, text: str) -> str:
        cleaned = self._without_known(text)
        for pattern in TITLED:
            cleaned = pattern.sub(GAP, cleaned)
        return cleaned

    def _without_identities(self, text: str) -> str:
        cleaned = self._without_known(text)
        for kind, pattern in PATTERNS:
            if not (self._keep_dates and kind == "date"):
                cleaned = pattern.sub(GAP if kind == "name" else TAKEN, cleaned)
        return cleaned

    def _words(self, text: str, *, prose: bool = False) -> str:
        return keep_words(self._without_identities(text), prose=prose)


def _any_of(*parts: list[str]) -> re.Pattern[str] | None:
    """One pattern of several, the first of them first; None of none."""
    found = dict.fromkeys(part for group in parts for part in group if part)
    return re.compile("|".join(found), re.I) if found else None


_BUT_LATIN_1 = re.compile("[^¨¯´µ¸¼½¾]+")


def _compatible(part: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", part[0])


@lru_cache(maxsize=4096)
def _normal(text: str) -> str:
    """NFKC (wide and narrow forms as one), with all digits, dashes and strokes as ASCII.

    And without what nobody sees, as hyphens that only show at a line's end.

    But for signs whose normal form no character set of DICOM has that has the sign itself.
    """
    normal = text if text.isascii() else _BUT_LATIN_1.sub(_compatible, text)
    if normal.isascii():
        return normal
    return "".join(map(_as_ascii, normal))


#: What people set between the parts of a date or a number, though not as ASCII has it.
_SEPARATORS = {"\u2212": "-", "⁄": "/", "∕": "/", "؍": "/", "·": ".", "・": ".", "‧": ".", "∙": "."}


def _as_ascii(sign: str) -> str:
    category = unicodedata.category(sign)
    if category in ("Cf", "Pd"):
        return "" if category == "Cf" else "-"
    return str(unicodedata.decimal(sign)) if category == "Nd" else _SEPARATORS.get(sign, sign)


def _identifiers(values: Iterable[str], *, shortest: int) -> Iterator[str]:
    """Identifiers long enough to tell whose they are; short ones with a digit only."""
    for value in values:
        plain = _plain(value)
        is_short = len(plain) < _TELLING
        if len(plain) < shortest or plain in VOCABULARY or plain in NO_NAMES:
            continue
        if not is_short or (plain.isalnum() and any(sign.isdigit() for sign in plain)):
            yield plain
        core = re.fullmatch(r"[^\d]*0*(\d{5,})", plain)
        if core is not None:  # As people write H0012345 who know their hospital.
            yield core[1]


def _identifier(identifier: str) -> str:
    """A long number also beside letters, as in ``CT47113``; anything else by itself."""
    if identifier.isdigit() and len(identifier) >= _TELLING:
        return rf"(?<!\d){_as_written(identifier)}(?!\d)"
    return _bounded(_as_written(identifier))


def _as_written(identifier: str) -> str:
    """As people write it: with other separators than its own, a long one also in groups.

    A short one only as it came: ``CT-1`` is not in ``CT 1.25mm``.
    """
    words = re.findall(r"[^\W_]+", identifier)
    letters = sum(map(len, words))
    if letters < _TELLING:
        return re.escape(identifier)
    return _BETWEEN.join((_IN_GROUPS if letters >= _LONG else "").join(word) for word in words)


def _is_telling(place: str) -> bool:
    words = _plain(place).split()
    return len("".join(words)) >= _TELLING and not all(word in VOCABULARY for word in words)


@lru_cache(maxsize=4096)
def _spellings(name: str) -> tuple[str, ...]:
    """A name as it came, and as others spell it: Müller, Mueller, Muller."""
    return _plain(name), _transcribed(name), _bare(name), _joined(name), _kana(name)


def _parts(name: str, is_part: Callable[[str], bool] = lambda part: len(part) > 1) -> list[str]:
    words = (word.strip("0123456789") or word for word in _APART.split(name))
    parts = [part for part in words if part not in NO_NAMES]
    return list(dict.fromkeys(part for part in parts if part and is_part(part)))[:6]


def _chains(name: str) -> Iterator[str]:
    """Two or more parts side by side, in any order; one ideograph is a part, too."""
    parts = _parts(name)
    if len(parts) > 1 and len(parts[0]) + len(parts[1]) >= _TELLING:
        most = "".join(sorted(parts, key=len)[-2:])
        is_short = len(most) < _LONG and most.isascii()  # Li Na is not in ``Linac``.
        yield rf"(?<!{_LETTER}){_chain(parts)}(?!{_LETTER})" if is_short else _chain(parts)
    ideographs = _parts(name, _is_ideographic)
    if len(ideographs) > 1:
        yield _chain(ideographs)


def _chain(parts: list[str]) -> str:
    one = f"(?:{'|'.join(map(_spelled, parts))})"
    return f"{one}(?:{_GAP}{one})+"


def _alone(name: str) -> Iterator[str]:
    """One part by itself, where it tells; a word of the examination only after a title."""
    for word in _parts(name):
        if not any(character.isalpha() for character in word):
            continue
        if word in VOCABULARY:
            yield rf"(?<!{_LETTER}){_CUE}{re.escape(word)}(?!{_LETTER})"
        elif _is_ideographic(word) or (len(word) >= _LONG and not _APOSTROPHE.search(word)):
            yield re.escape(word)  # Ideographs stand without spaces around them.
            if word.isascii():
                yield rf"(?<!{_LETTER}){_parted(word)}(?!{_LETTER})"
        elif len(word) >= _SHORTEST:
            yield rf"(?<!{_LETTER}){_spelled(word)}(?!{_LETTER})"


def _parted(word: str) -> str:
    """With blanks or stops between its letters, but for Chester in ``CHEST ER``."""
    heads = (word[:end] for end in range(2, len(word)) if word[:end] in VOCABULARY)
    another = "|".join(rf"{head}[\s._/\-]" for head in heads)
    return (f"(?!{another})" if another else "") + _WITHIN.join(map(re.escape, word))


def _spelled(word: str) -> str:
    """O'Brien also as O Brien, OBrien and Brien."""
    first, *rest = _APOSTROPHE.split(word)
    if not rest:
        return re.escape(word)
    few = "?" if len(first) < _SHORTEST <= len(rest[-1]) else ""
    between = rf"(?:\s|{_APOSTROPHE.pattern})?"
    return f"(?:{re.escape(first)}{between}){few}{between.join(map(re.escape, rest))}"


def _with_initials(name: str) -> Iterator[str]:
    """As accounts and short labels have it: jsmith, smithj; and of two letters NG W."""
    for word, other in permutations(_parts(name)[:3], 2):
        if len(word) < _SHORTEST and word.isascii() and (word + other[0]).isalpha():
            for one, next_one in ((word, other[0]), (other[0], word)):
                gap = _SPACE + "{1,3}" if is_word(one + next_one) else _GAP
                yield _bounded(one + gap + next_one)
        for written in (other[0] + word, word + other[0]):
            if len(word) >= _SHORTEST and written.isalpha() and written not in VOCABULARY:
                yield rf"(?<!{_LETTER}){re.escape(written)}(?!{_LETTER})"


_HIRAGANA, _TO_KATAKANA = range(0x3041, 0x3097), 0x60
_OTHER_KANA = {sign: sign + _TO_KATAKANA for sign in _HIRAGANA} | {
    sign + _TO_KATAKANA: sign for sign in _HIRAGANA
}
_STROKED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th"}
)
_TRANSCRIBED = _STROKED | str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "đ": "dj"}
)


def _transcribed(name: str) -> str:
    """As a keyboard without umlauts spells it: Müller, Mueller."""
    return _unmarked(_plain(name), _TRANSCRIBED)


def _bare(name: str) -> str:
    """Without marks: Müller, Muller; Семёнов, Семенов."""
    return _unmarked(_plain(name), _STROKED)


def _unmarked(plain: str, table: Mapping[int, str]) -> str:
    """Small letters without their marks, some of them as others."""
    told = plain.translate(table)
    if told.isascii():
        return told
    apart = unicodedata.normalize("NFD", told)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


def _joined(name: str) -> str:
    """Each component as one word: van der Berg, vanderberg."""
    components = re.split(r"[\^=]", _normal(name))
    return _plain("^".join(re.sub(rf"[\s\-]|{_APOSTROPHE.pattern}", "", one) for one in components))


def _kana(name: str) -> str:
    """Hiragana as Katakana, and the other way round."""
    return _plain(name) if name.isascii() else _plain(name).translate(_OTHER_KANA)


def _is_ideographic(word: str) -> bool:
    """Whether it is of a script without capitals."""
    return not word.isascii() and word.upper() == word.lower()


def _bounded(pattern: str) -> str:
    return rf"(?<![^\W_]){pattern}(?![^\W_])"


def _phrase(text: str) -> str:
    words = [re.escape(word) for word in re.findall(r"\w+", _plain(text))]
    return _bounded(r"[^\w]*".join(words))


def _days(dates: Iterable[str]) -> Iterator[date]:
    for day in dates:
        with suppress(ValueError):
            yield date(int(day[:4]), int(day[4:6]), int(day[6:8]))


def _beside_a_month(when: date) -> tuple[int, ...]:
    """What stands beside its name: the day, or the year, as Buddhists count it, too."""
    return when.day, when.year, when.year + 543


def _date_forms(when: date) -> Iterator[str]:
    """The usual ways to write a day in numbers, as patterns."""
    year, month, number = f"{when:%Y}", f"0?{when.month}", f"0?{when.day}"
    short = f"(?:{year[:2]})?{year[2:]}"
    gap = r"[\s.,/_\-]{1,3}"
    for form in (
        rf"{when:%Y%m%d}\d{{0,6}}",
        f"{when:%d%m%Y}",
        f"{when:%m%d%Y}",
        f"{when:%y%m%d}",
        f"{when:%d%m%y}",
        f"{when:%m%d%y}",
        f"{year}{gap}{month}{gap}{number}",
        f"{number}{gap}{month}{gap}{short}",
        f"{month}{gap}{number}{gap}{short}",
        f"{month}{gap}{year}",
        rf"{when:%y}[-/.]{when:%m}[-/.]{when:%d}",
        rf"{year}[-/]{when:%m}(?![-/.]?\d)",
        rf"{year}\s?[年년]\s?{month}\s?[月월](?:\s?{number}\s?[日일])?",
        rf"{number}\stháng\s{month}(?:\snăm\s{year})?",
        rf"(?:{when:%d}/{when:%m}|{when:%m}/{when:%d}|{when:%d}\.{when:%m}\.)(?![/\d])",
        rf"(?<!/){when:%m}/{when:%y}(?![/\d])",
        f"{year}:{month}:{number}",
        f"{number}{gap}{_ROMAN[when.month - 1]}{gap}{short}",
        f"{year}-?{when:%j}",
        *(rf"(?<![^\W\d_]){era}[./-]{month}[./-]{number}" for era in _eras(when.year)),
    ):
        yield rf"(?<!\d){form}(?!\d)"


def _eras(year: int) -> Iterator[str]:
    """A year as the Japanese count it: it may be of two emperors."""
    for letter, before in _ERAS.items():
        if 0 < year - before < 65:
            yield f"{letter}0?{year - before}"


def _longest_first(patterns: Iterable[str]) -> list[str]:
    return sorted(set(patterns), key=lambda pattern: (-len(pattern), pattern))


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    normal = _normal(text).casefold().replace("\u0307", "")  # the dot of İ
    return " ".join(normal.replace("^", " ").replace("=", " ").split())


def _tidy(text: str) -> str:
    """Without the gaps and lone separators that a removal leaves."""
    text = re.sub(rf"[{GAP}{TAKEN}](?:[\s,.'’^=\-]*[{GAP}{TAKEN}])*", " ", text)
    text = re.sub(r"[ \t]{2,}", " ", text)
    return re.sub(r"\(\s*\)|\[\s*\]", "", text).strip(" \t,;:_^/-")
