"""Gantry tilt undone: each slice moved within its plane, until they stand above each other.

A CT with a tilted gantry steps along the table while its planes lean, so the volume's affine
has a shear. What wants orthogonal axes gets slices that are moved along rows and columns by
linear interpolation. Values are new ones then, which the metadata say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy import ndimage

from hounsfield.volume.series import Stack

__all__ = ["Shear", "straighten"]

#: Less than this is rounding of positions, and left alone.
LEAST_DEGREES: Final = 0.1
_AIR_HU: Final = -1024.0


@dataclass(frozen=True, slots=True)
class Shear:
    """How slices are moved.

    Attributes
    ----------
    start
        Row and column, in pixels of the first slice, where the straight grid begins.
    step
        By how many rows and columns each slice is further on than the one before.
    shape
        (rows, columns) of the straight grid.
    fill
        Stored value where no slice was.
    tilt_degrees
        That is undone.
    """

    start: tuple[float, float]
    step: tuple[float, float]
    shape: tuple[int, int]
    fill: int | float
    tilt_degrees: float

    def moved(self, plane: np.ndarray, index: int) -> np.ndarray:
        """Slice `index`, counted along z, on the straight grid; its dtype stays."""
        offset = [begin - index * step for begin, step in zip(self.start, self.step, strict=True)]
        values = ndimage.affine_transform(
            plane.astype(np.float64), np.ones(2), offset, self.shape, order=1, cval=self.fill
        )
        return (values if plane.dtype.kind == "f" else np.rint(values)).astype(plane.dtype)

    def to_dict(self) -> dict[str, Any]:
        """For the volume's metadata."""
        return {
            "why": "gantry tilt",
            "tilt_degrees": round(self.tilt_degrees, 6),
            "interpolation": "linear",
            "fill": self.fill,
        }


def straighten(stack: Stack) -> tuple[Stack, Shear | None]:
    """The stack as it is after its slices have been moved, and how; None where none need be.

    Stacks whose steps differ are left as they are: their slices follow no one line.
    """
    geometry = stack.geometry
    if geometry is None or not geometry.regular or geometry.tilt_degrees < LEAST_DEGREES:
        return stack, None
    depth, rows, columns = geometry.shape_zyx
    affine = geometry.affine
    across = np.cross(affine[:3, 0], affine[:3, 1])
    across /= np.linalg.norm(across)
    upright = across * float(affine[:3, 2] @ across)
    lean = affine[:3, 2] - upright
    # In pixels: along columns the row index grows.
    step = [
        float(lean @ affine[:3, axis] / (affine[:3, axis] @ affine[:3, axis])) for axis in (1, 0)
    ]
    ends = [(depth - 1) * pixels for pixels in step]
    start = [min(0.0, end) for end in ends]
    shape = (rows + math.ceil(abs(ends[0])), columns + math.ceil(abs(ends[1])))
    straight = affine.copy()
    straight[:3, 2] = upright
    straight[:3, 3] += affine[:3, 1] * start[0] + affine[:3, 0] * start[1]
    shear = Shear(
        (start[0], start[1]), (step[0], step[1]), shape, _fill(stack), geometry.tilt_degrees
    )
    new = replace(
        geometry,
        affine=straight,
        shape_zyx=(depth, *shape),
        spacing_zyx=(float(np.linalg.norm(upright)), *geometry.spacing_zyx[1:]),
        tilt_degrees=0.0,
        positions=straight[:3, 3] + np.arange(depth)[:, None] * upright,
    )
    header = replace(stack.header, rows=shape[0], columns=shape[1])
    return replace(stack, header=header, geometry=new), shear


def _fill(stack: Stack) -> int | float:
    """What the scanner pads with; else air for CT, and nothing for others."""
    stated, first = stack.header.padding[0], stack.slices[0]
    if stated is not None:
        return stated
    if stack.header.Modality != "CT":
        return 0
    limits = np.iinfo(stack.header.dtype)
    return int(np.clip(round((_AIR_HU - first.intercept) / first.slope), limits.min, limits.max))
