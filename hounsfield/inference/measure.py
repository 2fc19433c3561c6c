"""Sizes of a lesion in millimetres, from its voxels and the volume's affine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

__all__ = ["centroid_lps", "long_axis_mm", "volume_mm3"]

# A voxel ends half a step from its centre: the outline runs through the middles of its edges.
_EDGES_YX = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])


def centroid_lps(voxels: NDArray[np.intp], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre (x, y, z) in LPS millimetres.

    Parameters
    ----------
    voxels
        (n, 3) zero-based indices (z, y, x).
    affine
        4x4: (x, y, z, 1) to LPS millimetres.
    """
    return affine[:3, :3] @ voxels.mean(axis=0)[::-1] + affine[:3, 3]


def volume_mm3(voxels: NDArray[np.intp], affine: NDArray[np.float64]) -> float:
    """Sum of the voxels' volumes, mm³."""
    return len(voxels) * float(abs(np.linalg.det(affine[:3, :3])))


def long_axis_mm(voxels: NDArray[np.intp], affine: NDArray[np.float64]) -> float:
    """The longest diameter within one slice, mm, as RECIST 1.1 measures it.

    Eisenhauer et al., Eur J Cancer 2009; the maximum Feret diameter over the slices.
    """
    in_plane = affine[:3, [1, 0]]  # (y, x) to mm
    slices = np.unique(voxels[:, 0])
    return max(_feret(voxels[voxels[:, 0] == z][:, 1:], in_plane) for z in slices)


def _feret(pixels: NDArray[np.intp], in_plane: NDArray[np.float64]) -> float:
    outline = (pixels[:, None] + _EDGES_YX).reshape(-1, 2)
    # The two points farthest apart are corners of the hull, whose corners are few. There is
    # one always, for the four edge points of a single pixel span it already.
    outline = outline[ConvexHull(outline).vertices]
    return float(pdist(outline @ in_plane.T).max())
