"""Great vessels, airways, and the vessel trees of the lungs."""

from __future__ import annotations

import numpy as np

from hounsfield.phantom.anatomy import Anatomy
from hounsfield.phantom.grid import Floats
from hounsfield.phantom.tubes import Canvas, Tubes

__all__ = ["paint_airways", "paint_vessels"]

#: Vessels are followed down to this radius, mm, and to this depth under the pleura, mm.
_THINNEST, _PLEURA = 0.5, 3.0
_CARINA = (2.0, 16.0, 34.0)
#: Where the vessels of each lung begin, and the ways they first take (x away from the middle).
_HILUM = {-1: (-34.0, 6.0, 8.0), 1: (38.0, 8.0, 14.0)}
_FIRST_WAYS = np.array(
    [
        (0.35, -0.15, 1.0),
        (0.8, 0.25, 0.75),
        (0.75, -0.6, 0.45),
        (1.0, 0.1, 0.05),
        (0.7, -0.75, -0.35),
        (0.45, 0.75, 0.25),
        (0.75, 0.25, -0.75),
        (0.35, 0.65, -0.8),
        (0.25, 0.05, -1.0),
    ],
    dtype=np.float32,
)


def paint_vessels(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> None:
    """Paints the aorta and its peers, the pulmonary trunk, and two trees in each lung."""
    edge = max(1.0, canvas.grid.spacing_zyx[2])
    canvas.draw(_great_vessels(anatomy), anatomy.blood_hu, edge_mm=edge, carve=True)
    canvas.draw(_oesophagus(anatomy), 38, edge_mm=edge)
    for side in (-1, 1):
        for offset in ((0.0, -4.0, 8.0), (0.0, 6.0, -10.0)):  # arteries, veins
            root = np.asarray(_HILUM[side], np.float32) + np.asarray(offset, np.float32)
            tree = _tree(anatomy, root, side, rng)
            canvas.draw(tree, min(anatomy.blood_hu, 150.0), edge_mm=edge)


def paint_airways(canvas: Canvas) -> None:
    """Paints trachea and bronchi: a wall around air, no part of the lung."""
    edge = max(0.8, 0.8 * canvas.grid.spacing_zyx[2])
    airways = _airways()
    canvas.draw(airways.grown(1.3), 30, edge_mm=edge, carve=True)
    canvas.draw(airways, -990, edge_mm=edge)


def _airways() -> Tubes:
    parts = [
        Tubes.along([(0, -6, 175), (0, 6, 100), _CARINA], 8.6),
        Tubes.along([_CARINA, (-30, 12, 16), (-42, 14, -4)], [6.6, 6.0, 4.6]),
        Tubes.along([_CARINA, (28, 14, 14), (46, 17, 0)], [6.2, 5.6, 4.4]),
    ]
    for side, (x, y, z) in ((-1, (-32.0, 12.0, 14.0)), (1, (46.0, 17.0, 0.0))):
        upper = (x + side * 24, y - 8, z + 30)
        middle = (x + side * 26, y - 26, z - 16)
        lower = (x + side * 20, y + 22, z - 48)
        parts += [Tubes.along([(x, y, z), end], [3.9, 2.0]) for end in (upper, middle)]
        parts.append(Tubes.along([(x + side * 8, y + 3, z - 12), lower], [4.1, 2.1]))
        for hub, ways in (
            (upper, ((16, 12, 20), (14, -18, 12))),
            (lower, ((16, 8, -22), (-2, 14, -24), (14, -14, -18))),
        ):
            parts += [
                Tubes.along([hub, (hub[0] + side * a, hub[1] + b, hub[2] + c)], [1.8, 1.1])
                for a, b, c in ways
            ]
    return Tubes.joined(parts)


def _great_vessels(anatomy: Anatomy) -> Tubes:
    spine = anatomy.spine_y
    aorta = [
        (4, -26, -8), (-8, -32, 14), (-9, -28, 36), (0, -14, 52), (12, 6, 57), (20, 26, 52),
        (24, spine - 24, 34), (24, spine - 18, 0), (20, spine - 19, -60), (10, spine - 24, -170),
    ]  # fmt: skip
    return Tubes.joined(
        [
            Tubes.along(aorta, [16, 16, 15.5, 14.5, 14, 13.5, 12.5, 12, 11.5, 10.5]),
            Tubes.along([(-8, -24, 50), (-14, -22, 100), (-30, -20, 150)], 5.8),
            Tubes.along([(4, -8, 55), (6, -6, 95), (14, -12, 150)], 4.2),
            Tubes.along([(14, 6, 55), (17, 8, 105), (38, 2, 145)], 4.8),
            Tubes.along(
                [(-26, -24, -12), (-26, -22, 30), (-20, -22, 70), (-24, -18, 110), (-40, -20, 150)],
                9.0,
            ),
            Tubes.along([(-20, -24, 66), (8, -30, 76), (22, -18, 112), (40, -18, 150)], 6.5),
            Tubes.along([(-20, -6, -40), (-20, 14, -75), (-18, 30, -170)], 10.5),
            # The pulmonary trunk and its two arteries.
            Tubes.along([(22, -42, -16), (22, -32, 8), (18, -14, 22)], [13, 13, 12]),
            Tubes.along([(18, -14, 20), (-8, -2, 16), (-38, 4, 12)], [10, 9, 7]),
            Tubes.along([(20, -12, 22), (32, 4, 26), (42, 12, 14)], [10, 9, 7]),
        ]
    )


def _oesophagus(anatomy: Anatomy) -> Tubes:
    return Tubes.along(
        [(3, 22, 170), (4, 28, 60), (6, anatomy.spine_y - 26, 0), (18, 26, -80)], 6.0
    )


def _tree(anatomy: Anatomy, root: Floats, side: int, rng: np.random.Generator) -> Tubes:
    """One vessel tree, grown a generation at a time.

    Radii shrink by about the cube root of two at each fork (Murray's law), unevenly; a piece
    is about seven radii long; what would come too near to the pleura is not grown.
    """
    way = _unit(_FIRST_WAYS * (side, 1, 1) + 0.22 * rng.standard_normal(_FIRST_WAYS.shape))
    start = np.repeat(root[None], len(way), axis=0)
    radius = rng.uniform(3.2, 4.6, len(way)).astype(np.float32)
    length = np.full(len(way), 22, np.float32)
    parts: list[Tubes] = []
    while len(start):
        end = start + way * length[:, None]
        inside = -anatomy.lung(*end.T) > _PLEURA
        if parts:
            start, end, way, radius = start[inside], end[inside], way[inside], radius[inside]
        parts.append(Tubes(start, end, radius, 0.9 * radius))
        start, way, radius = _fork(end, way, radius, rng)
        length = np.clip(7 * radius * rng.uniform(0.7, 1.4, len(radius)), 7, 26)
        length = length.astype(np.float32)
    return Tubes.joined(parts)


def _fork(
    end: Floats, way: Floats, radius: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Two children of every piece, without those that became too thin."""
    major = rng.uniform(0.8, 0.95, len(radius))
    minor = rng.uniform(0.5, 0.8, len(radius))
    spread = rng.standard_normal((len(radius), 3))
    children = [_unit(way + 0.2 * spread), _unit(way - 0.55 * spread)]
    thin = np.concatenate([0.9 * radius * major, 0.9 * radius * minor]).astype(np.float32)
    keep = thin > _THINNEST
    both = np.concatenate(children)
    return np.concatenate([end, end])[keep], both[keep], thin[keep]


def _unit(way: Floats) -> Floats:
    return (way / np.linalg.norm(way, axis=1, keepdims=True)).astype(np.float32)
