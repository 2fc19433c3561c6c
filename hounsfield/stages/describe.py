"""What the catalog is told of a released study: its series, by the de-identified headers."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from hounsfield.catalog.models import Series, Study
from hounsfield.dicom.reading import read_header
from hounsfield.site import Site

__all__ = ["describe"]

#: What routing and cohorts may ask of a series.
FACTS = (
    "Modality",
    "SOPClassUID",
    "BodyPartExamined",
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "ConvolutionKernel",
    "Manufacturer",
    "ManufacturerModelName",
    "ImageType",
    "SliceThickness",
    "Rows",
    "Columns",
    "KVP",
    "PatientSex",
    "PatientAge",
)


def describe(site: Site, study_key: str, folder: Path) -> int:
    """Writes into the catalog what the headers of released objects say; how many series.

    After the gate, not before: a description that still names the patient must not get there.

    Parameters
    ----------
    folder
        Of the objects, with a folder for each series.
    """
    rows, first = [], None
    for header, count in _first_headers(folder):
        first = first or header
        rows.append(_series_row(study_key, header, count))
    if first is None:
        return 0
    site.catalog.put(*rows)
    with site.catalog.write() as session:
        study = session.get(Study, study_key)
        if study is not None:
            study.modalities = "/".join(sorted({row.modality for row in rows}))
            study.body_part = _text(first, "BodyPartExamined")
            study.description = _text(first, "StudyDescription")
            study.manufacturer = _text(first, "Manufacturer")
            study.study_date = _text(first, "StudyDate")[:8]
    return len(rows)


def _first_headers(folder: Path) -> list[tuple[Dataset, int]]:
    """One header and the number of instances of each series."""
    found = []
    for series in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(series.iterdir())
        found.append((read_header(files[0]), len(files)))
    return found


def _series_row(study_key: str, header: Dataset, count: int) -> Series:
    facts: dict[str, Any] = {name: _plain(header.get(name)) for name in FACTS}
    facts = {name: value for name, value in facts.items() if value not in ("", [])}
    facts["instance_count"] = count
    thickness = facts.get("SliceThickness")
    return Series(
        series_key=str(header.SeriesInstanceUID),
        study_key=study_key,
        modality=_text(header, "Modality"),
        body_part=_text(header, "BodyPartExamined"),
        description=_text(header, "SeriesDescription"),
        manufacturer=_text(header, "Manufacturer"),
        slice_thickness_mm=thickness if isinstance(thickness, int | float) else None,
        instance_count=count,
        facts=facts,
    )


def _text(header: Dataset, name: str) -> str:
    value = header.get(name)
    return "" if value is None else str(value)


def _plain(value: object) -> Any:
    """A JSON value of an element's value."""
    if isinstance(value, int | float) and isfinite(value):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return "" if value is None else str(value)
