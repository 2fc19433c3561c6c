"""From the instances of a series to an ordered stack of slices, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import blake3
from pydicom.dataset import Dataset
from pydicom.uid import UID, UID_dictionary

from hounsfield.dicom.codecs import pixel_dtype
from hounsfield.dicom.geometry import (
    Plane,
    StackGeometry,
    arrange,
    functional_groups,
    planes_of,
)
from hounsfield.dicom.reading import SeriesFiles, group_by_series, read_header
from hounsfield.errors import (
    ContentCollision,
    GeometryError,
    HounsfieldError,
    PermanentError,
    UndecodablePixels,
    UnreadableFile,
)

__all__ = [
    "Header",
    "SeriesPlan",
    "Slice",
    "Source",
    "Stack",
    "plans_of",
    "series_volumes",
    "stack_of",
]

#: Where an instance is: a file, or a dataset in memory.
Source: TypeAlias = Path | Dataset

# PS3.6 Annex A. Cross-sectional images whose planes have a place in the patient.
_VOLUME_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
        "1.2.840.10008.5.1.4.1.1.4",  # MR
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
        "1.2.840.10008.5.1.4.1.1.128",  # PET
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET
    }
)
# Start of the SOP Class UID → why such an object makes no volume here. First match counts.
_REASONS = (
    ("1.2.840.10008.5.1.4.1.1.1", "a projection image"),  # CR, DX, MG, IO
    ("1.2.840.10008.5.1.4.1.1.12", "a projection image"),  # XA, XRF
    ("1.2.840.10008.5.1.4.1.1.3", "an ultrasound, whose frames state no place"),
    ("1.2.840.10008.5.1.4.1.1.6", "an ultrasound, whose frames state no place"),
    ("1.2.840.10008.5.1.4.1.1.7", "a secondary capture, without a place in the patient"),
    ("1.2.840.10008.5.1.4.1.1.20", "nuclear medicine, whose frames state no place"),
    ("1.2.840.10008.5.1.4.1.1.30", "a parametric map, derived from images"),
    ("1.2.840.10008.5.1.4.1.1.66", "a segmentation or registration, derived from images"),
    ("1.2.840.10008.5.1.4.1.1.77", "a visible-light image"),
    ("1.2.840.10008.5.1.4.1.1.88", "a report, which has no pixels"),
    ("1.2.840.10008.5.1.4.1.1.9", "a waveform, which has no pixels"),
    ("1.2.840.10008.5.1.4.1.1.91", "annotations, which have no pixels"),
    ("1.2.840.10008.5.1.4.1.1.104", "a document, which has no pixels"),
    ("1.2.840.10008.5.1.4.1.1.481", "a radiotherapy object"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What all slices of a volume share.

    Attributes
    ----------
    dtype
        Of the stored values, as numpy names it.
    rescale_type
        Unit of the rescaled values: RescaleType, Units for PET, "HU" for a CT that states
        none (PS3.3 C.8.2.1.1.2); empty where unknown.
    padding
        PixelPaddingValue and PixelPaddingRangeLimit, as stated.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    FrameOfReferenceUID: str
    Modality: str
    PhotometricInterpretation: str
    dtype: str
    rescale_type: str
    padding: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Slice:
    """One image plane and where its pixels are.

    Attributes
    ----------
    source, frame
        The instance and the zero-based frame in it.
    slope, intercept
        Stored value × slope + intercept gives the unit of :attr:`Header.rescale_type`.
    """

    source: Source
    frame: int
    sop_instance_uid: str
    plane: Plane
    slope: float
    intercept: float


@dataclass(frozen=True)
class Stack:
    """Slices in the order of the volume's z axis.

    Attributes
    ----------
    duplicates
        Files left out because another one is the same, byte for byte.
    """

    header: Header
    slices: tuple[Slice, ...]
    geometry: StackGeometry
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """A series of a folder, and why it makes no volume; empty where nothing speaks against it."""

    series_instance_uid: str
    modality: str
    paths: tuple[Path, ...]
    reason: str = ""


def series_volumes(paths: Iterable[Path]) -> list[SeriesPlan]:
    """Each series among `paths`, with the reason where its kind of object makes no volume.

    Cross-sectional are single-frame CT, MR and PET images and their enhanced multi-frame
    forms. Whether the slices make a volume is known only when :func:`stack_of` has put them
    in order.
    """
    return plans_of(group_by_series(paths))


def plans_of(found: SeriesFiles) -> list[SeriesPlan]:
    """As :func:`series_volumes`, for files that have been sorted, by SeriesInstanceUID."""
    return [_plan(uid, tuple(files)) for uid, files in sorted(found.series.items())]


def _plan(uid: str, paths: tuple[Path, ...]) -> SeriesPlan:
    try:
        dataset = read_header(paths[0])
    except HounsfieldError as error:
        return SeriesPlan(uid, "", paths, str(error))
    reason = _reason_against(dataset)
    return SeriesPlan(uid, str(dataset.get("Modality") or ""), paths, reason)


def _reason_against(dataset: Dataset) -> str:
    sop_class = str(dataset.get("SOPClassUID", ""))
    if sop_class in _VOLUME_CLASSES:
        image_type = dataset.get("ImageType") or []
        scout = dataset.get("Modality") == "CT" and "LOCALIZER" in image_type
        return "a localizer, which is a projection image" if scout else ""
    for start, reason in _REASONS:
        if sop_class == start or sop_class.startswith(start + "."):
            return reason
    name = UID(sop_class).name if sop_class in UID_dictionary else "an object of unknown SOP Class"
    return f"{name} is no cross-sectional image"


def stack_of(sources: Sequence[Source]) -> Stack:
    """Reads the headers of one series and puts its slices in order.

    A file that is there twice, byte for byte, counts once.

    Raises
    ------
    GeometryError
        The slices make no volume.
    ContentCollision
        One SOPInstanceUID with two contents.
    UndecodablePixels
        The header states no pixels that could be decoded.
    UnreadableFile
        A file of the series cannot be read.
    """
    if not sources:
        raise GeometryError("there are no slices")
    headers: set[Header] = set()
    slices: list[Slice] = []
    first_of: dict[str, Source] = {}
    for source in sources:
        uid, header, planes = _parse(source)
        # Copies of one file are common in exports; two contents under one UID are an error.
        if uid in first_of:
            _check_same(first_of[uid], source)
            continue
        first_of[uid] = source
        headers.add(header)
        slices.extend(planes)
    geometry = arrange([item.plane for item in slices])
    if len(headers) > 1:
        raise GeometryError(
            f"the slices differ in {_differences(list(headers))}",
            remedy="several acquisitions may share one series",
        )
    return Stack(
        next(iter(headers)),
        tuple(slices[i] for i in geometry.order),
        geometry,
        len(sources) - len(first_of),
    )


def _parse(source: Source) -> tuple[str, Header, list[Slice]]:
    """What counts of one instance, parsed once: nothing behind this trusts a header."""
    dataset = source if isinstance(source, Dataset) else read_header(source)
    try:
        reason = _reason_against(dataset)
        if reason:
            raise GeometryError(f"an instance makes no volume: it is {reason}")
        uid = str(dataset.get("SOPInstanceUID", ""))
        return uid, _header(dataset), _slices(source, dataset, uid)
    except HounsfieldError:
        raise
    except Exception as error:  # a value of a kind that its keyword never has
        raise UnreadableFile(
            "a header holds values that make no sense",
            where=type(error).__name__,
            remedy="ask its source for it again",
        ) from None


def _check_same(one: Source, other: Source) -> None:
    if one is other or (isinstance(one, Path) and isinstance(other, Path) and one == other):
        return
    if isinstance(one, Path) and isinstance(other, Path) and _digest(one) == _digest(other):
        return
    raise ContentCollision(
        "one SOPInstanceUID came with two contents",
        remedy="decide at the source which one is meant",
    )


def _digest(path: Path) -> str:
    return blake3.blake3(path.read_bytes()).hexdigest()


def _differences(headers: list[Header]) -> str:
    names = [
        name
        for name in Header.__dataclass_fields__
        if len({getattr(header, name) for header in headers}) > 1
    ]
    return ", ".join(names)


def _header(dataset: Dataset) -> Header:
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise UndecodablePixels("a volume holds one sample a pixel, and these have more")

    def text(keyword: str) -> str:
        return str(dataset.get(keyword) or "")

    return Header(
        StudyInstanceUID=text("StudyInstanceUID"),
        SeriesInstanceUID=text("SeriesInstanceUID"),
        FrameOfReferenceUID=text("FrameOfReferenceUID"),
        Modality=text("Modality"),
        PhotometricInterpretation=text("PhotometricInterpretation"),
        dtype=str(pixel_dtype(dataset)),
        rescale_type=_rescale_type(dataset),
        padding=(_padding(dataset, "PixelPaddingValue"), _padding(dataset, _LIMIT)),
    )


_LIMIT = "PixelPaddingRangeLimit"


def _padding(dataset: Dataset, keyword: str) -> int | None:
    value = dataset.get(keyword)
    return value if isinstance(value, int) else None


def _transform(dataset: Dataset, frame: int) -> Dataset:
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return functional_groups(dataset, frame, "PixelValueTransformationSequence")
    return dataset


def _rescale_type(dataset: Dataset) -> str:
    stated = _transform(dataset, 0).get("RescaleType") or dataset.get("Units")
    if stated:
        return str(stated)
    return "HU" if dataset.get("Modality") == "CT" else ""


def _slices(source: Source, dataset: Dataset, uid: str) -> list[Slice]:
    return [
        Slice(source, frame, uid, plane, *_rescale(_transform(dataset, frame)))
        for frame, plane in enumerate(planes_of(dataset))
    ]


def _rescale(dataset: Dataset) -> tuple[float, float]:
    values: list[Any] = [dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")]
    try:
        slope, intercept = (
            default if value is None or value == "" else float(value)
            for value, default in zip(values, (1.0, 0.0), strict=True)
        )
    except (TypeError, ValueError):
        slope, intercept = math.nan, math.nan
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
        raise PermanentError(
            "RescaleSlope or RescaleIntercept is no finite number", remedy="see the source"
        )
    return slope, intercept
