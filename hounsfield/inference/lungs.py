"""Lung segmentation by classical means, after Hu, Hoffman and Reinhardt (IEEE TMI 2001).

Air is what lies below a threshold; outside air touches the border; of what is left, the
lungs are the largest; the airways are what a dense threshold grows from the trachea.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hounsfield.errors import ModelError

__all__ = ["segment_lungs"]

#: Lung and air against tissue, HU.
AIR_BELOW = -400.0
#: Air in the trachea and main bronchi against lung, HU.
LUMEN_BELOW = -930.0
#: A lung smaller than this is none, ml: an infant's has 40 at birth, a bowel loop fewer.
LEAST_LUNG_ML = 150.0
#: The trachea's cross-section, mm²: adults 100 to 500.
TRACHEA_MM2 = (60.0, 700.0)
#: Vessels up to about twice this belong to the lung, mm.
CLOSING_MM = 6.0
#: Median density of lungs, HU, from severe emphysema to fibrosis. Above: not lung. Below:
#: pure air, as a head rest or an arm encloses it.
LUNG_HU = (-970.0, -500.0)


def segment_lungs(hu: NDArray[np.float32], spacing_zyx: Sequence[float]) -> NDArray[np.bool_]:
    """Both lungs with their small vessels, without trachea and main bronchi.

    Parameters
    ----------
    hu
        (z, y, x), z headwards or footwards, in Hounsfield units; about 2 mm suffices.
    spacing_zyx
        mm.

    Raises
    ------
    ModelError
        If no lungs are in view.
    """
    voxel_ml = float(np.prod(spacing_zyx)) / 1000
    inside = _air_inside(hu)
    airways = _airways(hu, inside, spacing_zyx)
    lungs = _largest(inside & ~airways, hu, LEAST_LUNG_ML / voxel_ml)
    if lungs is None:
        raise ModelError(
            "no lungs are in view",
            remedy="route chest CT only to this model: configs/routing.yaml",
        )
    return _closed(lungs, spacing_zyx) & ~airways


def _air_inside(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Air that is not joined, within its axial plane, to the air around the patient."""
    air = hu < AIR_BELOW
    inside = np.zeros_like(air)
    for plane, out in zip(air, inside, strict=True):
        # Plane by plane, for in 3D the lungs of a cut-off scan touch the border above and below.
        labels, _ = ndimage.label(plane)
        edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        out[...] = plane & ~np.isin(labels, np.unique(edge))
    return inside


def _airways(
    hu: NDArray[np.float32], inside: NDArray[np.bool_], spacing_zyx: Sequence[float]
) -> NDArray[np.bool_]:
    """Trachea and main bronchi with their walls' partial volume; empty where none is found."""
    lumen = ndimage.median_filter(hu, size=(1, 3, 3)) < LUMEN_BELOW
    lumen &= inside
    seeds = _trachea(lumen, spacing_zyx)
    if not seeds.any():
        return np.zeros_like(inside)
    # Opened first: where emphysema is joined to a bronchus by a thread, growing would leak.
    grown = ndimage.binary_propagation(seeds, mask=lumen)
    if np.count_nonzero(grown) * np.prod(spacing_zyx) / 1000 > _MOST_AIRWAY_ML:
        grown = seeds
    radius = round(2.0 / float(min(spacing_zyx)))
    return ndimage.binary_dilation(grown, iterations=max(1, radius)) & inside


#: Trachea and bronchi hold less than this, ml; more has leaked into the lung.
_MOST_AIRWAY_ML = 130.0


def _trachea(lumen: NDArray[np.bool_], spacing_zyx: Sequence[float]) -> NDArray[np.bool_]:
    """Round dark spots near the middle line, from either end, that follow each other."""
    seeds = np.zeros_like(lumen)
    middle = lumen.shape[2] / 2
    for number, plane in enumerate(lumen):
        labels, count = ndimage.label(plane)
        if not count:
            continue
        spot = _roundest(labels, count, spacing_zyx, middle)
        if spot:
            seeds[number] = labels == spot
    return _followed(seeds, spacing_zyx)


def _roundest(
    labels: NDArray[np.signedinteger], count: int, spacing_zyx: Sequence[float], middle: float
) -> int:
    """The label of the plane's trachea-like spot nearest the middle line, or 0."""
    best, nearest = 0, 45.0  # mm from the middle of the image
    for number, box in enumerate(ndimage.find_objects(labels, count), start=1):
        height, width = ((s.stop - s.start) for s in box)
        area = np.count_nonzero(labels[box] == number) * spacing_zyx[1] * spacing_zyx[2]
        if not TRACHEA_MM2[0] <= area <= TRACHEA_MM2[1]:
            continue
        round_enough = area > 0.55 * height * width * spacing_zyx[1] * spacing_zyx[2]
        away = abs((box[1].start + box[1].stop) / 2 - middle) * spacing_zyx[2]
        if round_enough and away < nearest:
            best, nearest = number, away
    return best


def _followed(seeds: NDArray[np.bool_], spacing_zyx: Sequence[float]) -> NDArray[np.bool_]:
    """Of the spots, the tallest stack: a trachea runs through 20 mm of planes at least."""
    labels, count = ndimage.label(seeds, structure=np.ones((3, 3, 3)))
    boxes = ndimage.find_objects(labels, count)
    tall = [(b[0].stop - b[0].start) * spacing_zyx[0] for b in boxes]
    if not tall or max(tall) < 20:
        return np.zeros_like(seeds)
    return labels == int(np.argmax(tall)) + 1


def _largest(
    air: NDArray[np.bool_], hu: NDArray[np.float32], least: float
) -> NDArray[np.bool_] | None:
    """The largest component as dense as lung, and the second of a tenth of its size at least."""
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept: list[int] = []
    for number in np.argsort(sizes)[::-1] + 1:
        size = sizes[number - 1]
        if len(kept) == 2 or size < (0.1 * sizes[kept[0] - 1] if kept else least):
            break
        if LUNG_HU[0] <= float(np.median(hu[labels == number])) <= LUNG_HU[1]:
            kept.append(int(number))
    return np.isin(labels, kept) if kept else None


def _closed(lungs: NDArray[np.bool_], spacing_zyx: Sequence[float]) -> NDArray[np.bool_]:
    """Closing by a ball, through two distance maps: time does not grow with the radius."""
    reach = [int(np.ceil(CLOSING_MM / step)) + 1 for step in spacing_zyx]
    padded = np.pad(lungs, [(n, n) for n in reach])
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing_zyx) <= CLOSING_MM
    closed = ndimage.distance_transform_edt(grown, sampling=spacing_zyx) > CLOSING_MM
    inner = tuple(slice(n, n + size) for n, size in zip(reach, lungs.shape, strict=True))
    return ndimage.binary_fill_holes(closed[inner] | lungs)
