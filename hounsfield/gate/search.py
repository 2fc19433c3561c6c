"""Finding sentinels in a text or in bytes: each in every form that a person would know it in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import permutations
from typing import Final

from hounsfield.deid.vocabulary import NO_NAMES, VOCABULARY
from hounsfield.gate.months import MONTHS
from hounsfield.gate.sentinels import Sentinels

__all__ = ["Search"]

# Encodings that a name may stand in, whatever the file says of itself.
_ENCODINGS: Final = (
    *("utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr"),
    *("latin-1", "iso8859-2", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9"),
    *("koi8-r", "cp1251", "tis_620"),
)
_ISO_2022: Final = ("iso2022_jp_1", "iso2022_kr")
_ROMAN: Final = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
#: Letter of a Japanese era, and the year before it.
_EMPERORS: Final = (("t", 1911), ("s", 1925), ("h", 1988), ("r", 2018))
#: In bytes that may be anything, shorter ones would be found by chance.
_SHORTEST_BYTES = 5
_MOST_PARTS = 64  # of a UID: it has no more signs (PS3.5 Section 9)
_UID = re.compile(r"\d+(?:\.\d+){2,}")
_UID_BYTES = re.compile(rb"\d+(?:\.\d+){2,}")
_ESCAPES = re.compile(rb"\x1b(?:\$\)?[@A-D]|\$\([A-D]|[()\-][A-Z])|[\x0e\x0f]")
_CONTROLS = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f-\x9f]")  # not what ends a line or a page
_ONE_KANA: Final = {sign + 0x60: sign for sign in range(0x3041, 0x3097)}
_STROKES: Final = str.maketrans("\u2212⁄∕؍·・‧∙", "-///....")
_PLAIN: Final = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_ONE_SIGN: Final[dict[int, int | str]] = {**_ONE_KANA, **_STROKES, **_PLAIN}
_WITHOUT_UMLAUTS: Final = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "đ": "dj"}
)
_UMLAUT: Final = re.compile("(?<=[aou])e(?=[a-z]{2})")
_BETWEEN = r"[\W_]{0,3}"
_APART = r"[\s^,._=/-]{1,3}"
_IN_WORDS = r"[\s._/-]{0,2}"
_IN_NUMBERS = r"[\s()./-]{0,2}"
_IN_IDENTIFIERS = r"[\s._/-]?"


class Search:
    """Looks for the sentinels of one study.

    Parameters
    ----------
    sentinels
        Those that the profile does not retain.
    """

    def __init__(self, sentinels: Sentinels) -> None:
        self._uids = sentinels.uids
        self._days = sentinels.days
        patterns: dict[str, str] = {}
        for kind, texts in sentinels.texts.items():
            for text in texts:
                for written in _spellings(kind, text):
                    for pattern in _forms(kind, _normal(written)):
                        patterns.setdefault(pattern, kind)
        for day in sentinels.days:
            patterns.update(dict.fromkeys(_day_forms(day), "date"))
        self._forms = _Forms(patterns)
        free = ((kind, text) for kind, texts in sentinels.free.items() for text in texts)
        self._free = _Forms(
            {form: kind for kind, text in free for form in _free_forms(_normal(text))}
        )
        self._needles = dict(_needles(sentinels))
        self._told: dict[tuple[str, bool], frozenset[str]] = {}

    def text(self, text: str, *, is_free: bool = False) -> frozenset[str]:
        """Kinds of what a text tells.

        Parameters
        ----------
        is_free
            Whether people write what they like there: short identifiers are looked for, too,
            and long ones in groups.
        """
        if (text, is_free) not in self._told:
            self._told[text, is_free] = frozenset(self._look(text, is_free))
        return self._told[text, is_free]

    def bytes(self, value: bytes) -> frozenset[str]:
        """Kinds of what stands in bytes, in any encoding, and with the escapes of ISO 2022."""
        found = {kind for needle, kind in self._needles.items() if needle in value}
        if b"\x1b" in value or b"\x0e" in value:
            plain = _ESCAPES.sub(b"", value)
            found |= {kind for needle, kind in self._needles.items() if needle in plain}
        uids = (match[0].decode() for match in _UID_BYTES.finditer(value))
        return frozenset(found | {"UID" for uid in uids if self.is_uid(uid)})

    def is_uid(self, uid: str) -> bool:
        """Whether a UID is one of the originals, or begins with one."""
        parts = uid.split(".", _MOST_PARTS)
        return any(".".join(parts[:end]) in self._uids for end in range(3, len(parts) + 1))

    def is_day(self, tag: int, value: str) -> bool:
        """Whether a date is the one that stood in this very attribute.

        Dates are shifted by days, so that one may fall on another of the study by chance;
        what must not be is a date that stayed where it was. An attribute that the raw study
        does not have may hold none of them.
        """
        if value not in self._days:
            return False
        known = any(tag in tags for tags in self._days.values())
        return tag in self._days[value] or not known

    def _look(self, text: str, is_free: bool) -> Iterator[str]:
        normal = _normal(text)
        for written in {normal, _CONTROLS.sub("", normal)}:
            yield from self._forms.kinds(written)
            if is_free:
                yield from self._free.kinds(written)
            if any(self.is_uid(uid) for uid in _UID.findall(written)):
                yield "UID"


class _Forms:
    """Patterns over normalised text, each with the kind of what it shows."""

    def __init__(self, kinds: dict[str, str]) -> None:
        longest = sorted(kinds, key=len, reverse=True)
        self._kind_of = [kinds[pattern] for pattern in longest]
        self._pattern = re.compile("|".join(f"({p})" for p in longest)) if longest else None

    def kinds(self, normal: str) -> Iterator[str]:
        for match in self._pattern.finditer(normal) if self._pattern is not None else ():
            yield self._kind_of[(match.lastindex or 1) - 1]


def _normal(text: str) -> str:
    """Without capitals, wide forms and marks, all of which others leave out.

    In one kana, and with one sign each for dashes, strokes and points, and for a letter that has a
    stroke of its own.
    """
    normal = unicodedata.normalize("NFKD", text.casefold()).casefold().strip(" \0")
    if normal.isascii():
        return normal
    seen = "".join(sign for sign in normal if unicodedata.category(sign) not in ("Cf", "Mn"))
    ruled = ("-" if unicodedata.category(sign) == "Pd" else sign for sign in seen)
    return unicodedata.normalize("NFC", "".join(ruled)).translate(_ONE_SIGN)


def _spellings(kind: str, text: str) -> set[str]:
    """As it stands; a name also as a keyboard without umlauts writes it."""
    small = unicodedata.normalize("NFC", text.casefold())
    return {text, small.translate(_WITHOUT_UMLAUTS)} if kind == "person" else {text}


def _forms(kind: str, text: str) -> Iterator[str]:
    """Patterns over normalised text in which a value would be known."""
    if kind == "person":  # Mueller is Müller, who is Muller here
        yield from (_UMLAUT.sub("e?", form) for form in _name_forms(text))
    elif kind == "telephone":
        digits = re.sub(r"\D", "", text)
        if len(digits) >= 6:
            yield rf"(?<!\d){_IN_NUMBERS.join(digits)}(?!\d)"
    else:
        words = [re.escape(word) for word in re.findall(r"\w+", text)]
        if words:
            yield _bounded(_BETWEEN.join(words), 0)


def _free_forms(identifier: str) -> Iterator[str]:
    """By itself: a short identifier as it is, a long one with separators between any letters.

    And its number without what stands before it: letters, and zeros that fill it up. A long
    number may stand beside letters.
    """
    for written in (identifier, identifier.lstrip("abcdefghijklmnopqrstuvwxyz-_/. ").lstrip("0")):
        letters = re.findall(r"[^\W_]", written)
        if written == identifier or (len(letters) >= 5 and written.isdigit()):
            form = _IN_IDENTIFIERS.join(letters) if len(letters) >= 6 else re.escape(written)
            beside = r"\d" if written.isdigit() and len(letters) >= 5 else r"[^\W_]"
            yield rf"(?<!{beside}){form}(?!{beside})"


def _name_forms(name: str) -> Iterator[str]:
    """Two parts side by side, or one part that is no word of the examination."""
    for group in name.split("="):
        words = [word for word in re.findall(r"[^\W\d_]+", group) if word not in NO_NAMES]
        for first, second in permutations(dict.fromkeys(words[:6]), 2):
            if len(first) + len(second) >= (4 if group.isascii() else 2):
                letters = len(first + second) if group.isascii() else 6
                yield _bounded(f"{first}{_BETWEEN}{second}", letters)
            yield from _with_initial(first[0], second)
        for component in group.split("^"):  # van der Berg as vanderberg
            joined = "".join(re.findall(r"[^\W\d_]+", component))
            if joined not in words and joined not in VOCABULARY and len(joined) >= 4:
                yield _bounded(joined, len(joined))
        for word in words:
            if word not in VOCABULARY:
                yield from _word_forms(word)


def _with_initial(initial: str, word: str) -> Iterator[str]:
    """Together; of a word of two letters apart: too many words have three."""
    for first, second in ((initial, word), (word, initial)):
        if len(word) == 2 and word.isascii():
            yield _bounded(f"{first}{_APART}{second}", 0)
        elif len(word) >= 3 and first + second not in VOCABULARY:
            yield rf"(?<![^\W_]){first}{second}(?![^\W_])"


def _word_forms(word: str) -> Iterator[str]:
    """By itself; a long one also in parts, if the first is no word of the examination."""
    if len(word) >= (3 if word.isascii() else 2):
        yield _bounded(word, len(word))
    if len(word) >= 6 and word.isascii():
        words = [word[:end] for end in range(2, len(word)) if word[:end] in VOCABULARY]
        other = rf"(?!(?:{'|'.join(words)})[^a-z])" if words else ""
        yield _bounded(other + _IN_WORDS.join(word), 0)


def _bounded(pattern: str, length: int) -> str:
    """Short words stand by themselves; a script without capitals has no spaces to stand by."""
    if pattern.isdigit():
        return rf"(?<!\d){pattern}(?!\d)"
    if length >= 6 or pattern.upper() == pattern.lower():
        return pattern
    return rf"(?<![^\W_]){pattern}(?![^\W_])"


def _day_forms(day: str) -> Iterator[str]:
    """The usual ways to write a day, over normalised text."""
    try:
        when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return
    year, short = f"{when:%Y}", rf"(?:{when:%Y}|'?{when:%y})"
    month, number = f"0?{when.month}", f"0?{when.day}(?:st|nd|rd|th)?"
    names = _normal("|".join(MONTHS[when.month - 1])).replace("_", " ").replace("*", r"[^\W\d_]*")
    word, alone = rf"{when:%b}".casefold() + "[a-z]*", rf"(?:{names})(?![^\W\d_])"
    gap, loose = r"(?:\s?[./-]\s?|[\s_])", r"[\s.,/_-]{0,3}(?:(?:of|del?|the)\s)?"
    for form in (
        day,
        f"{when:%d%m%Y}",
        f"{when:%m%d%Y}",
        f"{year}{gap}{month}{gap}{number}",
        f"{year}年{month}月{number}",
        rf"{number}\sthang\s{month}",
        f"{number}{gap}{month}{gap}{short}",
        f"{month}{gap}{number}{gap}{short}",
        f"{when:%y}[./-]{when:%m}[./-]{when:%d}",
        f"{number}{loose}{word}{loose}{short}",
        f"{word}{loose}{number}[\\s.,/_-]{{1,3}}{short}",
        # Without a year, or without a day, too.
        f"{number}{loose}{alone}",
        rf"(?<![^\W\d_])(?=\D{{2,20}}\d){alone}{loose}(?:{number}|{year})",
        rf"(?:{when:%d}/{when:%m}|{when:%m}/{when:%d}|{when:%d}\.{when:%m}\.)(?![/\d])",
        rf"(?<!/){when:%m}/{when:%y}(?![/\d])",
        rf"{year}[/-]{when:%m}(?![./-]?\d)",
        f"{year}{loose}{word}{loose}{number}",
        f"{year}{loose}{alone}{loose}{number}",
        f"{year}:{month}:{number}",
        rf"{number}[\s./_-]{{1,2}}{_ROMAN[when.month - 1]}[\s./_-]{{1,2}}{short}",
        f"{year}-?{when:%j}",
        *(
            rf"(?<![^\W\d_]){letter}0?{when.year - before}[./-]{month}[./-]{number}"
            for letter, before in _EMPERORS
            if 0 < when.year - before < 65
        ),
    ):
        yield rf"(?<!\d){form}(?!\d)"


def _needles(sentinels: Sentinels) -> Iterator[tuple[bytes, str]]:
    """Byte strings that would show a value; plain and with capitals."""
    for kind, values in sentinels.raw.items():
        for value in values:
            yield value, kind
            yield _ESCAPES.sub(b"", value), kind
    for kind, texts in sentinels.texts.items():
        for text in texts:
            for part in _parts(kind, text):
                yield from ((needle, kind) for needle in _encoded(part))
    for day in sentinels.days:
        year, month, number = day[:4], day[4:6], day[6:]
        written = (
            *(day, f"{year}-{month}-{number}", f"{year}:{month}:{number}"),
            f"{number}.{month}.{year}",
        )
        yield from ((form.encode(), "date") for form in written)


def _parts(kind: str, text: str) -> Iterable[str]:
    if kind != "person":
        return [text]
    parts = re.split(r"[\^=\s]+", text)
    return [part for part in parts if part.casefold() not in VOCABULARY | NO_NAMES]


def _encoded(text: str) -> set[bytes]:
    found = set()
    for form in {text, text.upper(), text.lower(), text.title()}:
        for encoding in _ENCODINGS:
            try:
                needle = form.encode(encoding)
            except UnicodeEncodeError:
                continue
            if len(needle) >= (_SHORTEST_BYTES if form.isascii() else 4):
                found.add(needle)
        found |= _iso_2022(form) if not form.isascii() else set()
    return found


def _iso_2022(text: str) -> set[bytes]:
    """The codes between the escapes, which stand side by side with others of their set."""
    found = set()
    for encoding in _ISO_2022:
        try:
            plain = _ESCAPES.sub(b"", text.encode(encoding))
        except UnicodeEncodeError:
            continue
        if len(plain) >= 4:
            found.add(plain)
    return found
