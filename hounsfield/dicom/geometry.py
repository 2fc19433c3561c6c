"""Where image planes lie in the patient, and whether together they make a volume.

All of it comes from ImagePositionPatient, ImageOrientationPatient and PixelSpacing (PS3.3
C.7.6.2) or the functional groups that hold them (PS3.3 C.7.6.16); of reconstructed nuclear
medicine, from those of its first slice and SpacingBetweenSlices (PS3.3 C.8.4.15): never from file
names, InstanceNumber or SliceLocation, which scanners number as they like.

Patient coordinates are LPS, in millimetres: x grows to the patient's left, y to the back, z
to the head. Positions are centres of voxels, indices start at zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from hounsfield.dicom.alike import shared
from hounsfield.errors import GeometryError

__all__ = [
    "LARGEST",
    "ORIENTATION_TOLERANCE",
    "POSITION_TOLERANCE_MM",
    "SPACING_TOLERANCE",
    "WIDE_SHARE",
    "Plane",
    "StackGeometry",
    "along_normal",
    "arrange",
    "functional_groups",
    "places_of",
    "planes_of",
]

#: Direction cosines of one stack may differ by this: headers round them to 4 to 6 digits.
ORIENTATION_TOLERANCE = 1e-3
#: Two planes nearer than this lie at one position, and a step between slices may be off by
#: this much at any spacing: headers round positions to 1 or 2 decimals.
POSITION_TOLERANCE_MM = 0.05
#: A step may differ from the median step by this share of it.
SPACING_TOLERANCE = 0.02
#: Where more of the steps than this are wide, the spacing varies by design: a head CT that
#: doubles its spacing half-way lacks no slice.
WIDE_SHARE = 0.2
#: No number of a header comes near this; of larger ones the square may be no number any more.
LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class Plane:
    """One image plane (PS3.3 C.7.6.2).

    Attributes
    ----------
    position
        ImagePositionPatient: centre of the first voxel, (x, y, z) in mm.
    orientation
        ImageOrientationPatient: direction cosines of a row (along which the column index
        grows), then of a column.
    pixel_spacing
        PixelSpacing: mm between rows, then between columns.
    rows, columns
        Voxels.
    thickness
        SliceThickness in mm; None where it is not stated.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    rows: int
    columns: int
    thickness: float | None = None

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the plane, so that row, column, normal are right-handed."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True)
class StackGeometry:
    """A stack of planes, one behind the other.

    Attributes
    ----------
    order
        Indices into the planes as given, in the order of the volume's z axis.
    affine
        (4, 4) float64: maps (column, row, slice, 1) to LPS mm. Its third column is the step
        between slices as it is, so a tilted gantry shows as a shear. Of a stack that is not
        regular it is the mean step, and true for the first and the last slice only.
    shape_zyx
        Slices, rows, columns.
    spacing_zyx
        mm between the centres of neighbours; along z the length of the step.
    tilt_degrees
        Angle between the step and the planes' normal.
    spacing_source
        Where the step comes from: "positions", or for a single plane "SliceThickness" or
        "assumed" (1 mm).
    positions
        (n, 3) float64: ImagePositionPatient of each slice, in order.
    regular
        Every step is the same, within the tolerances of this module.
    """

    order: tuple[int, ...]
    affine: np.ndarray
    shape_zyx: tuple[int, int, int]
    spacing_zyx: tuple[float, float, float]
    tilt_degrees: float
    spacing_source: str
    positions: np.ndarray
    regular: bool = True


def functional_groups(dataset: Dataset, frame: int, name: str) -> Dataset:
    """The item of a functional group macro for a frame, its own or the shared one.

    An empty dataset where there is none (PS3.3 C.7.6.16).
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for_all = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups in (*per_frame[frame : frame + 1], *for_all[:1]):
        macro = groups.get(name)
        if macro:
            return macro[0]
    return Dataset()


def planes_of(dataset: Dataset) -> tuple[Plane, ...]:
    """The planes of an instance: one, or one for each frame of a multi-frame.

    Raises
    ------
    GeometryError
        Position, orientation, spacing or size are missing or make no sense.
    """
    frames = int(_numbers(dataset, "NumberOfFrames", 1, (1.0,))[0])
    if "SliceVector" in dataset:
        return _reconstructed(dataset, frames)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        if frames > 1:
            raise GeometryError("a multi-frame image states no position for its frames")
        position = _numbers(dataset, "ImagePositionPatient", 3)
        return (Plane(position, **shared(_grid, dataset)),)
    listed = len(dataset.PerFrameFunctionalGroupsSequence)
    if listed != frames:
        raise GeometryError(f"{frames} frames are claimed and {listed} are described")
    return tuple(
        Plane(
            _numbers(functional_groups(dataset, frame, _POSITION), "ImagePositionPatient", 3),
            **_grid(
                dataset,
                functional_groups(dataset, frame, "PlaneOrientationSequence"),
                functional_groups(dataset, frame, "PixelMeasuresSequence"),
            ),
        )
        for frame in range(frames)
    )


_POSITION = "PlanePositionSequence"


def _reconstructed(dataset: Dataset, frames: int) -> tuple[Plane, ...]:
    """The frames of SPECT, whose first slice alone has a position (PS3.3 C.8.4.11, C.8.4.15).

    SpacingBetweenSlices has a sign: below zero, slices run against the planes' normal.
    """
    detectors = dataset.get("DetectorInformationSequence") or []
    if len(detectors) != 1:
        raise GeometryError(
            f"a reconstruction states {len(detectors)} places for its first slice",
            remedy="a volume needs one item of DetectorInformationSequence",
        )
    position = np.array(_numbers(detectors[0], "ImagePositionPatient", 3))
    numbers = _numbers(dataset, "SliceVector", frames)
    spacing = _numbers(dataset, "SpacingBetweenSlices", 1, (0.0,))[0]
    if not spacing and len(set(numbers)) > 1:
        raise GeometryError("SpacingBetweenSlices is missing or 0")
    first = Plane(tuple(position), **_grid(dataset, detectors[0]))
    step = first.normal * spacing
    return tuple(
        replace(first, position=tuple((position + (number - 1) * step).tolist()))
        for number in numbers
    )


def _grid(
    image: Dataset, turned: Dataset | None = None, measures: Dataset | None = None
) -> dict[str, Any]:
    """What a plane is but for its position; by attribute of :class:`Plane`."""
    turned = image if turned is None else turned
    measures = image if measures is None else measures
    thickness = _numbers(measures, "SliceThickness", 1, (0.0,))[0]
    orientation = _numbers(turned, "ImageOrientationPatient", 6)
    spacing = _numbers(measures, "PixelSpacing", 2)
    rows, columns = (int(_numbers(image, keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = (float(np.linalg.norm(row)), float(np.linalg.norm(column)))
    if max(abs(length - 1) for length in lengths) > ORIENTATION_TOLERANCE * 10:
        raise GeometryError("ImageOrientationPatient holds no unit vectors")
    if abs(float(row @ column)) > ORIENTATION_TOLERANCE * 10:
        raise GeometryError("ImageOrientationPatient holds no right angle")
    if min(spacing) <= 0 or min(rows, columns) < 1:
        raise GeometryError("PixelSpacing, Rows or Columns is not positive")
    return {
        "orientation": orientation,
        "pixel_spacing": spacing,
        "rows": rows,
        "columns": columns,
        "thickness": thickness if thickness > 0 else None,
    }


def _numbers(
    dataset: Dataset, keyword: str, count: int, default: tuple[float, ...] | None = None
) -> tuple[float, ...]:
    value = dataset.get(keyword)
    if default is not None and (value is None or value == ""):
        return default
    try:
        values = tuple(float(v) for v in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        values = ()
    if len(values) != count or not all(abs(value) < LARGEST for value in values):
        raise GeometryError(
            f"{keyword} is missing or not {count} finite number{'s' if count > 1 else ''}",
            remedy="a volume needs it for each slice",
        )
    return values


def along_normal(planes: Sequence[Plane]) -> tuple[tuple[int, ...], np.ndarray]:
    """The order of planes along the first one's normal, and their distances.

    Returns
    -------
    order
        Indices into `planes`, by ascending distance.
    distances
        (n,) float64, mm from the patient origin along the normal, in that order.
    """
    normal = planes[0].normal
    distances = np.array([np.dot(plane.position, normal) for plane in planes])
    order = np.argsort(distances, kind="stable")
    return tuple(int(i) for i in order), distances[order]


def places_of(planes: Sequence[Plane]) -> list[list[int]]:
    """The places of a stack along its normal, and which planes lie at each.

    Returns
    -------
    list
        For each place, by ascending distance, indices into `planes`; several where echoes,
        phases, b-values or time points share a place.

    Raises
    ------
    GeometryError
        No planes, sizes, spacings or orientations differ, or planes at one place are shifted
        within it.
    """
    if not planes:
        raise GeometryError("there are no slices")
    _check_alike(planes)
    order, distances = along_normal(planes)
    starts = [0, *(np.flatnonzero(np.diff(distances) > POSITION_TOLERANCE_MM) + 1).tolist()]
    places = [
        list(order[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)
    ]
    for place in places:
        positions = np.array([planes[i].position for i in place])
        if np.ptp(positions, axis=0).max() > 2 * POSITION_TOLERANCE_MM:
            raise GeometryError(
                "the slices leave the line: images at one place are shifted against each other",
                remedy="the patient moved, or two stacks share a series",
            )
    return places


def arrange(planes: Sequence[Plane]) -> StackGeometry:
    """Puts planes in order and proves that they make one volume.

    Slices run along row × column, so that the affine is right-handed. A stack whose steps
    differ, none of them for lack of a slice, is one that is not regular.

    Raises
    ------
    GeometryError
        No planes; sizes, spacings or orientations differ; two planes at one position; a gap;
        positions that leave the line. It says where, counting slices from zero in the order
        of the volume.
    """
    if not planes:
        raise GeometryError("there are no slices")
    _check_alike(planes)
    order, distances = along_normal(planes)
    positions = np.array([planes[i].position for i in order])
    first = planes[order[0]]
    if len(planes) == 1:
        step = first.normal * (first.thickness or 1.0)
        source, regular = "SliceThickness" if first.thickness else "assumed", True
    else:
        regular = _is_regular(distances)
        step = (positions[-1] - positions[0]) / (len(planes) - 1)
        along = (distances - distances[0]) / (distances[-1] - distances[0]) * (len(planes) - 1)
        _check_line(positions, step, np.arange(len(planes)) if regular else along)
        source = "positions"

    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    affine = np.eye(4)
    affine[:3, 0] = row * first.pixel_spacing[1]
    affine[:3, 1] = column * first.pixel_spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    length = float(np.linalg.norm(step))
    across = float(np.clip(np.dot(step, first.normal) / length, -1, 1))
    return StackGeometry(
        order=order,
        affine=affine,
        shape_zyx=(len(planes), first.rows, first.columns),
        spacing_zyx=(length, first.pixel_spacing[0], first.pixel_spacing[1]),
        tilt_degrees=math.degrees(math.acos(across)),
        spacing_source=source,
        positions=positions,
        regular=regular,
    )


def _check_alike(planes: Sequence[Plane]) -> None:
    sizes = sorted({(plane.rows, plane.columns) for plane in planes})
    if len(sizes) > 1:
        raise GeometryError(
            "the slices differ in size: " + ", ".join(f"{r} × {c}" for r, c in sizes)
        )
    orientations = np.array([plane.orientation for plane in planes])
    turned = np.abs(orientations - orientations[0]).max(axis=1) > ORIENTATION_TOLERANCE
    if turned.any():
        raise GeometryError(
            f"the slices have different orientations: {int(turned.sum())} of {len(planes)} "
            "are turned against the others",
            remedy="a localizer, or several stacks under one series",
        )
    spacings = np.array([plane.pixel_spacing for plane in planes])
    if np.ptp(spacings, axis=0).max() > SPACING_TOLERANCE * spacings.min():
        least, most = (
            " × ".join(f"{mm:.4g}" for mm in ends) for ends in (spacings.min(0), spacings.max(0))
        )
        raise GeometryError(f"PixelSpacing goes from {least} to {most} mm")


def _is_regular(distances: np.ndarray) -> bool:
    steps = np.diff(distances)
    same = np.flatnonzero(steps <= POSITION_TOLERANCE_MM)
    if same.size:
        raise GeometryError(
            f"there are several images at one position: slice {same[0]} and {same[0] + 1}, "
            f"{same.size} such in all",
            remedy="several echoes, phases, b-values or time points need a rule to split them",
        )
    usual = float(np.median(steps))
    tolerance = max(POSITION_TOLERANCE_MM, SPACING_TOLERANCE * usual)
    odd = np.flatnonzero(np.abs(steps - usual) > tolerance)
    _check_whole(steps, odd, usual, tolerance)
    return not odd.size


def _check_whole(steps: np.ndarray, odd: np.ndarray, usual: float, tolerance: float) -> None:
    """A few steps into which whole slices fit are gaps; where many are wide, they are meant."""
    lacking = np.round(steps[odd] / usual).astype(int) - 1
    fits = np.abs(steps[odd] - (lacking + 1) * usual) <= tolerance * (lacking + 1)
    few = odd.size <= max(1, WIDE_SHARE * steps.size)
    if not (odd.size and few and (lacking >= 1).all() and fits.all()):
        return
    at, missing = int(odd[0]), int(lacking[0])
    raise GeometryError(
        f"{missing} slice{'s are' if missing > 1 else ' is'} missing between slice {at} "
        f"and {at + 1}: a gap of {steps[at]:.4g} mm at a spacing of {usual:.4g} mm",
        remedy="fetch the series again; its source may have the rest"
        + ("; or two stacks share a series" if odd.size == 1 and missing > 1 else ""),
    )


def _check_line(positions: np.ndarray, step: np.ndarray, along: np.ndarray) -> None:
    """`along` tells how many steps from the first slice each one lies."""
    expected = positions[0] + along[:, None] * step
    away = np.linalg.norm(positions - expected, axis=1)
    limit = max(2 * POSITION_TOLERANCE_MM, SPACING_TOLERANCE * float(np.linalg.norm(step)))
    # Steps within their tolerance may add up along the stack; what may not is a jump.
    jumps = np.linalg.norm(np.diff(positions - expected, axis=0), axis=1)
    at = int(np.argmax(jumps))
    if jumps[at] > limit or away.max() > limit * len(positions) / 2:
        raise GeometryError(
            f"the slices leave the line: {jumps[at]:.4g} mm at slice {at + 1}",
            remedy="the patient moved, or two stacks share a series",
        )
