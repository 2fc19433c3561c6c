"""Standardized uptake values of PET: the factor from rescaled values to g/ml by body weight.

After the vendor-neutral pseudo-code of RSNA's QIBA profile FDG-PET/CT. Values are left as they
are: the factor, or the reason why there is none, is kept beside them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from pydicom.dataset import Dataset

from hounsfield.dicom.geometry import LARGEST

__all__ = ["suv_factors"]

_CORRECTIONS: Final = frozenset({"ATTN", "DECY"})
#: Group, creator and element of what makers tell beside the Standard: the factors from counts to
#: SUV, and to Bq/ml (where PS3.15 Table E.3.10-1 says MBq/ml), and when the scan began.
_PHILIPS_SUV: Final = (0x7053, "Philips PET Private Group", 0x00)
_PHILIPS_ACTIVITY: Final = (0x7053, "Philips PET Private Group", 0x09)
_GE_SCAN: Final = (0x0009, "GEMS_PETD_01", 0x0D)
#: After so many, a thousandth of the tracer is left, and one of the times is wrong.
_HALF_LIVES: Final = 10
_DAY: Final = timedelta(days=1)
#: A date with a time, which may end with the hour, and an offset from UTC (PS3.5 Section 6.2).
_MOMENT: Final = re.compile(r"(\d{8}(?:\d\d){1,3})(?:\.\d*)?([+-]\d{4})?")


def suv_factors(header: Dataset, acquired: Sequence[str]) -> dict[str, Any]:
    """What turns the rescaled values of a PET series into SUV.

    Parameters
    ----------
    header
        Of one instance of the series.
    acquired
        AcquisitionDate and AcquisitionTime of every instance, one text: ``YYYYMMDDHHMMSS.F``.

    Returns
    -------
    dict
        ``SUVbw``: rescaled value × this gives g/ml, normalised by body weight; None, with the
        ``reason``, where the header does not have what it takes.
    """
    try:
        return {"SUVbw": _factor(header, acquired), "reason": ""}
    except _Lacking as lacking:
        return {"SUVbw": None, "reason": str(lacking)}


class _Lacking(Exception):
    """Which attribute is missing, or has no sense."""


def _factor(header: Dataset, acquired: Sequence[str]) -> float:
    units = str(header.get("Units") or "")
    if units == "GML":
        if header.get("SUVType") not in (None, "", "BW"):  # PS3.3 C.8.9.1
            raise _Lacking("SUVType is not BW: values are normalised by something else")
        return 1.0
    if units == "BQML":
        return _of_activity(header, acquired)
    if units != "CNTS":
        raise _Lacking("Units is neither BQML, GML nor CNTS")
    if factor := _of_philips(header, _PHILIPS_SUV):
        return factor
    if factor := _of_philips(header, _PHILIPS_ACTIVITY):
        return factor * _of_activity(header, acquired)
    raise _Lacking("Units is CNTS, and Philips' SUV Scale Factor is missing")


def _of_activity(header: Dataset, acquired: Sequence[str]) -> float:
    """From Bq/ml."""
    if not set(header.get("CorrectedImage") or ()) >= _CORRECTIONS:
        raise _Lacking("CorrectedImage does not name ATTN and DECY")
    sequence = header.get("RadiopharmaceuticalInformationSequence")
    if not sequence:
        raise _Lacking("RadiopharmaceuticalInformationSequence is missing")
    weight = _positive(header, "PatientWeight") * 1000  # kg to g
    dose = _positive(sequence[0], "RadionuclideTotalDose")  # Bq, at the injection
    return weight / (dose * _left(header, sequence[0], acquired))


def _left(header: Dataset, tracer: Dataset, acquired: Sequence[str]) -> float:
    """The share of the dose that has not decayed at the time that values are corrected to."""
    correction = str(header.get("DecayCorrection") or "")
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        raise _Lacking("DecayCorrection is neither START nor ADMIN")
    start = _start(header, acquired)
    passed = (start - _injected(header, tracer, start)).total_seconds()
    halvings = passed / _positive(tracer, "RadionuclideHalfLife")
    if halvings < 0:
        raise _Lacking("the tracer was injected after the scan")
    if halvings > _HALF_LIVES:
        raise _Lacking("the tracer had decayed before the scan")
    return float(2.0**-halvings)


def _start(header: Dataset, acquired: Sequence[str]) -> datetime:
    """Of the scan. A series that was made anew later bears a later time than its images."""
    first = min(_moment(text, "AcquisitionTime") for text in acquired)
    series = f"{header.get('SeriesDate') or ''}{header.get('SeriesTime') or ''}"
    for stated in (series, str(_private(header, _GE_SCAN))):
        with suppress(_Lacking):
            moment = _moment(stated, "SeriesTime")
            if moment <= first:
                return moment
    return first


def _injected(header: Dataset, tracer: Dataset, start: datetime) -> datetime:
    """Of a time without a date, the last before the scan; none else leaves enough to be seen."""
    whole = str(tracer.get("RadiopharmaceuticalStartDateTime") or "")
    if whole:
        # It may state an offset of its own; all other times have that of the header.
        here = str(header.get("TimezoneOffsetFromUTC") or "")
        return _moment(whole, "RadiopharmaceuticalStartDateTime", here)
    if _positive(tracer, "RadionuclideHalfLife") * _HALF_LIVES > _DAY.total_seconds():
        raise _Lacking("RadiopharmaceuticalStartDateTime is missing, and the tracer lasts for days")
    time = str(tracer.get("RadiopharmaceuticalStartTime") or "")
    moment = _moment(f"{start:%Y%m%d}{time}", "RadiopharmaceuticalStartTime")
    return moment if moment <= start else moment - _DAY


def _moment(text: str, keyword: str, here: str = "") -> datetime:
    """A local time, to the second; `here` is its offset from UTC, where that is known."""
    found = _MOMENT.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        moment = datetime.strptime(found[1].ljust(14, "0"), "%Y%m%d%H%M%S")
        return moment + _offset(here) - _offset(found[2]) if here and found[2] else moment
    except (ValueError, OverflowError):
        raise _Lacking(f"{keyword} is missing or no time") from None


def _offset(text: str) -> timedelta:
    return datetime.strptime(text, "%z").utcoffset() or timedelta(0)


def _positive(dataset: Dataset, keyword: str) -> float:
    try:
        value = float(dataset.get(keyword))
    except (TypeError, ValueError):
        value = 0.0
    if not _is_sound(value):
        raise _Lacking(f"{keyword} is missing or no positive number")
    return value


def _is_sound(value: float) -> bool:
    """Whether no quotient with it is infinite, or 0."""
    return 1 / LARGEST < value < LARGEST


def _of_philips(header: Dataset, element: tuple[int, str, int]) -> float:
    """One of its factors; 0 where there is none."""
    try:
        factor = float(_private(header, element))
    except (TypeError, ValueError):
        return 0.0
    return factor if _is_sound(factor) else 0.0


def _private(header: Dataset, element: tuple[int, str, int]) -> Any:
    group, creator, offset = element
    try:
        return header.private_block(group, creator)[offset].value
    except KeyError:
        return None
