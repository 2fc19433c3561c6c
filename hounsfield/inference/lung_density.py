"""The report of lung density: emphysema index, mean and 15th percentile, lung volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hounsfield.errors import ModelError
from hounsfield.inference import codes
from hounsfield.inference.seams import Outcome, VolumeLike
from hounsfield.records import Measurement, Segment

__all__ = ["LungDensityReport"]

_LUNGS = Segment(number=1, label="Lungs", category=codes.ANATOMICAL_STRUCTURE, type=codes.LUNG)
#: HU (Gevenois et al., AJRCCM 1996).
EMPHYSEMA_BELOW = -950.0
#: Values outside this are no tissue: padding outside the field of view, metal, HU.
_PLAUSIBLE_HU = (-1100.0, 500.0)


@dataclass(frozen=True, slots=True)
class LungDensityReport:
    """Densitometry of a volume within its lungs.

    Densities are taken from the volume's own voxels, never from resampled ones: blurring
    narrows the histogram, and the emphysema index lives in its tail. The index depends on
    dose, kernel and inspiration too: compare it between like scans only.
    """

    def __call__(self, volume: VolumeLike, prediction: NDArray[np.float32]) -> Outcome:
        """Measures `volume` where `prediction` (z, y, x) is 0.5 or more.

        Raises
        ------
        ModelError
            If the volume does not hold Hounsfield units.
        """
        lungs = prediction >= 0.5
        hu = volume.rescaled(np.float32)[lungs]
        hu = hu[(hu >= _PLAUSIBLE_HU[0]) & (hu <= _PLAUSIBLE_HU[1])]
        if not hu.size:
            raise ModelError("the lungs hold no plausible Hounsfield units")
        voxel_ml = float(abs(np.linalg.det(np.asarray(volume.affine)[:3, :3]))) / 1000
        index = 100 * float(np.count_nonzero(hu < EMPHYSEMA_BELOW)) / hu.size
        mean = float(hu.mean(dtype=np.float64))
        low = float(np.percentile(hu, 15))
        millilitres = int(np.count_nonzero(lungs)) * voxel_ml
        return Outcome(
            mask=lungs.astype(np.uint8),
            segments=(_LUNGS,),
            measurements=(
                Measurement(codes.EMPHYSEMA_INDEX, round(index, 2), codes.PERCENT),
                Measurement(codes.MEAN_DENSITY, round(mean, 1), codes.HOUNSFIELD_UNIT),
                Measurement(codes.PERCENTILE_15, round(low, 1), codes.HOUNSFIELD_UNIT),
                Measurement(codes.VOLUME, round(millilitres, 1), codes.MILLILITRE),
            ),
            extra={
                "findings": 0,
                "emphysema_index": round(index, 2),
                "mean_lung_density_hu": round(mean, 1),
                "lung_volume_ml": round(millilitres, 1),
                "algorithm_family": "123104",  # CID 7162, Morphological Operations
            },
        )
