"""Where image planes lie in the patient, and whether together they make a volume.

All of it comes from ImagePositionPatient, ImageOrientationPatient and PixelSpacing (PS3.3
C.7.6.2) or the functional groups that hold them (PS3.3 C.7.6.16): never from file names,
InstanceNumber or SliceLocation, which scanners number as they like.

Patient coordinates are LPS, in millimetres: x grows to the patient's left, y to the back, z
to the head. Positions are centres of voxels, indices start at zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from hounsfield.errors import GeometryError

__all__ = [
    "ORIENTATION_TOLERANCE",
    "POSITION_TOLERANCE_MM",
    "SPACING_TOLERANCE",
    "Plane",
    "StackGeometry",
    "along_normal",
    "arrange",
    "functional_groups",
    "planes_of",
]

#: Direction cosines of one stack may differ by this: headers round them to 4 to 6 digits.
ORIENTATION_TOLERANCE = 1e-3
#: Two planes nearer than this lie at one position, and a step between slices may be off by
#: this much at any spacing: headers round positions to 1 or 2 decimals.
POSITION_TOLERANCE_MM = 0.05
#: A step may differ from the median step by this share of it.
SPACING_TOLERANCE = 0.02


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
    """A regular stack of planes.

    Attributes
    ----------
    order
        Indices into the planes as given, in the order of the volume's z axis.
    affine
        (4, 4) float64: maps (column, row, slice, 1) to LPS mm. Its third column is the step
        between slices as it is, so a tilted gantry shows as a shear.
    shape_zyx
        Slices, rows, columns.
    spacing_zyx
        mm between the centres of neighbours; along z the length of the step.
    tilt_degrees
        Angle between the step and the planes' normal.
    spacing_source
        Where the step comes from: "positions", or for a single plane "SliceThickness" or
        "assumed" (1 mm).
    """

    order: tuple[int, ...]
    affine: np.ndarray
    shape_zyx: tuple[int, int, int]
    spacing_zyx: tuple[float, float, float]
    tilt_degrees: float
    spacing_source: str


def functional_groups(dataset: Dataset, frame: int, name: str) -> Dataset:
    """The item of a functional group macro for a frame, its own or the shared one.

    An empty dataset where there is none (PS3.3 C.7.6.16).
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups in (*per_frame[frame : frame + 1], *shared[:1]):
        macro = groups.get(name)
        if macro:
            return macro[0]
    return Dataset()


def planes_of(dataset: Dataset) -> tuple[Plane, ...]:
    """The planes of an instance: one, or one for each frame of an enhanced multi-frame.

    Raises
    ------
    GeometryError
        Position, orientation, spacing or size are missing or make no sense.
    """
    frames = int(_numbers(dataset, "NumberOfFrames", 1, (1.0,))[0])
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        if frames > 1:
            raise GeometryError("a multi-frame image states no position for its frames")
        return (_plane(dataset, dataset, dataset, dataset),)
    listed = len(dataset.PerFrameFunctionalGroupsSequence)
    if listed != frames:
        raise GeometryError(f"{frames} frames are claimed and {listed} are described")
    return tuple(
        _plane(
            dataset,
            functional_groups(dataset, frame, "PlanePositionSequence"),
            functional_groups(dataset, frame, "PlaneOrientationSequence"),
            functional_groups(dataset, frame, "PixelMeasuresSequence"),
        )
        for frame in range(frames)
    )


def _plane(image: Dataset, where: Dataset, turned: Dataset, measures: Dataset) -> Plane:
    thickness = _numbers(measures, "SliceThickness", 1, (0.0,))[0]
    plane = Plane(
        position=_numbers(where, "ImagePositionPatient", 3),
        orientation=_numbers(turned, "ImageOrientationPatient", 6),
        pixel_spacing=_numbers(measures, "PixelSpacing", 2),
        rows=int(_numbers(image, "Rows", 1)[0]),
        columns=int(_numbers(image, "Columns", 1)[0]),
        thickness=thickness if thickness > 0 else None,
    )
    row, column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    lengths = (float(np.linalg.norm(row)), float(np.linalg.norm(column)))
    if max(abs(length - 1) for length in lengths) > ORIENTATION_TOLERANCE * 10:
        raise GeometryError("ImageOrientationPatient holds no unit vectors")
    if abs(float(row @ column)) > ORIENTATION_TOLERANCE * 10:
        raise GeometryError("ImageOrientationPatient holds no right angle")
    if min(plane.pixel_spacing) <= 0 or min(plane.rows, plane.columns) < 1:
        raise GeometryError("PixelSpacing, Rows or Columns is not positive")
    return plane


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
    if len(values) != count or not all(map(math.isfinite, values)):
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


def arrange(planes: Sequence[Plane]) -> StackGeometry:
    """Puts planes in order and proves that they make one regular volume.

    Slices run along row × column, so that the affine is right-handed.

    Raises
    ------
    GeometryError
        No planes; sizes, spacings or orientations differ; two planes at one position; a gap;
        irregular steps; positions that leave the line. It says where, counting slices from
        zero in the order of the volume.
    """
    if not planes:
        raise GeometryError("there are no slices")
    _check_alike(planes)
    order, distances = along_normal(planes)
    positions = np.array([planes[i].position for i in order])
    first = planes[order[0]]
    if len(planes) == 1:
        step = first.normal * (first.thickness or 1.0)
        source = "SliceThickness" if first.thickness else "assumed"
    else:
        _check_steps(distances)
        step = (positions[-1] - positions[0]) / (len(planes) - 1)
        _check_line(positions, step)
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
        raise GeometryError(
            f"PixelSpacing goes from {spacings.min():.4g} to {spacings.max():.4g} mm"
        )


def _check_steps(distances: np.ndarray) -> None:
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
    if not odd.size:
        return
    at, gap = int(odd[0]), float(steps[odd[0]])
    missing = round(gap / usual) - 1
    if missing >= 1 and abs(gap - (missing + 1) * usual) <= tolerance * (missing + 1):
        raise GeometryError(
            f"{missing} slice{'s are' if missing > 1 else ' is'} missing between slice {at} "
            f"and {at + 1}: a gap of {gap:.4g} mm at a spacing of {usual:.4g} mm",
            remedy="fetch the series again; its source may have the rest",
        )
    raise GeometryError(
        f"the spacing is irregular: {gap:.4g} mm between slice {at} and {at + 1}, "
        f"{usual:.4g} mm elsewhere; {odd.size} of {steps.size} steps differ",
    )


def _check_line(positions: np.ndarray, step: np.ndarray) -> None:
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    away = np.linalg.norm(positions - expected, axis=1)
    limit = max(2 * POSITION_TOLERANCE_MM, SPACING_TOLERANCE * float(np.linalg.norm(step)))
    # Steps within their tolerance may add up along the stack; what may not is a jump.
    jumps = np.linalg.norm(np.diff(positions, axis=0) - step, axis=1)
    at = int(np.argmax(jumps))
    if jumps[at] > limit or away.max() > limit * len(positions) / 2:
        raise GeometryError(
            f"the slices leave the line: {jumps[at]:.4g} mm at slice {at + 1}",
            remedy="the patient moved, or two stacks share a series",
        )
