"""Ages over 89 in structured content (45 CFR 164.514(b)(2)(i)(C)): one category, as PatientAge.

Which number is an age, only the item around it says; so this comes after the walker, which
looks at each element by itself.
"""

from __future__ import annotations

import re
from typing import Final

from pydicom.dataset import Dataset

from hounsfield.deid.values import strings

__all__ = ["CONTENT_SEQUENCE", "NUMERIC_VALUE", "cap_ages"]

CONTENT_SEQUENCE: Final = 0x0040A730
NUMERIC_VALUE: Final = 0x0040A30A
_OLDEST = 90  # years that stand for all ages over 89
# Unit of UCUM → how many make a year; whatever else it is, it is taken for years.
_IN_A_YEAR: Final = {"mo": 12, "wk": 52, "d": 365}
#: Subject Age, Age, Current chronological age, Age (of LOINC).
_CONCEPTS: Final = frozenset({"121033", "397669002", "424144002", "30525-0"})
_MEANING: Final = re.compile(r"\b(?:age|alter)\b", re.I)
# The same number in other forms (PS3.3 Section C.18.1).
_OTHER_FORMS: Final = ("FloatingPointValue", "RationalNumeratorValue", "RationalDenominatorValue")


def cap_ages(dataset: Dataset) -> int:
    """Caps the ages in the content of an object, at any depth, in place.

    Returns
    -------
    int
        How many were capped.
    """
    if CONTENT_SEQUENCE not in dataset:
        return 0
    items = dataset[CONTENT_SEQUENCE].value or ()
    measured = [
        value
        for item in items
        if _is_age(item)
        for value in item.get("MeasuredValueSequence") or ()
    ]
    return sum(map(_cap, measured)) + sum(map(cap_ages, items))


def _is_age(item: Dataset) -> bool:
    return any(
        str(concept.get("CodeValue", "")).strip() in _CONCEPTS
        or _MEANING.search(str(concept.get("CodeMeaning", "")))
        for concept in item.get("ConceptNameCodeSequence") or ()
    )


def _cap(measured: Dataset) -> bool:
    units = measured.get("MeasurementUnitsCodeSequence") or [Dataset()]
    unit = str(units[0].get("CodeValue", "")).partition("_")[0]  # mo_j: a mean Julian month
    oldest = _OLDEST * _IN_A_YEAR.get(unit, 1)
    values = strings(measured[NUMERIC_VALUE]) if NUMERIC_VALUE in measured else []
    if not any(float(value) >= oldest for value in values if value):
        return False
    measured.NumericValue = str(oldest)
    for keyword in _OTHER_FORMS:
        if keyword in measured:
            del measured[keyword]
    return True
