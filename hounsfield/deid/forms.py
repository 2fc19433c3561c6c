"""What a value is by its VR: of which class, in which form, and how long (PS3.5 Section 6.2)."""

from __future__ import annotations

import codecs
import math
import re
import struct
from contextlib import suppress
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement

from hounsfield.deid.plan import dictionary_vr

__all__ = [
    "BINARY",
    "CLASSES",
    "FLOATS",
    "FORMS",
    "INTEGERS",
    "LEAST_DIGITS",
    "LIKE_A_DAY",
    "NUMBERS",
    "PROSE",
    "SINGLE",
    "TEXT",
    "bytes_of",
    "digits_of",
    "form_of",
    "has_long_numbers",
    "is_character_set",
    "most_bytes",
    "vr_to_write",
]

PROSE = frozenset({"LT", "ST", "UT"})
SINGLE = PROSE | {"UR"}  # in which a backslash is a letter (PS3.5 Section 6.2)
#: In which somebody may have written what he liked.
TEXT = frozenset({"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
CLASSES: Final[dict[str, str]] = {
    **dict.fromkeys("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split(), "text"),  # noqa: SIM905
    **dict.fromkeys("AT FD FL SL SS SV UL US UV OB OD OF OL OV OW".split(), "binary"),  # noqa: SIM905
    "SQ": "sequence",
}
BINARY = frozenset(vr for vr, kind in CLASSES.items() if kind == "binary")
# Bytes of one value, of those that are numbers by their VR.
_SIZES: Final = {
    **dict.fromkeys(("SS", "US"), 2),
    **dict.fromkeys(("AT", "FL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "SV", "UV"), 8),
}
INTEGERS = frozenset({"SL", "SV", "UL", "UV"})  # in which a number of the patient has room
FLOATS: Final = {"FD": "d", "FL": "f"}  # as struct has them
NUMBERS = INTEGERS | FLOATS.keys() | {"DS", "IS"}
_EXACT = 2**53  # below it a float is the number that was written
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_HOUR, _MINUTE = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_SECOND = r"(?:[0-5]\d|60)(?:[.,]\d{1,6})?"
# What a kept value of these VRs may consist of (PS3.5 Table 6.2-1, read leniently).
FORMS: Final[dict[str, re.Pattern[str]]] = {
    "AS": re.compile(r"\d{3}[DWMY]|"),
    "DA": re.compile(rf"\d{{4}}(?:{_MONTH}{_DAY}|\.{_MONTH}\.{_DAY})|"),
    "DS": re.compile(r"[\d.eE+\-\s]*"),
    "DT": re.compile(
        rf"(?:\d{{4}}(?:{_MONTH}(?:{_DAY}(?:{_HOUR}(?:{_MINUTE}(?:{_SECOND})?)?)?)?)?"
        r"(?:[+\-]\d{4})?)?"
    ),
    "IS": re.compile(r"[\d.+\-\s]*"),
    "TM": re.compile(rf"(?:(?:{_HOUR}|\d)(?::?{_MINUTE}(?::?{_SECOND})?)?)?"),
    "UI": re.compile(r"[\d.]*"),
}
LEAST_DIGITS = 5  # with fewer, what is counted or measured has it by chance
_ISO_IR: Final = re.compile(r"(?:ISO[ _\-]*(?:2022[ _\-]*)?IR[ _\-]*\d{1,3})?\s*")
_LEAST = 10 ** (LEAST_DIGITS - 1)
_WHOLE: Final = re.compile(r"[+\-]?(\d{5,})(?:\.0*)?")
#: How a number begins that is a date, or a date and a time.
LIKE_A_DAY: Final = re.compile(r"\d{8}(?=(\d{2}){0,3}(\.|$))")


def vr_to_write(element: DataElement) -> str:
    """The VR to write: the dictionary's, where an element came with another kind."""
    expected = dictionary_vr(int(element.tag)) or "UN"
    return element.VR if CLASSES.get(element.VR) == CLASSES.get(expected) else expected


def form_of(vr: str, expected: str) -> str:
    """The VR whose form a value must have: a number is one also where its VR says text."""
    return expected if vr not in FORMS and expected in FORMS else vr


def bytes_of(element: DataElement) -> int:
    """As many as the values of an element take."""
    size = _SIZES.get(element.VR)
    return element.VM * size if size else len(element.value or b"")


@lru_cache(maxsize=8192)
def most_bytes(tag: int) -> float:
    """As many as the values of an attribute take that is numbers (PS3.6)."""
    try:
        sizes = [_SIZES[vr] for vr in dictionary_VR(tag).split(" or ")]
        values = re.findall(r"\d+|n", dictionary_VM(tag))
    except KeyError:  # private, or bytes without end
        return math.inf
    return math.inf if "n" in values else max(map(int, values)) * max(sizes)


def digits_of(number: str) -> str:
    """Of a long whole number, however it is written; of any other none."""
    if whole := _WHOLE.fullmatch(number):
        return whole[1]
    if "e" in number.lower():
        with suppress(ValueError):
            value = abs(float(number))
            return str(int(value)) if value.is_integer() and value < _EXACT else ""
    return ""


@lru_cache(maxsize=64)
def is_character_set(name: str) -> bool:
    """Whether DICOM has it (PS3.3 Section C.12.1.1.2), or Python, which readers ask besides."""
    try:
        return bool(_ISO_IR.fullmatch(name)) or codecs.lookup(name) is not None
    except (LookupError, ValueError):
        return False


def has_long_numbers(raw: RawDataElement, vr: str) -> bool:
    """Whether some of these floats are whole, and as long as a number of the patient."""
    order = "<" if raw.is_little_endian else ">"
    values = struct.iter_unpack(order + FLOATS[vr], raw.value or b"")
    return any(abs(one) >= _LEAST and one.is_integer() for (one,) in values)
