"""Elements as bytes: which of them surely parse, told without parsing them.

pydicom keeps an element as it was read until it is asked for, and writes it so too. Making a
value of each takes most of the time that a header takes; for most a look at the bytes will do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from pydicom.charset import convert_encodings, python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from hounsfield.errors import UnreadableFile

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
    "DS": re.compile(rb"%b(?:\\%b)*+" % (_ONE_DS, _ONE_DS)),
    "IS": re.compile(rb"%b(?:\\%b)*+" % (_ONE_IS, _ONE_IS)),
}
_ESCAPE: Final = b"\x1b"  # begins another character set (ISO 2022)
_UNDEFINED: Final = 0xFFFFFFFF
_CHARSET: Final = Tag(0x0008, 0x0005)  # Specific Character Set
# In all that the Standard has, and in what is written for them by mistake, ASCII bytes are ASCII
# text. Python has other codecs, which pydicom would use by their names.
_CODECS: Final = frozenset(
    name.lower().replace("-", "_")
    for name in (
        *python_encoding.values(),
        *"ascii utf_8 utf8 latin1 cp1250 cp1251 cp1252 gb2312 gbk big5 euc_jp cp932 cp949".split(),  # noqa: SIM905
    )
)


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
    """Whether the bytes surely make a value of this VR, and can be written as they are.

    Where in doubt, no.
    """
    value = raw.value
    if raw.length == _UNDEFINED or (raw.VR is None and not raw.is_implicit_VR):
        return False
    if not value:
        return vr in _SIZES or vr in _TEXT or vr in _NUMBERS
    if len(value) % 2 or (value[-1] == 0 and vr in _TEXT and vr != "UI"):
        return False  # padded in another way than the Standard's (PS3.5 Section 6.2)
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
    UnreadableFile
        Its Specific Character Set is none.
    Exception
        Whatever pydicom raises for an element that has none.
    """
    if _CHARSET in dataset:
        _check_charset(dataset.get(_CHARSET).value)
    for element in list(dataset.values()):
        if isinstance(element, RawDataElement):
            vr = vr_of(element)
            if vr != "SQ" and is_sound(element, vr):
                continue
            element = dataset[element.tag]
        if element.VR == "SQ":
            for item in element.value:
                parse(item)


def _check_charset(named: Any) -> None:
    names = [named] if isinstance(named, str) or named is None else list(named)
    codecs = {str(codec).lower().replace("-", "_") for codec in convert_encodings(names)}
    if not codecs <= _CODECS:
        raise UnreadableFile(
            "a file names a character set that DICOM does not have",
            remedy="ask its source for it again, with a Specific Character Set of PS3.3 C.12.1.1.2",
        )
