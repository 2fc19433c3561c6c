"""How old somebody is, where a content item tells it (PS3.3 Section 10.2, C.17.3).

Ages over 89 are one category, as in PatientAge (45 CFR 164.514(b)(2)(i)(C)); a birth date goes,
since beside another date that moved with it it tells the age to the day. Which number is an age,
only the item around it says; so this comes after the walk of the item, with what its concept was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from hounsfield.deid.dummies import dummy_value
from hounsfield.deid.reports import Note
from hounsfield.deid.values import strings

__all__ = ["blur_age", "what_is_told"]

_AGE, _BIRTH = "age", "birth"
_NUMERIC_VALUE, _DATE_TIME, _DATE = 0x0040A30A, 0x0040A120, 0x0040A121
_CONCEPT_NAME = 0x0040A043
_OLDEST = 90  # years that stand for all ages over 89
# Unit of UCUM → how many make a year; whatever else it is, it is taken for years.
_IN_A_YEAR: Final = {"mo": 12, "wk": 52, "d": 365}
# What is told → codes, and words of a meaning: Subject Age, Age, Current chronological age, Age (of
# LOINC); Subject Birth Date, Date of birth, Birth date (of LOINC).
_CONCEPTS: Final = {
    _AGE: (
        frozenset({"121033", "397669002", "424144002", "30525-0"}),
        re.compile(r"\b(?:age|alter)\b", re.I),
    ),
    _BIRTH: (
        frozenset({"121031", "184099003", "21112-8"}),
        re.compile(r"birth|geburt|\bdob\b|naissance|nacimiento|nascita", re.I),
    ),
}
# The same number in other forms (PS3.3 Section C.18.1).
_OTHER_FORMS: Final = ("FloatingPointValue", "RationalNumeratorValue", "RationalDenominatorValue")


def what_is_told(item: Dataset) -> frozenset[str]:
    """An age or a birth, by the concept of a content item as it came; mostly it is none."""
    concepts = _read(item, "ConceptNameCodeSequence") if _CONCEPT_NAME in item else None
    return frozenset(
        kind
        for concept in (concepts if isinstance(concepts, Sequence) else ())
        for kind, (codes, meaning) in _CONCEPTS.items()
        if str(_read(concept, "CodeValue")).strip() in codes
        or meaning.search(str(_read(concept, "CodeMeaning")))
    )


def _read(dataset: Dataset, keyword: str) -> Any:
    """A value as it came; none where it cannot be read, which the walker takes out."""
    try:
        return dataset.get(keyword, "")
    except Exception:  # pydicom raises whatever the bytes lead it to
        return ""


def blur_age(item: Dataset, told: frozenset[str]) -> Iterator[Note]:
    """Caps an age, and takes a birth date out, in place; yields what was done."""
    if _AGE in told:
        # Elsewhere than in a report the value stands in the item itself.
        for measured in (item, *(item.get("MeasuredValueSequence") or ())):
            if _cap(measured):
                yield _NUMERIC_VALUE, "age capped"
    if _BIRTH in told:
        for tag in (_DATE_TIME, _DATE):
            if tag in item and not item[tag].is_empty:
                item[tag].value = dummy_value(item[tag].VR)
                yield tag, "dummy"


def _cap(measured: Dataset) -> bool:
    units = measured.get("MeasurementUnitsCodeSequence") or [Dataset()]
    unit = str(units[0].get("CodeValue", "")).partition("_")[0]  # mo_j: a mean Julian month
    oldest = _OLDEST * _IN_A_YEAR.get(unit, 1)
    values = strings(measured[_NUMERIC_VALUE]) if _NUMERIC_VALUE in measured else []
    if not any(_number(value) >= oldest for value in values if value):
        return False
    measured.NumericValue = str(oldest)
    for keyword in _OTHER_FORMS:
        if keyword in measured:
            del measured[keyword]
    return True


def _number(value: str) -> float:
    """What is no number, as 9-5, might be any age."""
    try:
        return float(value)
    except ValueError:
        return math.inf
