"""Smooth random fields: what makes tissue uneven and outlines irregular."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hounsfield.phantom.grid import Floats

__all__ = ["Field"]


@dataclass(frozen=True)
class Field:
    """A sum of cosine waves of random direction: zero mean, unit variance, no grid.

    The field is defined at every point of the scene, so one seed gives one patient at any
    resolution.

    Attributes
    ----------
    waves
        Angular wave numbers (kx, ky, kz), one row a wave, in 1/mm.
    phases
        Phases, radians.
    """

    waves: Floats
    phases: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, mm: tuple[float, float], count: int) -> Field:
        """`count` waves whose lengths lie between the two of `mm`."""
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = np.exp(rng.uniform(math.log(mm[0]), math.log(mm[1]), (count, 1)))
        waves = direction * (2 * np.pi / length)
        phases = rng.uniform(0, 2 * np.pi, count)
        return cls(waves.astype(np.float32), phases.astype(np.float32))

    def on_plane(self, x: Floats, y: Floats, z: float) -> Floats:
        """Values (y, x) on the axial plane at height `z`, for the axes `x` and `y` in mm."""
        kx, ky, kz = self.waves.T
        along = np.outer(x, kx) + (kz * np.float32(z) + self.phases)
        across = np.outer(y, ky)
        # cos(a + b) as a product of two thin matrices: 30 times faster than a cosine a voxel.
        left = np.hstack([np.cos(across), np.sin(across)])
        right = np.hstack([np.cos(along), -np.sin(along)])
        return np.float32(self._scale) * (left @ right.T)

    def at(self, points: Floats) -> Floats:
        """Values at `points` (n, 3), each (x, y, z) in mm."""
        return np.float32(self._scale) * np.cos(points @ self.waves.T + self.phases).sum(axis=1)

    @property
    def _scale(self) -> float:
        return float(np.sqrt(2 / len(self.phases)))
