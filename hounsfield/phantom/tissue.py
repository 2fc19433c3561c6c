"""Tissue: every outline of the anatomy filled, plane by plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hounsfield.phantom.anatomy import Anatomy, ellipse
from hounsfield.phantom.fields import Field
from hounsfield.phantom.grid import Floats, Real
from hounsfield.phantom.tubes import Canvas

__all__ = ["EMPHYSEMA_HU", "Tissue"]

#: Density of destroyed lung; the emphysema index counts voxels below -950 HU.
EMPHYSEMA_HU = -988.0
#: Width of the border of an emphysema patch, in standard deviations of its field.
_PATCH_EDGE = 0.35
#: Height of one vertebra with its disc, and of the disc, mm.
_VERTEBRA, _DISC = 25.0, 5.5


@dataclass(frozen=True)
class Tissue:
    """How the tissues of one patient look.

    Attributes
    ----------
    emphysema
        Wanted share of the lung, 0 to 1.
    patches
        The field whose highest parts are emphysema.
    grain, streaks
        Fields that make lung and muscle uneven.
    table
        Whether the patient lies on the scanner's table.
    """

    anatomy: Anatomy
    emphysema: float
    patches: Field
    grain: Field
    streaks: Field
    table: bool

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, anatomy: Anatomy, *, emphysema: float, table: bool
    ) -> Tissue:
        """Tissues by the numbers of `rng`."""
        return cls(
            anatomy=anatomy,
            emphysema=emphysema,
            patches=Field.drawn(rng, mm=(9, 42), count=40),
            grain=Field.drawn(rng, mm=(12, 90), count=20),
            streaks=Field.drawn(rng, mm=(18, 110), count=24),
            table=table,
        )

    def paint(self, canvas: Canvas, lung_points: Floats) -> None:
        """Fills `canvas`.

        Parameters
        ----------
        lung_points
            (n, 3) points spread evenly over the lung: they set the threshold that gives the
            wanted share of emphysema.
        """
        x, y = canvas.grid.axis(2), canvas.grid.axis(1)
        threshold = self._threshold(lung_points)
        edge = max(1.0, 0.9 * canvas.grid.spacing_zyx[2])
        for index, z in enumerate(canvas.grid.axis(0)):
            plane = _Plane(canvas.hu[index], self.anatomy, x, y, float(z), edge)
            if self.table:
                self._table(plane, x, y)
            self._trunk(plane, self.streaks.on_plane(x, y, plane.z))
            self._belly(plane)
            canvas.lung[index] = self._lungs(plane, x, y, threshold)
            self._heart(plane)
            _spine(plane, self.anatomy.spine_y)

    def _threshold(self, lung_points: Floats) -> float:
        if self.emphysema <= 0:
            return np.inf
        values = self._patchiness(self.patches.at(lung_points), lung_points[:, 2])
        # Half the border lies below the threshold and is not below -950 HU yet.
        return float(np.quantile(values, 1 - self.emphysema)) - 0.22 * _PATCH_EDGE

    @staticmethod
    def _patchiness(field: Floats, z: Real) -> Floats:
        return field + np.asarray(z, np.float32) * np.float32(0.006)  # smoke harms the top first

    def _table(self, plane: _Plane, x: Floats, y: Floats) -> None:
        # The cradle: a shallow arc of carbon fibre around foam, right under the back.
        top = self.anatomy.half_depth + 3
        depth = (y[:, None] - top) + (x[None] / 30.0) ** 2 * 0.9
        sides = np.abs(x)[None] - 205
        plane.fill(np.maximum(np.abs(depth - 14) - 14, sides), -930)
        plane.fill(np.maximum(np.abs(np.abs(depth - 14) - 12.5) - 1.5, sides), -150)

    def _trunk(self, plane: _Plane, streaks: Floats) -> None:
        anatomy, at = self.anatomy, plane.at
        body = anatomy.body(*at)
        plane.fill(body, 20)
        plane.fill(body + 2.0, -104 + 6 * streaks)
        muscle = anatomy.muscle(*at)
        plane.fill(muscle, 54 + 8 * streaks)
        # Planes of fat between the muscles, where the streaks cross zero.
        cage = anatomy.cage(*at)
        gaps = np.abs(streaks) * 14 - 1.0
        plane.fill(np.maximum.reduce([gaps, muscle + 4, 9 - cage]), -90)
        plane.fill(cage, -88 + 8 * streaks)

    def _belly(self, plane: _Plane) -> None:
        anatomy, (x, y, z) = self.anatomy, plane.at
        below = np.maximum(anatomy.cage(x, y, z) + 4, 0.75 * (z - anatomy.diaphragm(x, y)) + 3)
        if below.min() > 2:
            return
        enhanced = 0.3 * (anatomy.blood_hu - 42)
        liver = np.maximum(below, ellipse(x, y, (-52, -8), (92, 78)))
        plane.fill(liver, 60 + enhanced)
        plane.fill(np.maximum(below, ellipse(x, y, (88, 32), (36, 42))), 50 + 1.3 * enhanced)
        stomach = np.maximum(below + 4, ellipse(x, y, (58, -26), (38, 34)))
        plane.fill(stomach, 38)
        plane.fill(np.maximum(stomach + 5, y + 40), -900)

    def _lungs(self, plane: _Plane, x: Floats, y: Floats, threshold: float) -> np.ndarray:
        anatomy, z = self.anatomy, plane.z
        outline = anatomy.lung(*plane.at)
        inside = outline < 0
        if not inside.any():
            return inside
        gravity = 0.22 * (y[:, None] - 10)  # dependent lung holds more blood
        hu = anatomy.lung_hu + gravity + 11 * self.grain.on_plane(x, y, z)
        if np.isfinite(threshold):
            field = self._patchiness(self.patches.on_plane(x, y, z), z)
            share = np.clip((field - np.float32(threshold)) / _PATCH_EDGE + 0.5, 0, 1)
            hu += share * (EMPHYSEMA_HU - hu)
        plane.fill(outline, hu)
        return inside

    def _heart(self, plane: _Plane) -> None:
        anatomy, at = self.anatomy, plane.at
        wall = anatomy.heart_muscle(*at)
        if wall.min() > 5:
            return
        allowed = np.maximum(wall, anatomy.cage(*at) + 7)
        enhanced = 0.25 * (anatomy.blood_hu - 42)
        plane.fill(allowed, 48 + enhanced)
        plane.fill(np.maximum(anatomy.chambers(*at), allowed + 5), anatomy.blood_hu)


class _Plane:
    """One axial plane, with its coordinates bent as the patient is."""

    def __init__(
        self, hu: Floats, anatomy: Anatomy, x: Floats, y: Floats, z: float, edge: float
    ) -> None:
        self.hu = hu
        self.z = z
        self._edge = np.float32(edge)
        bend = np.float32(anatomy.bend)
        self.at = (
            x[None] + bend * anatomy.warp_x.on_plane(x, y, z),
            y[:, None] + bend * anatomy.warp_y.on_plane(x, y, z),
            z,
        )

    def fill(self, outline: Floats, hu: Real) -> None:
        """Paints where `outline` is negative, fading over the edge."""
        cover = np.clip(np.float32(0.5) - outline / self._edge, 0, 1)
        self.hu += cover * (np.asarray(hu, np.float32) - self.hu)


def _spine(plane: _Plane, centre: float) -> None:
    x, y, z = plane.at
    # The edge of the bodies rounds towards the disc, as end plates do.
    phase = abs((float(z) + 400) % _VERTEBRA - _VERTEBRA / 2)
    in_disc = float(np.clip((phase - (_VERTEBRA - _DISC) / 2) / 1.5 + 0.5, 0, 1))
    waist = 1.2 * (1 - phase / (_VERTEBRA / 2))
    body = ellipse(x, y, (0, centre), (17.5, 14.5)) + waist
    shell = 430 + in_disc * (95 - 430)
    core = 175 + in_disc * (85 - 175)
    plane.fill(body, shell)
    plane.fill(body + 2.2, core)
    arch = ellipse(x, y, (0, centre + 22), (14, 12))
    plane.fill(arch, 380 * (1 - in_disc) + 60 * in_disc)
    plane.fill(ellipse(x, y, (0, centre + 21), (9.5, 8)), 22)
