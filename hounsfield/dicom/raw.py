"""Elements as bytes: which of them surely parse, told without parsing them.

pydicom keeps an element as it was read until it is asked for, and writes it so too. Making a
value of each takes most of the time that a header takes; for most a look at the bytes will do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

__all__ = ["is_sound", "parse", "text_of", "vr_of"]

# Bytes of one value, by VR (PS3.5 Table 6.2-1).
_SIZES: Final = {
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW"), 1),
    **dict.fromkeys(("SS", "US"), 2),
    **dict.fromkeys(("AT", "FL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "SV", "UV"), 8),
}
_TEXT: Final = frozenset("AE AS CS DA DT LO LT PN SH ST TM UC UI UR UT".split())  # noqa: SIM905
_ONE_DS: Final = rb"(?> *+(?:[+-]?+(?:\d++\.?+\d*+|\.\d++)(?:[eE][+-]?+\d++)?+)? *+)"
_ONE_IS: Final = rb"(?> *+(?:[+-]?+\d{1,9}+)? *+)"
_NUMBERS: Final = {
    "DS": re.compile(rb"%b(?:\\%b)*+\0?" % (_ONE_DS, _ONE_DS)),
    "IS": re.compile(rb"%b(?:\\%b)*+\0?" % (_ONE_IS, _ONE_IS)),
}
_ESCAPE: Final = b"\x1b"  # begins another character set (ISO 2022)


def vr_of(raw: RawDataElement) -> str:
    """The VR that it came with, else the dictionary's; empty where that does not tell one."""
    return str(raw.VR) if raw.VR else _dictionary_vr(int(raw.tag))


@lru_cache(maxsize=8192)
def _dictionary_vr(tag: int) -> str:
    try:
        vr = str(dictionary_VR(tag))
    except KeyError:
        return ""
    return vr if len(vr) == 2 else ""


def is_sound(raw: RawDataElement, vr: str) -> bool:
    """Whether the bytes surely make a value of this VR; where in doubt, no."""
    value = raw.value
    if not value:
        return vr in _SIZES or vr in _TEXT or vr in _NUMBERS
    size = _SIZES.get(vr)
    if size:
        return len(value) % size == 0
    if vr in _TEXT:
        return value.isascii() and _ESCAPE not in value
    numbers = _NUMBERS.get(vr)
    return numbers is not None and numbers.fullmatch(value) is not None


def text_of(raw: RawDataElement) -> str:
    """Of a text element that is sound: all its values, with the backslashes between them."""
    return raw.value.decode("ascii").rstrip(" \0") if raw.value else ""


def parse(dataset: Dataset) -> None:
    """Makes sure that each element has a value, at every depth; sound ones stay bytes.

    Raises
    ------
    Exception
        Whatever pydicom raises for an element that has none.
    """
    for element in list(dataset.values()):
        if isinstance(element, RawDataElement):
            vr = vr_of(element)
            if vr != "SQ" and is_sound(element, vr):
                continue
            element = dataset[element.tag]
        if element.VR == "SQ":
            for item in element.value:
                parse(item)
