"""Check: no sentinel of this patient and study stands in any element of an output file."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, Literal

from pydicom.uid import UID_dictionary

from hounsfield.gate.charsets import decoded
from hounsfield.gate.elements import PREAMBLE, Element
from hounsfield.gate.report import Finding, place_of
from hounsfield.gate.search import Search
from hounsfield.gate.sentinels import CLASSES
from hounsfield.gate.streams import frames, is_table, remarks

__all__ = ["CHECK", "HeaderSearch"]

CHECK = "sentinels"

_TEXTS: Final = frozenset("AE AS CS LO LT PN SH ST UC UR UT".split())  # noqa: SIM905
_NUMBERS: Final = frozenset("DS IS TM".split())  # noqa: SIM905
#: Binary ones in which a number of the patient has room → how many bytes of each.
_ORDERS: Final[tuple[Literal["little", "big"], ...]] = ("little", "big")
_INTEGERS: Final = {"SL": 4, "SV": 8, "UL": 4, "UV": 8}
_FLOATS: Final = {"FD": "d", "FL": "f"}  # as struct has them
_EXACT = 2**53  # below it a double is the number that was written
_LEAST_DIGITS = 5  # with fewer, what is counted or measured has it by chance
_FREE: Final = frozenset("LO LT SH ST UC UT".split())  # noqa: SIM905
#: What is remembered: so many elements of so many bytes.
_REMEMBERED, _SMALL = 1 << 15, 1 << 10
# Written by us into every object, which the check `standard` compares: the profile's codes, and
# what became of the dates. Who cleaned it before may have named all people REMOVED.
_STAMPS: Final = ((0x00120064, 0x00080104), (0x00280303,))
_PSEUDONYM = re.compile(r"[a-z]+-[a-z2-7]{16}")
_REMARK = "a comment in a compressed frame"
_TABLE = "an offset table that is none"
_UNREAD = "a compressed frame that cannot be searched for comments"
_DAY = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_LIKE_A_DAY = re.compile(r"\d{8}(?=(\d{2}){0,3}(\.|$))")
_TRANSFER_SYNTAX = 0x00020010
_RLE = "1.2.840.10008.1.2.5"  # whose frames have no place for a comment (PS3.5 Annex G)


class HeaderSearch:
    """Searches the elements of the objects of one study.

    What stands in one slice as it stood in the one before is not searched again.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._known: dict[Element, frozenset[str]] = {}

    def findings(self, elements: Sequence[Element], instance: str) -> list[Finding]:
        """Findings by kind and place, each once a place.

        Parameters
        ----------
        instance
            New SOPInstanceUID of the file.
        """
        found = {
            (kind, place_of(element.path))
            for element in elements
            if element.value and element.path not in _STAMPS
            for kind in self._kinds_of(element)
        }
        found |= set(_in_frames(elements, self._search))
        return [Finding(CHECK, kind, place, object=instance) for kind, place in sorted(found)]

    def _kinds_of(self, element: Element) -> Iterable[str]:
        if len(element.value) > _SMALL:
            return _kinds(element, self._search)
        kinds = self._known.get(element)
        if kinds is None:
            kinds = frozenset(_kinds(element, self._search))
            if len(self._known) < _REMEMBERED:
                self._known[element] = kinds
        return kinds


def _kinds(element: Element, search: Search) -> Iterator[str]:
    if element.path == (PREAMBLE,) or element.vr not in _TEXTS | _NUMBERS | {"UI", "DA", "DT"}:
        if not element.encapsulated:
            yield from search.bytes(element.value)
        yield from _kinds_of_numbers(_long_numbers(element), search)
    elif element.vr == "UI":
        uids = [uid.strip(" \0") for uid in element.text.split("\\")]
        yield from ("UID" for uid in uids if search.is_uid(uid))
        if element.tag in CLASSES:  # one of these is no secret, but a number in it may be
            yield from (kind for uid in uids for kind in _kinds_of_class(uid, search))
    elif element.vr in ("DA", "DT"):
        for value in element.text.split("\\"):
            match = _DAY.match(value)
            if match and search.is_day(element.tag, "".join(match.groups())):
                yield "date"
    elif element.vr in _NUMBERS:
        yield from _kinds_of_numbers(element.text.split("\\"), search)
    else:
        yield from _kinds_of_text(element, search)


def _kinds_of_class(uid: str, search: Search) -> Iterator[str]:
    if uid not in UID_dictionary:
        for part in uid.split("."):
            if len(part) > 4:  # digits: as many the roots of others have
                yield from search.text(part, is_free=True)


def _long_numbers(element: Element) -> Iterator[str]:
    """In which a number of the patient has room."""
    if element.vr in _INTEGERS:
        yield from _integers(element)
    elif element.vr in _FLOATS:
        yield from _floats(element)


def _integers(element: Element) -> Iterator[str]:
    """In either order of bytes: few files have the other, and no number of a patient is both."""
    size, value = _INTEGERS[element.vr], element.value
    for at in range(0, len(value) - size + 1, size):
        for order in _ORDERS:
            number = int.from_bytes(value[at : at + size], order)
            if number >= 10 ** (_LEAST_DIGITS - 1):
                yield str(number)


def _floats(element: Element) -> Iterator[str]:
    """Whole ones, in either order of bytes."""
    code = _FLOATS[element.vr]
    count = len(element.value) // struct.calcsize(code)
    for order in "<>":
        for number in struct.unpack_from(f"{order}{count}{code}", element.value):
            if number.is_integer() and 10 ** (_LEAST_DIGITS - 1) <= abs(number) < _EXACT:
                yield f"{abs(number):.0f}"


def _kinds_of_numbers(values: Iterable[str], search: Search) -> Iterator[str]:
    """A time or a number may have the digits of a short number by chance: all of it counts."""
    for value in values:
        plain = value.strip(" \0")
        has_letters = any(sign.isalpha() for sign in value)
        is_whole = plain.isdigit() and len(plain) >= _LEAST_DIGITS
        if has_letters or is_whole or len(value) >= 6:
            kinds = search.text(value, is_free=plain.isdigit())
            yield from (kind for kind in kinds if kind != "date")
        whole = _whole(plain).lstrip("+-0")
        if len(whole) >= _LEAST_DIGITS:
            yield from (k for k in search.text(whole, is_free=True) if k != "date")
        day = _LIKE_A_DAY.match(plain)
        if day is not None and "date" in search.text(day[0]):
            yield "date"


def _whole(number: str) -> str:
    """Without point and exponent; empty of a fraction, and of what no double holds."""
    if _WHOLE.fullmatch(number):
        return number.partition(".")[0]
    try:
        value = float(number)
    except ValueError:
        return ""
    return f"{value:.0f}" if value.is_integer() and abs(value) < _EXACT else ""


def _kinds_of_text(element: Element, search: Search) -> Iterator[str]:
    is_free = element.vr in _FREE and not _is_creator(element.tag)
    values = element.value.split(b"\\")
    for value in values:
        for text in decoded(value, element.charset):
            if not _PSEUDONYM.fullmatch(text.strip(" \0")):
                yield from search.text(text, is_free=is_free)
    if values[1:]:  # A name may be parted over several.
        for text in decoded(b" ".join(values), element.charset):
            yield from (kind for kind in search.text(text) if kind == "person")
    if not element.value.isascii() or b"\x1b" in element.value or b"\0" in element.value:
        yield from search.bytes(element.value)


def _is_creator(tag: int) -> bool:
    """Whether it reserves a private block (PS3.5 Section 7.8.1): its maker numbers its blocks."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


def _in_frames(elements: Sequence[Element], search: Search) -> Iterator[tuple[str, str]]:
    """Kind and place of what stands in compressed frames beside the pictures."""
    syntax = next((each.text for each in elements if each.path == (_TRANSFER_SYNTAX,)), "")
    fragments = (element for element in elements if element.encapsulated)
    for path, items in groupby(fragments, attrgetter("path")):
        table, *parts = (item.value for item in items)
        place = place_of(path)
        if not is_table(table, parts):
            yield _TABLE, place
        for frame in frames(parts):
            try:
                for remark in remarks(frame):
                    yield _REMARK, place
                    yield from ((kind, place) for kind in search.bytes(remark))
            except ValueError:
                if syntax != _RLE:
                    yield _UNREAD, place
