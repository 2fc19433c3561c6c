"""How the slices of a series lie in space: one row of plain numbers for each.

Works on what Image Plane (PS3.3 C.7.6.2) says of single-frame images. A series may hold
several stacks: three-plane localizers, a scout before the axial slices, two orientations of
one sequence. Slices of equal orientation, matrix and pixel spacing form one stack; several
images at one position (echoes, phases, b-values) form one place of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hounsfield.dicom.geometry import (
    POSITION_TOLERANCE_MM,
    SPACING_TOLERANCE,
    WIDE_SHARE,
    Plane,
)

__all__ = ["STACK_COLUMNS", "stack_columns"]

#: A step this many times the usual one leaves a gap.
GAP_FACTOR = 1.5
#: A step is a whole number of usual ones if it is that near to it.
WHOLE_TOLERANCE = 0.1
#: Origins may stray this far from the line through the first and the last (mm).
IN_LINE_MM = 0.5

STACK_COLUMNS = (
    "stack",  # number of the stack within the series, the largest first
    "stack_count",  # stacks in the series
    "position_mm",  # along the stack's normal, LPS
    "spacing_mm",  # to the next place; null at the last
    "gap",  # slices are missing between this place and the next; null at the last
    "missing_slices",  # how many fit into the gap
    "spacing_even",  # the step to the next place is the usual one; null where a gap is
    "in_line",  # the origin lies on the line of the stack
    "gantry_tilt_degrees",  # between the normal and the line of the stack
    "images_here",  # images at this place
    "places_even",  # each place of the stack has equally many images
)


def stack_columns(
    planes: Sequence[Plane | None], numbers: Sequence[int | None]
) -> list[dict[str, Any]]:
    """`STACK_COLUMNS` for each image of one series, in the order given.

    Parameters
    ----------
    planes
        Where each image lies; None, for one that does not tell, gives an empty dictionary.
    numbers
        InstanceNumber of each image, or None.
    """
    columns: list[dict[str, Any]] = [{} for _ in planes]
    stacks: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for index, plane in enumerate(planes):
        if plane is not None:
            stacks[_stack_key(plane)].append(index)
    ordered = sorted(stacks.values(), key=len, reverse=True)
    for stack, members in enumerate(ordered, start=1):
        chosen = [plane for index in members if (plane := planes[index]) is not None]
        measured = _measure(chosen, [numbers[index] for index in members])
        for index, values in zip(members, measured, strict=True):
            columns[index].update(values, stack=stack, stack_count=len(ordered))
    return columns


def _stack_key(plane: Plane) -> tuple[float, ...]:
    cosines = (round(value, 2) + 0.0 for value in plane.orientation)  # no -0.0
    spacings = (round(value, 2) for value in plane.pixel_spacing)
    return (*cosines, *spacings, plane.rows, plane.columns)


def _measure(planes: Sequence[Plane], numbers: Sequence[int | None]) -> list[dict[str, Any]]:
    """The columns of one stack."""
    origins = np.array([plane.position for plane in planes], dtype=np.float64)
    normal = planes[0].normal / np.linalg.norm(planes[0].normal)
    along = origins @ normal
    order = np.argsort(along, kind="stable")
    place_of = np.empty(len(planes), dtype=int)
    place_of[order] = np.concatenate(
        [[0], np.cumsum(np.diff(along[order]) > POSITION_TOLERANCE_MM)]
    )
    counts = np.bincount(place_of)
    _, first = np.unique(place_of, return_index=True)

    steps = np.diff(along[first])
    missing, even = _judge_steps(steps, [numbers[index] for index in first])
    tilt, stray = _line(origins[first], normal)
    columns = []
    for index, place in enumerate(place_of):
        step = _step_columns(int(place), steps, missing, even)
        columns.append(
            {
                "position_mm": round(float(along[index]), 3),
                "in_line": None if stray is None else bool(stray[place] <= IN_LINE_MM),
                "gantry_tilt_degrees": tilt,
                "images_here": int(counts[place]),
                "places_even": bool(counts.min() == counts.max()),
                **step,
            }
        )
    return columns


def _step_columns(
    place: int, steps: NDArray[np.float64], missing: Sequence[int], even: Sequence[bool]
) -> dict[str, Any]:
    if place >= len(steps):
        return {}
    gap = missing[place] > 0
    return {
        "spacing_mm": round(float(steps[place]), 4),
        "gap": gap,
        "missing_slices": missing[place],
        "spacing_even": None if gap else even[place],
    }


def _judge_steps(
    steps: NDArray[np.float64], numbers: Sequence[int | None]
) -> tuple[list[int], list[bool]]:
    """How many slices each step lacks, and whether it is the usual one.

    A wide step is a gap when InstanceNumber jumps along with it, or when it is one of few and
    whole slices fit into it. A head CT that doubles its spacing half-way has many wide steps
    and no jump: uneven, but whole.
    """
    if len(steps) == 0:
        return [], []
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    tolerance = max(POSITION_TOLERANCE_MM, SPACING_TOLERANCE * usual)
    even = [bool(abs(step - usual) <= tolerance) for step in steps]
    wide = steps >= GAP_FACTOR * usual
    few = wide.sum() <= max(1, WIDE_SHARE * len(steps))
    ratios = steps / usual
    missing = []
    for ratio, is_wide, jump in zip(ratios, wide, _jumps(ratios, even, numbers), strict=True):
        whole = abs(ratio - round(ratio)) <= WHOLE_TOLERANCE
        lacks = is_wide and (jump or (few and whole))
        missing.append(max(1, round(ratio) - 1) if lacks else 0)
    return missing, even


def _jumps(
    ratios: NDArray[np.float64], even: Sequence[bool], numbers: Sequence[int | None]
) -> list[bool]:
    """Where InstanceNumber steps further than usual, and as far as the position does."""
    climbs = [None if a is None or b is None else abs(b - a) for a, b in pairwise(numbers)]
    usual = Counter(c for c, is_even in zip(climbs, even, strict=True) if is_even and c)
    if not usual:
        return [False] * len(climbs)
    base = usual.most_common(1)[0][0]
    return [
        climb is not None
        and climb > base
        and bool(abs(ratio - climb / base) <= WHOLE_TOLERANCE * climb / base)
        for ratio, climb in zip(ratios, climbs, strict=True)
    ]


def _line(
    origins: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[float | None, NDArray[np.float64] | None]:
    """Tilt of the line from the first origin to the last (degrees); distances from it (mm)."""
    if len(origins) < 2:
        return None, None
    line = origins[-1] - origins[0]
    line /= np.linalg.norm(line)
    offsets = origins - origins[0]
    stray = np.linalg.norm(offsets - np.outer(offsets @ line, line), axis=1)
    # arctan2 keeps its precision near zero, where arccos has none.
    tilt = np.degrees(np.arctan2(np.linalg.norm(np.cross(line, normal)), abs(line @ normal)))
    return round(float(tilt), 2), stray
