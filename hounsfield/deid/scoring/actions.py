"""The ten actions of MIDI-B: what each asks of one attribute."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from hounsfield.deid.scoring.key import Check, Person, find_element
from hounsfield.deid.values import strings
from hounsfield.pseudonyms import Pseudonyms

__all__ = ["ACTIONS", "Case"]

#: Text whose contrast is below this share of what it was is hidden.
_HIDDEN = 0.1
#: Tokens as short as these are looked for as whole words, longer ones in any surroundings.
_WHOLE_WORDS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One check with all that it needs.

    Attributes
    ----------
    original, cleaned
        The object before and after, with pixels.
    crosswalk
        Old to new, by the project key.
    """

    check: Check
    person: Person
    original: Dataset
    cleaned: Dataset
    crosswalk: Pseudonyms

    @property
    def element(self) -> DataElement | None:
        return find_element(self.cleaned, self.check.path)

    @property
    def text(self) -> str:
        """All that the cleaned attribute says, empty where it is gone."""
        element = self.element
        return "" if element is None else _all_text(element)


def _tag_retained(case: Case) -> float:
    return float(case.element is not None)


def _text_notnull(case: Case) -> float:
    return float(bool(case.text.strip()))


def _text_retained(case: Case) -> float:
    """Each of the texts is in the value, its words in their order."""
    words = _words(case.text)
    return float(all(_is_within(_words(text), words) for text in case.check.values))


def _text_removed(case: Case) -> float:
    """The share of the tokens that are gone."""
    tokens = case.check.values
    return sum(not _is_left(token, case.text) for token in tokens) / len(tokens)


def _date_shifted(case: Case) -> float:
    """The date lies as far back as the crosswalk says for this patient; its time stays."""
    person, (before,) = case.person, case.check.values
    days = case.crosswalk.shift_days(person.patient_id, person.issuer)
    first, second = _day(before), _day(case.text)
    if first is None or second is None:
        return 0.0
    return float((first - second).days == days and _time(before) == _time(case.text))


def _uid_changed(case: Case) -> float:
    return float(not any(uid in case.text for uid in case.check.values))


def _uid_consistent(case: Case) -> float:
    expected = " ".join(case.crosswalk.uid(uid) for uid in case.check.values)
    return float(case.text == expected)


def _patid_consistent(case: Case) -> float:
    person = case.person
    return float(case.text == case.crosswalk.patient_key(person.patient_id, person.issuer))


def _pixels_hidden(case: Case) -> float:
    """The text does not stand out of what surrounds it any more."""
    box, mask = case.check.values
    x0, y0, x1, y1 = (int(edge) for edge in box.split(","))
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(mask), np.uint8))
    text = bits[: (y1 - y0) * (x1 - x0)].reshape(y1 - y0, x1 - x0).astype(bool)
    before = _contrast(case.original, (x0, y0, x1, y1), text)
    after = _contrast(case.cleaned, (x0, y0, x1, y1), text)
    return float(after <= _HIDDEN * before)


def _pixels_retained(case: Case) -> float:
    return float(_digest(case.original) == _digest(case.cleaned))


#: Name → how much of the check is fulfilled, 0 to 1.
ACTIONS: Final[dict[str, Callable[[Case], float]]] = {
    "tag_retained": _tag_retained,
    "text_notnull": _text_notnull,
    "text_retained": _text_retained,
    "text_removed": _text_removed,
    "date_shifted": _date_shifted,
    "uid_changed": _uid_changed,
    "uid_consistent": _uid_consistent,
    "patid_consistent": _patid_consistent,
    "pixels_hidden": _pixels_hidden,
    "pixels_retained": _pixels_retained,
}


def _all_text(element: DataElement) -> str:
    if element.VR == "SQ":
        return " ".join(_all_text(inner) for item in element.value for inner in item)
    if isinstance(element.value, bytes):
        return element.value.decode("latin-1")
    return " ".join(strings(element))


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", _normal(text))


def _is_within(few: list[str], many: list[str]) -> bool:
    """Whether `few` is a subsequence of `many`: what was taken out may have stood between."""
    rest = iter(many)
    return all(word in rest for word in few)


def _is_left(token: str, text: str) -> bool:
    plain, whole = _normal(token), _normal(text)
    if len(plain) <= _WHOLE_WORDS and plain.isascii():
        return plain in re.findall(r"[^\W_]+", whole)
    return plain in whole


def _day(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def _time(text: str) -> str:
    return text[8:]


def _contrast(dataset: Dataset, box: tuple[int, int, int, int], text: np.ndarray) -> float:
    """How far the pixels of a text lie from those around it, in stored values.

    Values are taken as the signed or unsigned numbers that they are, and as floats before
    anything is subtracted: in their own type differences of 16 bits wrap around.
    """
    x0, y0, x1, y1 = box
    part = _first_frame(dataset)[y0:y1, x0:x1]
    return abs(float(part[text].mean()) - float(part[~text].mean()))


def _first_frame(dataset: Dataset) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(dataset.pixel_array).astype(np.float64)
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        array = array[0]
    return array.mean(axis=-1) if int(dataset.get("SamplesPerPixel", 1)) > 1 else array


def _digest(dataset: Dataset) -> str:
    """MD5 of the PixelData bytes, as MIDI-B takes it; a pad byte is not part of them."""
    content = bytes(dataset.get("PixelData", b""))
    return hashlib.md5(content + b"\0" * (len(content) % 2), usedforsecurity=False).hexdigest()
