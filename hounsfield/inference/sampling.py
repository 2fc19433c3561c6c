"""Where training patches are taken: every nodule alike, and what is mistaken for one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["sampling_map"]

#: Shares of patches: around nodules, around bright spots in lung, and anywhere in the body.
_NODULES, _CONFUSABLE, _BODY = 0.4, 0.35, 0.25
#: Aerated lung, and what stands out in it, HU.
_LUNG_HU, _BRIGHT_HU = (-950.0, -600.0), -450.0
#: A bright spot is in lung where this share of the cube around it is.
_CUBE_MM, _AERATED = 16.0, 0.5


def sampling_map(
    hu: NDArray[np.float32], label: NDArray[np.float32], spacing_zyx: Sequence[float]
) -> NDArray[np.float32]:
    """How likely each voxel is to be the centre of a patch; sums to 1.

    A nodule of 20 mm has 37 times the voxels of one of 6 mm. Taken voxel by voxel the small
    ones are hardly ever seen, so each nodule gets the same share here. Most of what is not a
    nodule is easy; vessels and bronchial walls in the lung are not, so they get a share too.

    Parameters
    ----------
    hu, label
        (z, y, x); the label is not zero inside nodules.
    spacing_zyx
        mm.
    """
    weights = np.zeros(hu.shape, dtype=np.float32)
    nodules, count = ndimage.label(label > 0)
    sizes = np.bincount(nodules.ravel())
    if count:
        weights += np.where(nodules > 0, _NODULES / count / sizes[nodules], 0)
    for share, where in ((_CONFUSABLE, _confusable(hu, spacing_zyx)), (_BODY, hu > -900)):
        outside = where & (nodules == 0)
        weights[outside] += share / max(1, int(outside.sum()))
    total = float(weights.sum())
    # A volume of nothing but air: any place is as good.
    return weights / total if total else np.full_like(weights, 1 / weights.size)


def _confusable(hu: NDArray[np.float32], spacing_zyx: Sequence[float]) -> NDArray[np.bool_]:
    aerated = ((hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1])).astype(np.float32)
    size = [max(1, round(_CUBE_MM / step)) for step in spacing_zyx]
    around = ndimage.uniform_filter(aerated, size, mode="nearest")
    inside: NDArray[np.bool_] = (hu > _BRIGHT_HU) & (around > _AERATED)
    return inside
