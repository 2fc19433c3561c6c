"""De-facing: what shows a face in a head CT or MR is cut away before the brain.

A head scan can be rendered to a face that its friends recognise, and no header tells. Here a
wedge in front of and below the brain is filled with background. Its upper plane leans by 45
degrees and touches the brain's hull at a margin; a coronal plane and a lower end keep the
pharynx, the spine and the neck. The way of Quickshear (Schimke and Hale, 2011): nothing but
the brain has to be found, and a plane keeps no shape of the face, as a thin band would.

Limits
------
Ears, the jaw's angle and the forehead's curve stay. Eyes, nose, sinuses, teeth and the front
of the jaw are gone, so such a volume is of no use to who studies those. What says neither in
BodyPartExamined nor in its descriptions that it is a head is left alone. The de-identified
DICOM files are left alone too: this is about volumes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from pydicom.dataset import Dataset
from scipy import ndimage

from hounsfield.dicom.codecs import decode
from hounsfield.dicom.reading import read_lazily
from hounsfield.errors import GeometryError
from hounsfield.volume.series import Source, Stack

__all__ = ["METHOD", "FaceCut", "cut_of", "face_planes", "shows_a_head"]

#: Goes into the volume's metadata and into the product's identity: change it with the rules.
METHOD: Final = "plane before the brain, 1"

_MM = 3.0  # of the grid on which the brain is looked for
_LEAN = np.array([0.0, -1.0, -1.0]) / np.sqrt(2)  # forwards and down, LPS
_FORWARDS = np.array([0.0, -1.0, 0.0])
_UPWARDS = np.array([0.0, 0.0, 1.0])
_MARGIN_MM = 6.0  # between the brain's hull and the cut
_DEPTH_MM = 45.0  # how far behind the point of touch the wedge reaches
_HEIGHT_MM = 160.0  # how far below it
_BRAIN_HEIGHT_MM = 150.0  # below the vertex there is no brain any more
_UPPER_MM = 90.0  # of the head that is brain for the most part
_BRAIN_ML = (150.0, 2500.0)
_VENTRICLES_ML = 150.0
_BONE_HU = 150.0

# Modality → half the widths (mm) of the gaps through which the brain must not run out, tried
# one after the other. CT: the foramen magnum, or a hole in the skull. MR: brain and scalp are
# parted by the dark skull, and what is thinner than this is scalp.
_GAPS_MM = {"CT": (15.0, 18.0, 21.0, 24.0), "MR": (13.0, 10.0)}
_REGROWTH_MM = 3.0

_HEAD = re.compile(
    r"HEAD|BRAIN|SKULL|CRANI|CRANE|CEREBR|CÉRÉBR|NEURO|FACE|FACIAL|SINUS|ORBIT|SCHÄDEL|KOPF|"
    r"HIRN|TESTA|CABEZA|TÊTE|\bIAC\b|STEREOTAX",
    re.IGNORECASE,
)
_SAYING = ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName")


#: Normal and offset of each plane.
Planes: TypeAlias = tuple[tuple[tuple[float, ...], float], ...]


@dataclass(frozen=True)
class FaceCut:
    """What is filled: voxels on the far side of every plane.

    Attributes
    ----------
    planes
        (normal, offset): LPS, mm; a voxel is in the wedge where normal · position > offset.
    fill
        The stored value that it gets.
    affine
        Of the volume: maps (column, row, slice, 1) to LPS mm.
    """

    planes: Planes
    fill: int | float
    affine: np.ndarray

    def mask(self, index: int, shape: tuple[int, int]) -> np.ndarray:
        """Which voxels of slice `index` are in the wedge; axes (row, column)."""
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        inside = np.ones(shape, bool)
        for normal, offset in self.planes:
            along = np.asarray(normal) @ self.affine[:3]
            inside &= along[0] * columns + along[1] * rows + along[2] * index + along[3] > offset
        return inside

    def to_dict(self) -> dict[str, Any]:
        """For the volume's metadata."""
        return {
            "planes": [[list(normal), offset] for normal, offset in self.planes],
            "fill": self.fill,
        }


def shows_a_head(dataset: Dataset) -> bool:
    """Whether a CT or MR says that it is of a head, in BodyPartExamined or a description."""
    if dataset.get("Modality") not in _GAPS_MM:
        return False
    return any(_HEAD.search(str(dataset.get(keyword) or "")) for keyword in _SAYING)


def cut_of(stack: Stack) -> FaceCut | None:
    """Where the face of a series is; None where it does not say that it shows a head.

    Raises
    ------
    GeometryError
        As :func:`face_planes`, or the slices are not equally far apart.
    UndecodablePixels, UnreadableFile
        The series cannot be read.
    """
    geometry = stack.geometry
    if geometry is None or not shows_a_head(_open(stack.slices[0].source)):
        return None
    if not geometry.regular:
        raise GeometryError(
            "a face is to be removed from slices that are not equally far apart",
            remedy="set deface to false where faces may stay",
        )
    step = max(1, int(0.5 * _MM / max(geometry.spacing_zyx[1:])))
    planes, fill = [], np.inf
    # Of echoes, phases and the like the first shows where the face is; the others lie with it.
    for item in stack.slices[: geometry.shape_zyx[0]]:
        stored = decode(_open(item.source), frame=item.frame)[0]
        fill = min(fill, stored.min().item())
        planes.append(_shrunk(stored, step) * item.slope + item.intercept)
    # The middle of the first block of pixels.
    coarse = np.diag([step, step, 1.0, 1.0])
    coarse[:2, 3] = (step - 1) / 2
    affine = geometry.affine
    wedge = face_planes(np.stack(planes), affine @ coarse, stack.header.Modality)
    return FaceCut(wedge, fill, affine)


def face_planes(values: np.ndarray, affine: np.ndarray, modality: str) -> Planes:
    """Where the face of a head is.

    Parameters
    ----------
    values
        HU for CT, any unit for MR; axes (slice, row, column).
    affine
        Maps (column, row, slice, 1) to LPS mm.
    modality
        "CT" or "MR".

    Returns
    -------
    Planes
        As :attr:`FaceCut.planes`.

    Raises
    ------
    GeometryError
        No brain is found, so nobody can say where the face is: the volume is not made.
    """
    grid, origin = _isotropic(values, affine)
    brain = _brain(grid, modality)
    millilitres = _millilitres(brain)
    if not _BRAIN_ML[0] <= millilitres <= _BRAIN_ML[1]:
        raise GeometryError(
            f"a face is to be removed, and no brain was found ({millilitres:.0f} ml)",
            remedy="look at the series; set deface to false where faces may stay",
        )
    points = np.argwhere(brain)[:, ::-1] * _MM + origin
    touch = points[(points @ _LEAN).argmax()]
    planes = (
        (_LEAN, float(touch @ _LEAN) + _MARGIN_MM),
        (_FORWARDS, float(touch @ _FORWARDS) - _DEPTH_MM),
        (_UPWARDS, float(touch @ _UPWARDS) - _HEIGHT_MM),
    )
    return tuple((tuple(normal.round(6).tolist()), round(offset, 3)) for normal, offset in planes)


def _open(source: Source) -> Dataset:
    return source if isinstance(source, Dataset) else read_lazily(source)


def _shrunk(plane: np.ndarray, step: int) -> np.ndarray:
    """Means over blocks of step by step pixels, float32; what is over at the ends is left out."""
    rows, columns = (size // step for size in plane.shape)
    blocks = plane[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _isotropic(values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The volume on axes (S, P, L) of one spacing, and the LPS position of its first voxel."""
    last = np.array(values.shape[::-1]) - 1.0
    corners = np.array([[(i >> axis & 1) * last[axis] for axis in range(3)] for i in range(8)])
    placed = corners @ affine[:3, :3].T + affine[:3, 3]
    origin = placed.min(axis=0)
    shape = np.ceil((placed.max(axis=0) - origin) / _MM).astype(int) + 1
    inverse = np.linalg.inv(affine)
    # From (z, y, x) of the grid to (slice, row, column) of the volume.
    matrix = inverse[2::-1, 2::-1] * _MM
    offset = (inverse[:3, :3] @ origin + inverse[:3, 3])[::-1]
    smooth = ndimage.uniform_filter(values.astype(np.float32), _window(affine))
    background = float(values.min())
    grid = ndimage.affine_transform(
        smooth, matrix, offset, tuple(shape[::-1]), order=1, cval=background
    )
    return grid, origin


def _window(affine: np.ndarray) -> tuple[int, ...]:
    """Voxels along (slice, row, column) that one voxel of the grid spans."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    return tuple(int(max(1, round(_MM / mm))) for mm in spacing)


def _brain(grid: np.ndarray, modality: str) -> np.ndarray:
    """What the skull encloses (CT), or the thickest bright part of the head (MR)."""
    if modality == "CT":
        head = grid > _BONE_HU
        room = ~head
    else:
        head = grid > _dark(grid)
        room = head | _ventricles(head)
    upper = _near_the_vertex(head, _BRAIN_HEIGHT_MM)
    away = ndimage.distance_transform_edt(room, sampling=_MM)
    brain = np.zeros_like(room)
    for gap in _GAPS_MM[modality]:
        brain = _grown(_largest(_without_sides(away > gap) & upper), room, gap)
        if _millilitres(brain) >= _BRAIN_ML[0]:
            break
    return brain


def _ventricles(head: np.ndarray) -> np.ndarray:
    """Dark holes in the brain; the skull is one too where the scalp closes over it, but large."""
    labels, _ = ndimage.label(~head)
    small = np.bincount(labels.ravel()) * _MM**3 / 1000 < _VENTRICLES_ML
    return small[labels] & ~head


def _grown(core: np.ndarray, room: np.ndarray, gap: float) -> np.ndarray:
    """Back to what was eroded and a little further, but not into the wall."""
    if not core.any():
        return core
    near = ndimage.distance_transform_edt(~core, sampling=_MM) <= gap + _REGROWTH_MM
    return near & room


def _largest(parts: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(parts)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (labels == sizes.argmax()) & parts


def _millilitres(mask: np.ndarray) -> float:
    return float(mask.sum()) * _MM**3 / 1000


def _dark(grid: np.ndarray) -> float:
    """Air and skull are below: a share of the middle of the head's upper part, which is brain."""
    head = grid > grid.mean()
    upper = grid[head & _near_the_vertex(head, _UPPER_MM)]
    return 0.6 * float(np.median(upper)) if upper.size else 0.0


def _without_sides(core: np.ndarray) -> np.ndarray:
    """Parts that do not reach the sides of the volume: something closes them in."""
    labels, _ = ndimage.label(core)
    sides = (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1])
    outside = np.unique(np.concatenate([side.ravel() for side in sides]))
    return core & ~np.isin(labels, outside)


def _near_the_vertex(head: np.ndarray, height_mm: float) -> np.ndarray:
    """Planes from the top of the head down to a height; axes (S, 1, 1)."""
    share = head.mean(axis=(1, 2))
    top = int(np.flatnonzero(share > 0.002).max(initial=0))
    return (np.arange(len(head)) > top - height_mm / _MM)[:, None, None]
