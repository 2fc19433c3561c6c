"""Tubes: vessels, airways and bones as tapering capsules painted into a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.phantom.grid import Floats, Grid

__all__ = ["Canvas", "Tubes", "average_slabs", "window_of"]

#: In thick slices a thin vessel is averaged over this many millimetres at most.
_SUB_SLICE_MM = 1.6


@dataclass(frozen=True)
class Tubes:
    """Straight pieces from `start` to `end`, tapering from `start_mm` to `end_mm` in radius.

    Attributes
    ----------
    start, end
        (n, 3) scene coordinates (x, y, z), mm.
    start_mm, end_mm
        (n,) radii, mm.
    """

    start: Floats
    end: Floats
    start_mm: Floats
    end_mm: Floats

    @classmethod
    def along(
        cls, points: Sequence[Sequence[float]] | Floats, radii: Sequence[float] | float
    ) -> Tubes:
        """One tube through `points`, with one radius for all or one a point."""
        line = np.asarray(points, dtype=np.float32)
        radius = np.broadcast_to(np.asarray(radii, dtype=np.float32), len(line))
        return cls(line[:-1], line[1:], radius[:-1], radius[1:])

    @classmethod
    def joined(cls, parts: Sequence[Tubes]) -> Tubes:
        """All pieces of all `parts`, in their order."""
        names = ("start", "end", "start_mm", "end_mm")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def grown(self, by_mm: float) -> Tubes:
        """The same tubes with every radius `by_mm` larger, never under 0.1 mm."""
        radii = [np.maximum(r + np.float32(by_mm), 0.1) for r in (self.start_mm, self.end_mm)]
        return Tubes(self.start, self.end, *radii)

    def __len__(self) -> int:
        return len(self.start)


class Canvas:
    """A volume being painted.

    Attributes
    ----------
    hu
        (z, y, x) float32, Hounsfield units without noise.
    lung
        (z, y, x) bool: lung tissue with its small vessels, without airways and bones.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.hu: Floats = np.full(grid.shape, -1000, dtype=np.float32)
        self.lung = np.zeros(grid.shape, dtype=bool)
        self._axes = tuple(grid.axis(number) for number in (2, 1, 0))

    def draw(self, tubes: Tubes, hu: float, *, edge_mm: float, carve: bool = False) -> None:
        """Paints `tubes` with `hu`; edges fade over `edge_mm`.

        Parameters
        ----------
        carve
            Takes what is covered out of the lung.
        """
        for row in zip(tubes.start, tubes.end, tubes.start_mm, tubes.end_mm, strict=True):
            self._piece(*row, hu, edge_mm, carve)

    def _piece(
        self,
        start: Floats,
        end: Floats,
        start_mm: np.float32,
        end_mm: np.float32,
        hu: float,
        edge_mm: float,
        carve: bool,
    ) -> None:
        reach = max(start_mm, end_mm) + edge_mm
        low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
        box = window_of(self.grid, low, high)
        if box is None:
            return
        x, y, z = (axis[part] for axis, part in zip(self._axes, box[::-1], strict=True))
        z, count = average_slabs(z, self.grid.spacing_zyx[0], _SUB_SLICE_MM)
        cover = _coverage(x, y, z, start, end, start_mm, end_mm, edge_mm)
        if count > 1:
            cover = cover.reshape(-1, count, *cover.shape[1:]).mean(axis=1)
        region = self.hu[box]
        region += cover * (np.float32(hu) - region)
        if carve:
            self.lung[box] &= cover < 0.5


def window_of(grid: Grid, low: Floats, high: Floats) -> tuple[slice, slice, slice] | None:
    """Index ranges (z, y, x) of the voxels between the corners `low` and `high` (x, y, z), mm.

    None where the box lies outside. A slice whose centre is up to half its thickness away
    still belongs to it.
    """
    parts = []
    for axis, count in enumerate(grid.shape):
        step = grid.spacing_zyx[axis]
        middle = (count - 1) / 2
        slack = 0.5 if axis == 0 else 0.0
        first = max(0, int(np.ceil(low[2 - axis] / step + middle - slack)))
        last = min(count - 1, int(np.floor(high[2 - axis] / step + middle + slack)))
        if first > last:
            return None
        parts.append(slice(first, last + 1))
    return parts[0], parts[1], parts[2]


def average_slabs(z: Floats, thickness: float, fine_mm: float) -> tuple[Floats, int]:
    """Heights inside each slab of `thickness`, and how many a slab, to average over it."""
    count = max(1, round(thickness / fine_mm))
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * thickness
    return (z[:, None] + offsets.astype(np.float32)).ravel(), count


def _coverage(
    x: Floats,
    y: Floats,
    z: Floats,
    start: Floats,
    end: Floats,
    start_mm: np.float32,
    end_mm: np.float32,
    edge_mm: float,
) -> Floats:
    """Share (z, y, x), 0 to 1, of each voxel inside one tapering capsule."""
    way = end - start
    length_2 = max(float(way @ way), 1e-6)
    dx, dy, dz = x - start[0], y - start[1], z - start[2]
    # |p - start|² and its part along the way are sums over the axes: broadcast once each.
    along = (dz * way[2])[:, None, None] + ((dy * way[1])[:, None] + dx * way[0])[None]
    away_2 = (dz**2)[:, None, None] + ((dy**2)[:, None] + dx**2)[None]
    share = np.clip(along / np.float32(length_2), 0, 1)
    away_2 += share * (share * np.float32(length_2) - 2 * along)
    distance = np.sqrt(np.maximum(away_2, 0, out=away_2), out=away_2)
    inside = (start_mm + (end_mm - start_mm) * share - distance) / np.float32(edge_mm)
    return np.clip(inside + np.float32(0.5), 0, 1)
