"""Nodules: where they sit, how they look, and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hounsfield.phantom.anatomy import Anatomy
from hounsfield.phantom.grid import Floats, Grid, Point
from hounsfield.phantom.tubes import Canvas, average_slabs, window_of

__all__ = ["Lesion", "Nodule", "draw_nodules", "lung_points", "paint_nodule"]

#: Diameters that are drawn, mm, as in the Fleischner guideline's range of solid nodules.
DIAMETERS_MM = (6.0, 20.0)
#: Least distance between the surfaces of two nodules, and of one to the pleura, mm.
_APART, _DEEP = 15.0, 2.5
#: A nodule's surface leaves its sphere by this share of the radius.
_BUMPS = 0.045


@dataclass(frozen=True)
class Nodule:
    """A nodule in the scene: `centre` (x, y, z) in mm, with the bumps of its surface."""

    centre: Point
    diameter_mm: float
    hu: float
    bumps: Floats


@dataclass(frozen=True)
class Lesion:
    """The truth about one nodule of a volume.

    Attributes
    ----------
    centre_lps
        (x, y, z), millimetres, LPS (PS3.3 C.7.6.2.1.1).
    centre_zyx
        The same as a zero-based fractional voxel index.
    diameter_mm
        Of the sphere with its volume, mm.
    hu
        Of its core, without noise.
    label
        Its value in `ChestPhantom.lesion_mask`.
    """

    centre_lps: Point
    centre_zyx: Point
    diameter_mm: float
    hu: float
    label: int


def lung_points(anatomy: Anatomy, rng: np.random.Generator, count: int) -> Floats:
    """(n, 3) points spread evenly over the lungs, n about a third of `count`."""
    reach = (anatomy.half_width, anatomy.half_depth, 150.0)
    points = (rng.uniform(-1, 1, (count, 3)) * reach).astype(np.float32)
    return points[anatomy.lung(*points.T) < 0]


def draw_nodules(
    anatomy: Anatomy, grid: Grid, points: Floats, count: int, rng: np.random.Generator
) -> list[Nodule]:
    """`count` nodules apart from each other, inside the lungs and the grid.

    Fewer where the grid shows too little of the lungs.
    """
    depths = -anatomy.lung(*points.T)
    nodules: list[Nodule] = []
    for point, depth in zip(points, depths, strict=True):
        if len(nodules) == count:
            break
        centre = (float(point[0]), float(point[1]), float(point[2]))
        diameter = float(np.round(rng.uniform(*DIAMETERS_MM), 1))
        if depth < diameter / 2 + _DEEP or not grid.holds(centre, diameter):
            continue
        if any(_gap(centre, diameter, other) < _APART for other in nodules):
            continue
        bumps = rng.standard_normal((4, 3)).astype(np.float32) * 1.8
        nodules.append(Nodule(centre, diameter, float(np.round(rng.uniform(15, 70))), bumps))
    return nodules


def paint_nodule(canvas: Canvas, mask: NDArray[np.uint8], nodule: Nodule, label: int) -> Lesion:
    """Paints `nodule`, writes `label` into `mask` where it covers half a voxel or more."""
    grid = canvas.grid
    edge = max(1.2, grid.spacing_zyx[2])
    centre = np.asarray(nodule.centre, np.float32)
    reach = np.float32(0.6 * nodule.diameter_mm + edge)
    box = window_of(grid, centre - reach, centre + reach)
    if box is not None:
        cover = _coverage(grid, box, nodule, edge)
        region = canvas.hu[box]
        region += cover * (np.float32(nodule.hu) - region)
        mask[box][cover >= 0.5] = label
    return Lesion(
        centre_lps=grid.lps_of(nodule.centre),
        centre_zyx=grid.index_of(nodule.centre),
        diameter_mm=nodule.diameter_mm,
        hu=nodule.hu,
        label=label,
    )


def _coverage(grid: Grid, box: tuple[slice, slice, slice], nodule: Nodule, edge: float) -> Floats:
    """Share (z, y, x) of each voxel of `box` inside the nodule."""
    x, y, z = (grid.axis(2 - n)[box[2 - n]] - np.float32(nodule.centre[n]) for n in range(3))
    z, count = average_slabs(z, grid.spacing_zyx[0], 1.0)
    away = np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), axis=-1)
    distance = np.linalg.norm(away, axis=-1)
    way = away / np.maximum(distance, 1e-3)[..., None]
    bumps = np.sin(way @ nodule.bumps.T).mean(axis=-1)
    radius = np.float32(nodule.diameter_mm / 2) * (1 + 2 * _BUMPS * bumps)
    cover = np.clip((radius - distance) / np.float32(edge) + 0.5, 0, 1)
    return cover.reshape(-1, count, *cover.shape[1:]).mean(axis=1)


def _gap(centre: Point, diameter: float, other: Nodule) -> float:
    distance = float(np.linalg.norm(np.subtract(centre, other.centre)))
    return distance - (diameter + other.diameter_mm) / 2
