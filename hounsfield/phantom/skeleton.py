"""Ribs, sternum, shoulder blades, collar bones and the spine's processes, as tubes."""

from __future__ import annotations

import numpy as np

from hounsfield.phantom.anatomy import Anatomy
from hounsfield.phantom.grid import Floats
from hounsfield.phantom.tubes import Canvas, Tubes

__all__ = ["paint_skeleton"]

_CORTICAL_HU, _SPONGY_HU, _CARTILAGE_HU = 560.0, 190.0, 95.0
#: Height of the first rib at the spine and distance of one to the next, mm.
_FIRST_RIB, _RIB_STEP, _RIBS = 122.0, 25.0, 11


def paint_skeleton(canvas: Canvas, anatomy: Anatomy) -> None:
    """Paints every bone but the vertebral bodies."""
    edge = max(1.0, canvas.grid.spacing_zyx[2])
    ribs = [_rib(anatomy, number, side) for number in range(_RIBS) for side in (-1, 1)]
    bones = Tubes.joined([bone for bone, _ in ribs])
    cartilage = Tubes.joined([soft for _, soft in ribs if len(soft)])
    canvas.draw(cartilage, _CARTILAGE_HU, edge_mm=edge, carve=True)
    for tubes, wall in (
        (bones, 1.7),
        (_processes(anatomy), 1.5),
        (_sternum(anatomy), 1.5),
        (_shoulders(anatomy), 1.5),
    ):
        canvas.draw(tubes, _CORTICAL_HU, edge_mm=edge, carve=True)
        canvas.draw(tubes.grown(-wall), _SPONGY_HU, edge_mm=edge)


def _rib(anatomy: Anatomy, number: int, side: int) -> tuple[Tubes, Tubes]:
    """Bone and cartilage of one rib: from the spine around and down to the front."""
    turn = np.linspace(0.10, 0.93, 30) * np.pi  # 0 at the spine, pi at the sternum
    height = _FIRST_RIB - _RIB_STEP * number
    droop = 58 - 20 * np.exp(-number / 2)
    z = (height - droop * (turn / np.pi) ** 1.1).astype(np.float32)
    wide, deep, middle = anatomy.cage_axes(z)
    x = side * (wide + 5.0) * np.sin(turn)
    y = middle + (deep + 5.0) * np.cos(turn)
    corner = (x / (wide + 5.0)) ** 4 + ((y - middle) / (deep + 5.0)) ** 4
    swell = 1 / (0.55 + 0.45 * corner**0.25)  # the cage is an oval with fuller corners
    line = np.stack([x * swell, middle + (y - middle) * swell, z], axis=1).astype(np.float32)
    bone_end = 24 if number < 7 else 24 - 3 * (number - 6)
    radius = 4.4 if number else 3.8
    soft = line[bone_end - 1 :] if number < 7 else line[:1]
    return Tubes.along(line[:bone_end], radius), Tubes.along(soft, radius + 0.8)


def _processes(anatomy: Anatomy) -> Tubes:
    """Spinous and transverse processes, one set a vertebra."""
    back = anatomy.spine_y + 30
    skin = anatomy.half_depth - 9
    parts = []
    for height in np.arange(-162.5, 170, 25.0):
        parts.append(Tubes.along([(0, back, height), (0, min(back + 17, skin), height - 14)], 3.4))
        parts += [
            Tubes.along([(9 * side, back - 8, height), (29 * side, back - 2, height + 4)], 3.6)
            for side in (-1, 1)
        ]
    return Tubes.joined(parts)


def _sternum(anatomy: Anatomy) -> Tubes:
    """Columns side by side: a plate that follows the front of the cage."""
    z = np.linspace(72, -72, 12).astype(np.float32)
    _, deep, middle = anatomy.cage_axes(z)
    front = np.minimum(middle - deep - 1.0, -52)
    widths = np.where(z > 45, 11.0, 7.0)
    columns = [
        Tubes.along(np.stack([side * widths, front, z], axis=1), 5.6)
        for side in (-1, -0.5, 0, 0.5, 1)
    ]
    return Tubes.joined(columns)


def _shoulders(anatomy: Anatomy) -> Tubes:
    """Shoulder blades behind the upper ribs, collar bones in front of the first."""
    parts = []
    for side in (-1, 1):
        outer = anatomy.half_width - anatomy.fat
        for share in np.linspace(0, 1, 14):
            top = (side * (62 + 62 * share), 84.0 - 34 * share, 118.0 - 8 * share)
            tip = (side * (74 + 34 * share), 90.0 - 24 * share, 8.0 + 66 * share)
            parts.append(Tubes.along(_line(top, tip), 3.2))
        inner = 88.0
        _, deep, middle = anatomy.cage_axes(inner)
        front = float(middle - deep) - 9
        collar = [
            (16 * side, front, inner),
            (70 * side, front + 4, 114),
            (outer * 0.8 * side, -16, 134),
        ]
        parts.append(Tubes.along(collar, 5.2))
    return Tubes.joined(parts)


def _line(a: tuple[float, float, float], b: tuple[float, float, float]) -> Floats:
    return np.linspace(a, b, 4).astype(np.float32)
