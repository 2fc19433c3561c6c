"""From the instances of a series to an ordered stack of slices, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import blake3
from pydicom.dataset import Dataset
from pydicom.uid import UID

from hounsfield.dicom.alike import CodedPixels, FileHeader, HeaderReader, NativePixels, shared
from hounsfield.dicom.attributes import Instance
from hounsfield.dicom.codecs import check_frame_bytes, check_syntax, pixel_dtype
from hounsfield.dicom.frames import Frames, frames_of
from hounsfield.dicom.geometry import (
    Plane,
    StackGeometry,
    arrange,
    functional_groups,
    places_of,
    planes_of,
)
from hounsfield.dicom.reading import (
    SeriesFiles,
    group_by_series,
    read_beginning,
    read_header,
    read_lazily,
)
from hounsfield.errors import (
    ContentCollision,
    GeometryError,
    HounsfieldError,
    PermanentError,
    UndecodablePixels,
    UnreadableFile,
)
from hounsfield.volume.apart import Apart, marks_of, tell_apart
from hounsfield.volume.kinds import Kind, kind_of, reason_against
from hounsfield.volume.picture import PictureScale, picture_scale

__all__ = [
    "Header",
    "SeriesPlan",
    "Slice",
    "Source",
    "Stack",
    "parts_of",
    "plans_of",
    "series_volumes",
    "stack_of",
]

#: Where an instance is: a file, or a dataset in memory.
Source: TypeAlias = Path | Dataset


@dataclass(frozen=True, slots=True)
class Header:
    """What all slices of a volume share.

    Attributes
    ----------
    rows, columns, samples
        Of a plane.
    dtype
        Of the stored values, as numpy names it.
    rescale_type
        Unit of the rescaled values: RescaleType, Units for PET, "HU" for a CT that states
        none (PS3.3 C.8.2.1.1.2); empty where unknown. None where the values have no rescale,
        which would give them one (PS3.3 C.11.1).
    has_lut
        A table gives the values their unit in place of a rescale: ModalityLUTSequence, which the
        attributes keep (PS3.3 C.11.1).
    padding
        PixelPaddingValue and PixelPaddingRangeLimit, as stated.
    picture
        Scale of a picture that has no place in the patient.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SeriesNumber: int | None
    FrameOfReferenceUID: str
    Modality: str
    PhotometricInterpretation: str
    rows: int
    columns: int
    samples: int
    dtype: str
    rescale_type: str | None
    has_lut: bool
    padding: tuple[int | None, int | None]
    picture: PictureScale | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """One image plane and where its pixels are.

    Attributes
    ----------
    source, frame
        The instance and the zero-based frame in it.
    slope, intercept
        Stored value × slope + intercept gives the unit of :attr:`Header.rescale_type`.
    plane
        Where it lies; None for a picture without a place.
    frames
        How to read its pixels without pydicom; None where that cannot be.
    """

    source: Source
    frame: int
    sop_instance_uid: str
    plane: Plane | None
    slope: float
    intercept: float
    frames: Frames | None = None


@dataclass(frozen=True)
class Stack:
    """The planes of one volume, in order.

    Attributes
    ----------
    slices
        In the order of :attr:`leading`, the last of its axes the quickest to change.
    leading
        Name and size of each axis before those of the plane: z, before it t or c where images
        share their places; t for the frames of a film; none for a picture.
    geometry
        Of the places along z; None for what has no place in the patient.
    apart
        What tells the images at one place apart.
    duplicates
        Files left out because another one is the same, byte for byte.
    instances
        By SOPInstanceUID, the elements of those files whose header says all; of the others
        they are read with the pixels.
    """

    header: Header
    slices: tuple[Slice, ...]
    leading: tuple[tuple[str, int], ...]
    geometry: StackGeometry | None
    apart: Apart | None = None
    duplicates: int = 0
    instances: Mapping[str, Instance] = field(default_factory=dict)

    @property
    def axes(self) -> tuple[str, ...]:
        """Of the array, as NGFF 0.5 wants them: time, channel, space."""
        colour = ("c",) if self.header.samples > 1 else ()
        return (*(name for name, _ in self.leading), *colour, "y", "x")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return (*(size for _, size in self.leading), *self.plane_shape)

    @property
    def plane_shape(self) -> tuple[int, ...]:
        """(rows, columns), or (samples, rows, columns) where there is colour."""
        colour = (self.header.samples,) if self.header.samples > 1 else ()
        return (*colour, self.header.rows, self.header.columns)


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """A series of a folder, and why it makes no volume; empty where nothing speaks against it."""

    series_instance_uid: str
    modality: str
    paths: tuple[Path, ...]
    reason: str = ""


def series_volumes(paths: Iterable[Path]) -> list[SeriesPlan]:
    """Each series among `paths`, with the reason where its kind of object makes no volume.

    Stacks are of CT, MR and PET images, single-frame or enhanced multi-frame, of reconstructed
    SPECT, and of X-rays in three dimensions, as of breasts; pictures are of CR, DX, MG, XA, RF
    and US. Whether the slices make a volume is known only when :func:`stack_of` has put them in
    order.
    """
    return plans_of(group_by_series(paths))


def plans_of(found: SeriesFiles) -> list[SeriesPlan]:
    """As :func:`series_volumes`, for files that have been sorted, by SeriesInstanceUID."""
    return [_plan(uid, tuple(files)) for uid, files in sorted(found.series.items())]


def _plan(uid: str, paths: tuple[Path, ...]) -> SeriesPlan:
    try:
        dataset = _first_of(paths)
    except HounsfieldError as error:
        return SeriesPlan(uid, "", paths, str(error))
    reason = reason_against(dataset)
    return SeriesPlan(uid, str(dataset.get("Modality") or ""), paths, reason)


def _first_of(paths: Sequence[Path]) -> Dataset:
    """Header of the first that makes a volume; of the first of all, where none does.

    What is said of a series does not depend on whether its localizer is the first of its files.
    """
    first = read_header(paths[0])
    if kind_of(first):
        return first
    others = (read_beginning(path, "Modality") for path in paths[1:])
    return next(filter(kind_of, others), first)


def parts_of(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The files of one series, by volume: a stack is one, of images each is one.

    Projections, and films of them, have no common grid: two views of a chest are two volumes.
    """
    try:
        is_stack = kind_of(_first_of(paths)) != "image"
    except HounsfieldError:
        is_stack = True  # what is wrong is told when the volume is made
    if is_stack:
        return [tuple(paths)]
    by_instance: dict[str, list[Path]] = {}
    for path in paths:
        by_instance.setdefault(_uid_of(path), []).append(path)
    return [tuple(by_instance[uid]) for uid in sorted(by_instance)]


def _uid_of(path: Path) -> str:
    try:
        return str(read_lazily(path, stop_before_pixels=True).get("SOPInstanceUID", ""))
    except Exception:
        return ""


def stack_of(sources: Sequence[Source]) -> Stack:
    """Reads the headers of one volume's instances and puts its planes in order.

    Every header is parsed whole, so a damaged file shows here.

    Raises
    ------
    GeometryError
        The planes make no volume.
    ContentCollision
        One SOPInstanceUID came with two contents.
    UnreadableFile, UndecodablePixels
        A file is damaged, or states pixels that no volume can hold, or several have no
        SOPInstanceUID.
    """
    headers: set[Header] = set()
    slices: list[Slice] = []
    # Kept for what may tell slices apart, which is seldom asked for.
    headers_of: dict[str, Any] = {}
    first_of: dict[str, Source] = {}
    reader = HeaderReader()
    instances: dict[str, Instance] = {}
    for source in sources:
        read = FileHeader(source) if isinstance(source, Dataset) else reader.read(source)
        uid, header, planes = _parse(source, read)
        # Copies of one file are common in exports; two contents under one UID are an error.
        if uid in first_of:
            _check_same(uid, first_of[uid], source)
            continue
        first_of[uid] = source
        headers.add(header)
        slices.extend(planes)
        headers_of[uid] = read.values
        if read.instance is not None:
            instances[uid] = read.instance
    if not slices:
        raise GeometryError("there are no slices")
    placed = [item.plane for item in slices if item.plane is not None]
    if not placed:
        stack = _film(headers, slices, len(first_of))
    elif len(placed) == len(slices):
        stack = _in_order(headers, slices, placed, headers_of)
    else:
        raise GeometryError("some of the images have a place in the patient and some have none")
    return replace(stack, duplicates=len(sources) - len(first_of), instances=instances)


def _film(headers: set[Header], slices: list[Slice], instances: int) -> Stack:
    """One picture, or the frames of one, in their order."""
    if instances > 1:
        raise GeometryError(
            f"{instances} images without a place in the patient make no one volume",
            remedy="each of them makes one",
        )
    header = next(iter(headers))
    leading = (("t", len(slices)),) if len(slices) > 1 else ()
    return Stack(header, tuple(slices), leading, geometry=None)


def _in_order(
    headers: set[Header],
    slices: list[Slice],
    planes: list[Plane],
    headers_of: Mapping[str, Any],
) -> Stack:
    places = places_of(planes)
    apart = None
    if max(map(len, places)) > 1:
        _check_one_series(headers, headers_of, (*_OF_SERIES, *_WHEN))
        marks = [marks_of(headers_of[item.sop_instance_uid], item.frame) for item in slices]
        places, apart = tell_apart(places, marks)
    geometry = arrange([planes[place[0]] for place in places])
    _check_one_series(headers, headers_of, _OF_SERIES)
    count = len(places[0])
    if count == 1:
        _check_one_pass([headers_of[slices[place[0]].sop_instance_uid] for place in places])
    leading = ((apart.axis, count),) if apart else ()
    ordered = tuple(slices[place[index]] for index in range(count) for place in places)
    return Stack(next(iter(headers)), ordered, (*leading, ("z", len(places))), geometry, apart)


def _check_one_series(
    headers: set[Header], headers_of: Mapping[str, Any], keywords: Sequence[str]
) -> None:
    """Echoes and times of one series make a volume, but no two series, side by side or not."""
    _check_alike(headers)
    for keyword in keywords:
        if len({str(header.get(keyword) or "") for header in headers_of.values()}) > 1:
            raise GeometryError(
                f"the images differ in {keyword}",
                remedy="two acquisitions or reconstructions share a series: see its source",
            )


#: What is the same in all images of one series (PS3.3 C.7.3.1), and of one reconstruction.
_OF_SERIES: Final = ("SeriesDescription", "ConvolutionKernel")
#: As well, but some write when each image was made: it counts where images share their places.
_WHEN: Final = ("SeriesDate", "SeriesTime")


def _check_one_pass(headers: Sequence[Any]) -> None:
    """A CT that stops and shoots has its acquisitions one behind the other, as `headers` are.

    Slices taken once more lie together in a gap of the others. Those of two phases lie between
    each other, and together would be a finer stack of neither. MR acquires every other slice first
    as a rule.
    """
    if headers[0].get("Modality") != "CT":
        return
    at: dict[str, list[int]] = {}
    for index, header in enumerate(headers):
        at.setdefault(str(header.get("AcquisitionNumber")), []).append(index)
    for one, other in pairwise(sorted(at.values())):
        steps = pairwise(sorted((*one, *other)))
        turns = sum((here in one) != (there in one) for here, there in steps)
        if turns > min(len(one), len(other)) + 1:
            raise GeometryError(
                f"the slices are of {len(at)} acquisitions that lie between each other",
                remedy="several phases share a series: see its source",
            )


def _check_alike(headers: set[Header]) -> None:
    if {header.rescale_type is None for header in headers} == {True, False}:
        raise GeometryError(
            "some of the slices state a rescale and some state none",
            remedy="RescaleSlope and RescaleIntercept are missing: see the source",
        )
    if len(headers) > 1:
        raise GeometryError(
            f"the slices differ in {_differences(list(headers))}",
            remedy="several acquisitions may share one series",
        )


def _parse(source: Source, read: FileHeader) -> tuple[str, Header, list[Slice]]:
    """What counts of one instance, parsed once: nothing behind this trusts a header."""
    dataset = read.values
    try:
        kind = shared(kind_of, dataset)
        if kind is None:
            raise GeometryError(
                f"an instance makes no volume: it is {reason_against(dataset)}",
                remedy="where others of its series make one, part them at their source",
            )
        uid = str(dataset.get("SOPInstanceUID", ""))
        header = shared(_header, dataset, kind)
        if kind == "image":
            _check_frames(source, read, header)
        slices = _slices(source, read, uid, kind)
        return uid, header, slices
    except HounsfieldError:
        raise
    except Exception as error:  # a value of a kind that its keyword never has
        raise UnreadableFile(
            "a header holds values that make no sense",
            where=type(error).__name__,
            remedy="ask its source for it again",
        ) from None


def _check_frames(source: Source, read: FileHeader, header: Header) -> None:
    """Refuses a claim of frames that there are no bytes for, before each gets a slice."""
    claimed = _count(read.values, "NumberOfFrames", 1)
    match read.pixels:
        case CodedPixels(fragments=fragments, syntax=syntax):
            check_syntax(UID(syntax))
            most = len(fragments)
        case NativePixels(length=length):
            most = 8 * length // (header.rows * header.columns)  # of one bit a pixel, at least
        case _:
            most = source.stat().st_size if isinstance(source, Path) else claimed
    if claimed > max(1, most):
        raise UndecodablePixels(
            f"{claimed} frames are claimed, and there are bytes for {most} at most",
            remedy="ask its source for it again",
        )


def _check_same(uid: str, one: Source, other: Source) -> None:
    if one is other or (isinstance(one, Path) and isinstance(other, Path) and one == other):
        return
    if isinstance(one, Path) and isinstance(other, Path) and _digest(one) == _digest(other):
        return
    if not uid:
        raise UnreadableFile(
            "several images have no SOPInstanceUID", remedy="ask their source for them again"
        )
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


def _header(dataset: Dataset, kind: Kind) -> Header:
    samples = _count(dataset, "SamplesPerPixel", 1)
    if samples not in (1, 3) or (samples == 3 and kind == "stack"):
        raise UndecodablePixels(
            f"a {kind} of {samples} samples a pixel makes no volume",
            remedy="stacks hold one, pictures one or three",
        )

    rows, columns, dtype = _count(dataset, "Rows"), _count(dataset, "Columns"), pixel_dtype(dataset)
    check_frame_bytes(rows, columns, rows * columns * samples * dtype.itemsize)

    def text(keyword: str) -> str:
        return str(dataset.get(keyword) or "")

    return Header(
        StudyInstanceUID=text("StudyInstanceUID"),
        SeriesInstanceUID=text("SeriesInstanceUID"),
        SeriesNumber=_integer(dataset, "SeriesNumber"),
        FrameOfReferenceUID=text("FrameOfReferenceUID"),
        Modality=text("Modality"),
        PhotometricInterpretation=text("PhotometricInterpretation"),
        rows=rows,
        columns=columns,
        samples=samples,
        dtype=str(dtype),
        rescale_type=_rescale_type(dataset),
        has_lut="ModalityLUTSequence" in dataset,
        padding=(_integer(dataset, "PixelPaddingValue"), _integer(dataset, _LIMIT)),
        picture=picture_scale(dataset) if kind == "image" else None,
    )


def _count(dataset: Dataset, keyword: str, default: int = 0) -> int:
    value = dataset.get(keyword)
    count = default if value is None or value == "" else int(value)
    if count < 1:
        raise UndecodablePixels(f"{keyword} is missing or no positive number")
    return count


_LIMIT = "PixelPaddingRangeLimit"


def _integer(dataset: Dataset, keyword: str) -> int | None:
    value = dataset.get(keyword)
    return int(value) if isinstance(value, int) else None


def _transform(dataset: Dataset, frame: int) -> Dataset:
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return functional_groups(dataset, frame, "PixelValueTransformationSequence")
    return dataset


def _rescale_type(dataset: Dataset) -> str | None:
    frames = len(dataset.get("PerFrameFunctionalGroupsSequence") or [None])
    types = {_type_of(dataset, _transform(dataset, frame)) for frame in range(frames)}
    if len(types) > 1:
        raise GeometryError(
            "the frames differ in RescaleType, or some have no rescale",
            remedy="values of several units make no volume",
        )
    return types.pop()


def _type_of(image: Dataset, transform: Dataset) -> str | None:
    if any(transform.get(keyword) in (None, "") for keyword in _RESCALE):
        return None
    stated = transform.get("RescaleType") or image.get("Units")
    if stated:
        return str(stated)
    return "HU" if image.get("Modality") == "CT" else ""


_RESCALE = ("RescaleSlope", "RescaleIntercept")


def _slices(source: Source, read: FileHeader, uid: str, kind: Kind) -> list[Slice]:
    dataset = read.values
    planes: Sequence[Plane | None] = (
        planes_of(dataset) if kind == "stack" else [None] * _count(dataset, "NumberOfFrames", 1)
    )
    frames = shared(frames_of, dataset, read.pixels, len(planes)) if read.pixels else None
    return [
        Slice(source, frame, uid, plane, *shared(_rescale, dataset, frame), frames)
        for frame, plane in enumerate(planes)
    ]


def _rescale(image: Dataset, frame: int) -> tuple[float, float]:
    dataset = _transform(image, frame)
    values: list[Any] = [dataset.get(keyword) for keyword in _RESCALE]
    try:
        slope, intercept = (
            default if value is None or value == "" else float(value)
            for value, default in zip(values, (1.0, 0.0), strict=True)
        )
    except (TypeError, ValueError):
        slope, intercept = math.nan, math.nan
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
        raise PermanentError(
            "RescaleSlope or RescaleIntercept is no finite number, or the slope is 0",
            remedy="see the source",
        )
    return slope, intercept
