"""The outlines of a chest, as signed distances: negative inside, in millimetres.

Every function takes scene coordinates (x to the left, y backwards, z headwards) as arrays
that broadcast, so that the same outline serves a plane of voxels and a list of points.
The distances are approximate (scaled implicit functions): good for soft edges and for
keeping things apart by a few millimetres, which is what they are used for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hounsfield.phantom.fields import Field
from hounsfield.phantom.grid import Floats, Real

__all__ = ["Anatomy", "ellipse", "oval"]

#: Height of the top of the lungs above the middle of the chest, mm.
APEX = 132.0
#: Below this height the rib cage keeps its width, mm.
_WAIST = -25.0


@dataclass(frozen=True)
class Anatomy:
    """What is drawn once for a patient.

    Attributes
    ----------
    half_width, half_depth
        Of the trunk, mm.
    fat, wall
        Thickness of fat under the skin, and of muscle with ribs, mm.
    dome
        Height of the right diaphragm's top, mm.
    heart
        Scale of the heart, 1 for average.
    lung_hu, blood_hu
        Mean density of aerated lung, and of blood (enhanced or not), HU.
    warp_x, warp_y
        Fields that bend every outline, by `bend` mm.
    """

    half_width: float
    half_depth: float
    fat: float
    wall: float
    dome: float
    heart: float
    lung_hu: float
    blood_hu: float
    bend: float
    warp_x: Field
    warp_y: Field

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, contrast: bool) -> Anatomy:
        """An adult, by the numbers of `rng`."""
        fat, wall = rng.uniform(8, 24), rng.uniform(19, 25)
        return cls(
            half_width=rng.uniform(128, 142) + fat + wall,
            half_depth=rng.uniform(84, 93) + 0.7 * fat + wall,
            fat=fat,
            wall=wall,
            dome=rng.uniform(-72, -50),
            heart=rng.uniform(0.9, 1.12),
            lung_hu=rng.uniform(-868, -838),
            blood_hu=rng.uniform(170, 260) if contrast else rng.uniform(38, 46),
            bend=2.2,
            warp_x=Field.drawn(rng, mm=(45, 160), count=10),
            warp_y=Field.drawn(rng, mm=(45, 160), count=10),
        )

    # The trunk.

    def body(self, x: Floats, y: Floats, z: Real) -> Floats:
        """The skin. Shoulders narrow towards the neck; the arms are raised out of view."""
        narrow = 1 - 0.42 * _step(z, 100, 175)
        return oval(x / narrow, y / (1 - 0.15 * _step(z, 95, 170)), *self._trunk)

    def muscle(self, x: Floats, y: Floats, z: Real) -> Floats:
        """Outer border of muscle: fat is thick in front and at the sides, thin at the back."""
        fat = self.fat * (1.0 - 0.45 * _step(y, 0, 70))
        return self.body(x, y, z) + fat

    def cage(self, x: Floats, y: Floats, z: Real) -> Floats:
        """The inner surface of the ribs."""
        half_width, half_depth, middle = self.cage_axes(z)
        return oval(x, y - middle, half_width, half_depth)

    def cage_axes(self, z: Real) -> tuple[Floats, Floats, float]:
        """Half-axes (x, y) of the rib cage at height `z`, and its middle in y, mm."""
        rise = np.clip((np.asarray(z, np.float32) - _WAIST) / (APEX + 4 - _WAIST), 0, 0.9995)
        scale = np.sqrt(1 - rise * rise * np.sqrt(rise))
        wide = self.half_width - self.fat - self.wall
        deep = self.half_depth - 0.7 * self.fat - self.wall
        return wide * scale, deep * (0.28 + 0.72 * scale), -4.0

    # Inside.

    def lung(self, x: Floats, y: Floats, z: Real) -> Floats:
        """Both lungs: the rib cage without spine, mediastinum, heart and diaphragm."""
        return np.maximum.reduce(
            np.broadcast_arrays(
                self.cage(x, y, z) + 2.5,
                24 - np.hypot(x, y - self.spine_y),
                self._mediastinum(y, z) - np.abs(x - 4),
                4 - self.heart_muscle(x, y, z),
                0.75 * (self.diaphragm(x, y) - z),
            )
        )

    def diaphragm(self, x: Floats, y: Floats) -> Floats:
        """Height of the diaphragm, two domes, the right one higher, mm."""
        right = self.dome - ((x + 66) / 9.0) ** 2 * 0.55 - ((y + 12) / 9.5) ** 2 * 0.75
        left = self.dome - 13 - ((x - 68) / 9.0) ** 2 * 0.55 - ((y + 8) / 9.5) ** 2 * 0.75
        return np.maximum(right, left)

    def heart_muscle(self, x: Floats, y: Floats, z: Real, shrink: float = 0.0) -> Floats:
        """The heart, its long axis to the left, forwards and down; `shrink` mm smaller."""
        u, v, w = x - 20, y + 24, z + 38
        a = (0.78 * u - 0.50 * v - 0.38 * w) / (62 * self.heart - shrink)
        b = (0.54 * u + 0.84 * v) / (45 * self.heart - shrink)
        c = (0.32 * u - 0.20 * v + 0.92 * w) / (46 * self.heart - shrink)
        return (np.sqrt(a * a + b * b + c * c) - 1) * 45

    def chambers(self, x: Floats, y: Floats, z: Real) -> Floats:
        """Blood in the ventricles and atria."""
        left = _ball(x, y, z, (38, -30, -52), (30, 20, 24))
        right = _ball(x, y, z, (4, -44, -44), (26, 17, 30))
        atria = np.minimum(
            _ball(x, y, z, (12, 4, -18), (30, 16, 20)),
            _ball(x, y, z, (-24, -26, -26), (17, 22, 24)),
        )
        inside = np.minimum(np.minimum(left, right), atria)
        return np.maximum(inside, self.heart_muscle(x, y, z, 4.0))

    @property
    def spine_y(self) -> float:
        """Middle of the vertebral bodies, mm behind the middle of the chest."""
        return self.half_depth - 0.7 * self.fat - self.wall - 15

    def _mediastinum(self, y: Real, z: Real) -> Floats:
        """Half-width of what lies between the lungs, mm."""
        y, z = np.asarray(y, np.float32), np.asarray(z, np.float32)
        hilum = 27 * np.exp(-(((z - 5) / 45) ** 2))
        top = 20 * _step(z, 30, 75)
        front = np.where(y < 0, 30 + 0.7 * top, 36)
        away = np.square(np.square((y - 4) / front))
        return 5 + (8 + hilum + top) * np.exp(-away)

    @property
    def _trunk(self) -> tuple[float, float]:
        return self.half_width, self.half_depth


def oval(x: Floats, y: Floats, half_width: Real, half_depth: Real) -> Floats:
    """An ellipse with fuller corners, as trunks have."""
    u, v = (x / half_width) ** 2, (y / half_depth) ** 2
    round_, square = np.sqrt(u + v), np.sqrt(np.sqrt(u * u + v * v))
    return (0.55 * round_ + 0.45 * square - 1) * (0.5 * (half_width + half_depth))


def ellipse(x: Floats, y: Floats, centre: tuple[float, float], half: tuple[float, float]) -> Floats:
    """An ellipse in an axial plane."""
    u, v = (x - centre[0]) / half[0], (y - centre[1]) / half[1]
    return (np.sqrt(u * u + v * v) - 1) * min(half)


def _ball(
    x: Floats,
    y: Floats,
    z: Real,
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
) -> Floats:
    u, v, w = ((p - c) / h for p, c, h in zip((x, y, z), centre, half, strict=True))
    return (np.sqrt(u * u + v * v + w * w) - 1) * min(half)


def _step(value: Real, low: float, high: float) -> Floats:
    """0 up to `low`, 1 from `high`, smooth between."""
    t = np.clip((np.asarray(value, np.float32) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
