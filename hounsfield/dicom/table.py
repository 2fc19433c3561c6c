"""A study as a table: one row an instance, for the checks of :mod:`hounsfield.quality`.

The table names no patient. Attributes that could identify one are there as facts
(``has_PatientID``, ``patient_count``), never as values; UIDs are compared inside and show as
ordinals; coded strings outside their defined terms show as ``other``. So whatever quotes the
table, a log, a report, Data Docs, quotes nothing that must be kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from hounsfield.dicom.geometry import Plane, planes_of
from hounsfield.dicom.headerscan import HEADER_COLUMNS, REQUIRED, int_or, scan_header
from hounsfield.dicom.pixelscan import PIXEL_COLUMNS, scan_pixels
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.stacking import STACK_COLUMNS, stack_columns
from hounsfield.errors import GeometryError, UnreadableFile

__all__ = ["COLUMNS", "instance_table"]

COLUMNS = (
    "ordinal",  # place of the file in the list that was given, from 1
    "series",  # number of the series in the study, from 1; 0 for files that name none
    "slice",  # number of the instance in its series, from 1, along the stack where there is one
    "is_dicom",
    "readable",  # parses to its last element; null for what is not DICOM
    *HEADER_COLUMNS,
    "duplicate",  # byte for byte a copy of an earlier instance
    "uid_collision",  # shares its SOPInstanceUID with an instance of other content
    "study_count",  # studies among all instances
    "patient_count",  # patients, by PatientID and its issuer, among all instances
    "patient_name_count",
    "patient_birth_date_count",
    "series_instances",
    "series_modality_count",
    "series_frame_of_reference_count",
    "instance_number_repeated",  # another instance of the series and stack place has it too
    "plane_valid",  # position, orientation and spacing are there and make sense
    *PIXEL_COLUMNS,
    "min_rescaled",  # min_stored and max_stored by the rescale, HU for CT
    "max_rescaled",
    *STACK_COLUMNS,
)


@dataclass(slots=True)
class _Instance:
    """One file; the identities that are compared, and the columns that are shown."""

    path: Path
    header: Dataset | None
    columns: dict[str, Any] = field(default_factory=dict)

    def text(self, keyword: str) -> str:
        value = None if self.header is None else self.header.get(keyword)
        return "" if value is None else str(value).strip(" \0")


def instance_table(paths: Iterable[Path], *, decode: bool = True) -> pd.DataFrame:
    """One row an instance of one study, `COLUMNS` wide, free of PHI.

    Parameters
    ----------
    paths
        The files of the study. What is not DICOM, or is damaged, is a row as well: placed
        in its series as far as its header can still be read.
    decode
        Decode all pixels too (100 CT slices: about a second).

    Returns
    -------
    pandas.DataFrame
        Lengths in millimetres, angles in degrees, pixel values as stored. Null says that a
        column does not apply to the row.

    Raises
    ------
    StoreUnavailable
        A file could not be read for a reason of the system, not of its content.
    """
    instances = [_read(path) for path in paths]
    for ordinal, instance in enumerate(instances, start=1):
        instance.columns.update(ordinal=ordinal, kind="unreadable")
        if instance.header:
            instance.columns.update(scan_header(instance.header))
            instance.columns.update(scan_pixels(instance.path, decode_all=decode))
            instance.columns.update(_rescaled(instance.columns))
            # Pixels cut short say more than "damaged", and the header before them is good.
            if instance.columns.get("pixels_whole") is False:
                instance.columns["readable"] = True
    _mark_duplicates(instances)
    _compare_study(instances)
    for series in _series(instances):
        _compare_series(series)
    return pd.DataFrame([instance.columns for instance in instances], columns=list(COLUMNS))


def _read(path: Path) -> _Instance:
    try:
        header: Dataset | None = read_header(path)
        readable = True
    except UnreadableFile:
        header, readable = _read_leniently(path), False
    instance = _Instance(path, header)
    instance.columns["is_dicom"] = header is not None
    if header is not None:
        instance.columns["readable"] = readable
    return instance


def _read_leniently(path: Path) -> Dataset | None:
    """What a damaged file still tells, to place it; None for what was never DICOM."""
    with path.open("rb") as file:
        marked = file.read(132)[128:] == b"DICM"
    tags = [*REQUIRED, "IssuerOfPatientID", "NumberOfFrames"]
    try:
        header = dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
        for element in header:
            _ = element.value
    except Exception:  # pydicom raises whatever the bytes lead it to
        header = None
    if header is not None and ("SOPClassUID" in header or marked):
        return header
    return Dataset() if marked else None


def _rescaled(columns: Mapping[str, Any]) -> dict[str, float]:
    slope, intercept = columns.get("RescaleSlope"), columns.get("RescaleIntercept")
    low, high = columns.get("min_stored"), columns.get("max_stored")
    if slope is None or intercept is None or low is None or high is None:
        return {}
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return {"min_rescaled": ends[0], "max_rescaled": ends[1]}


def _mark_duplicates(instances: Sequence[_Instance]) -> None:
    """Tells copies of one instance from two contents that claim one SOPInstanceUID."""
    for same in _grouped(instances, lambda instance: instance.text("SOPInstanceUID")).values():
        digests = [_sha256(instance.path) for instance in same] if len(same) > 1 else [""]
        for index, instance in enumerate(same):
            instance.columns["duplicate"] = digests[index] in digests[:index]
            instance.columns["uid_collision"] = len(set(digests)) > 1


def _compare_study(instances: Sequence[_Instance]) -> None:
    known = [instance for instance in instances if instance.header is not None]

    def count(identity: Callable[[_Instance], str]) -> int:
        return len({value for instance in known if (value := identity(instance))})

    counts = {
        "study_count": count(lambda instance: instance.text("StudyInstanceUID")),
        "patient_count": _count_patients(known),
        "patient_name_count": count(
            lambda instance: "".join(filter(str.isalnum, instance.text("PatientName").casefold()))
        ),
        "patient_birth_date_count": count(lambda instance: instance.text("PatientBirthDate")),
    }
    for instance in known:
        instance.columns.update(counts)


def _count_patients(instances: Sequence[_Instance]) -> int:
    """Patients by PatientID within its issuer; who leaves out the issuer means the same one."""
    issuers: dict[str, set[str]] = defaultdict(set)
    for instance in instances:
        if identity := instance.text("PatientID"):
            issuers[identity].add(instance.text("IssuerOfPatientID"))
    return sum(max(1, len(named - {""})) for named in issuers.values())


def _series(instances: Sequence[_Instance]) -> list[list[_Instance]]:
    """The instances by series, which get their numbers here."""
    by_uid = _grouped(instances, lambda instance: instance.text("SeriesInstanceUID"))
    ordered = sorted(
        by_uid.items(), key=lambda item: (int_or(item[1][0].text("SeriesNumber"), 1 << 31), item[0])
    )
    for instance in instances:
        instance.columns["series"] = 0
    for number, (_, members) in enumerate(ordered, start=1):
        for instance in members:
            instance.columns["series"] = number
    return [members for _, members in ordered]


def _compare_series(series: Sequence[_Instance]) -> None:
    """What shows only when the instances of one series are laid side by side."""
    slices = [
        instance
        for instance in series
        if instance.columns["kind"] == "slice" and not instance.columns.get("duplicate")
    ]
    planes = [_plane(instance) for instance in slices]
    numbers = [_instance_number(instance) for instance in slices]
    for instance, columns in zip(slices, stack_columns(planes, numbers), strict=True):
        instance.columns.update(columns)
    for instance in series:
        if instance.columns["kind"] == "frames":
            instance.columns.update(_frame_columns(instance))

    modalities = {instance.columns["Modality"] for instance in series}
    frames = {instance.text("FrameOfReferenceUID") for instance in series} - {""}
    repeats = Counter(map(_acquired, slices))
    ordered = sorted(series, key=_reading_order)
    for number, instance in enumerate(ordered, start=1):
        instance.columns.update(
            slice=number,
            series_instances=len(series),
            series_modality_count=len(modalities),
            series_frame_of_reference_count=len(frames),
        )
    for instance in slices:
        if instance.text("InstanceNumber"):
            instance.columns["instance_number_repeated"] = repeats[_acquired(instance)] > 1


def _acquired(instance: _Instance) -> Hashable:
    return instance.columns.get("stack"), instance.text("InstanceNumber")


def _reading_order(instance: _Instance) -> tuple[float, ...]:
    columns = instance.columns
    return (
        columns.get("stack", 1 << 31),
        columns.get("position_mm", 0.0),
        int_or(instance.text("InstanceNumber"), 1 << 31),
        columns["ordinal"],
    )


def _plane(instance: _Instance) -> Plane | None:
    planes = _planes(instance)
    instance.columns["plane_valid"] = bool(planes)
    return planes[0] if planes else None


def _planes(instance: _Instance) -> tuple[Plane, ...]:
    assert instance.header is not None
    try:
        return planes_of(instance.header)
    except GeometryError:
        return ()


def _instance_number(instance: _Instance) -> int | None:
    number = int_or(instance.text("InstanceNumber"), -1)
    return None if number < 0 else number


def _frame_columns(instance: _Instance) -> dict[str, Any]:
    """The stack of the frames of an enhanced multi-frame image, as one row."""
    assert instance.header is not None
    if "PerFrameFunctionalGroupsSequence" not in instance.header:
        return {}
    planes = _planes(instance)
    frames = stack_columns(planes, [None] * len(planes))
    columns: dict[str, Any] = {"plane_valid": bool(planes)}
    for name, gather in _GATHER.items():
        if values := [frame[name] for frame in frames if frame.get(name) is not None]:
            columns[name] = gather(values)
    return columns


#: How the frames' columns become one.
_GATHER: Mapping[str, Callable[[list[Any]], Any]] = {
    "stack_count": max,
    "spacing_mm": min,
    "gap": any,
    "missing_slices": sum,
    "spacing_even": all,
    "in_line": all,
    "gantry_tilt_degrees": max,
    "images_here": max,
    "places_even": all,
}


def _grouped(
    instances: Sequence[_Instance], identity: Callable[[_Instance], str]
) -> dict[str, list[_Instance]]:
    groups: dict[str, list[_Instance]] = defaultdict(list)
    for instance in instances:
        if value := identity(instance):
            groups[value].append(instance)
    return groups


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
