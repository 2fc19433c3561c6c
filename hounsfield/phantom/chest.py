"""One chest as a volume, in memory: what training feeds on and what studies are cut from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hounsfield.phantom.anatomy import Anatomy
from hounsfield.phantom.grid import Floats, Grid, Point
from hounsfield.phantom.lesions import Lesion, draw_nodules, lung_points, paint_nodule
from hounsfield.phantom.skeleton import paint_skeleton
from hounsfield.phantom.tissue import Tissue
from hounsfield.phantom.tubes import Canvas
from hounsfield.phantom.vessels import paint_airways, paint_vessels

__all__ = ["ChestPhantom", "chest_volume"]

#: What the emphysema index counts, HU (Gevenois et al., AJRCCM 1996).
_EMPHYSEMA_BELOW = -950
#: One stream of random numbers for each purpose, so that a change of one leaves the others.
_STREAMS = ("anatomy", "tissue", "points", "nodules", "vessels", "noise")


@dataclass(frozen=True)
class ChestPhantom:
    """A made-up chest with the truth about it.

    Attributes
    ----------
    hu
        (z, y, x) int16, Hounsfield units, -1024 to 3071; z runs headwards, y backwards, x to
        the patient's left.
    lung_mask
        (z, y, x) bool: both lungs with their small vessels and nodules, without airways.
    lesion_mask
        (z, y, x) uint8: 0, or the `label` of a lesion.
    lesions
        The nodules, none for a healthy chest.
    emphysema_share
        Share of `lung_mask` below -950 HU before noise, 0 to 1.
    spacing_zyx
        Millimetres.
    affine
        4x4 float64: (x, y, z, 1), zero-based voxel index, to LPS millimetres.
    """

    hu: NDArray[np.int16]
    lung_mask: NDArray[np.bool_]
    lesion_mask: NDArray[np.uint8]
    lesions: tuple[Lesion, ...]
    emphysema_share: float
    spacing_zyx: tuple[float, float, float]
    affine: NDArray[np.float64]


def chest_volume(
    seed: int,
    *,
    shape: tuple[int, int, int] = (96, 192, 192),
    spacing_zyx: tuple[float, float, float] = (3.0, 2.0, 2.0),
    origin_lps: Point | None = None,
    lesions: int | None = None,
    emphysema: float | None = None,
    contrast: bool | None = None,
    noise_hu: float = 14.0,
    sharpness: float = 0.0,
    table: bool = True,
) -> ChestPhantom:
    """Draws the chest of patient `seed`.

    The anatomy depends on the seed alone, not on the grid: the same patient can be had
    coarse for training and fine for a study. The chest is about 300 mm high and up to
    380 mm wide, and lies in the middle of the grid.

    Parameters
    ----------
    seed
        Any whole number from 0.
    shape
        Voxels along (z, y, x).
    spacing_zyx
        Distance of voxel centres, mm; slices are as thick as they are apart.
    origin_lps
        Centre of voxel (0, 0, 0), mm; by default the middle of the grid is at (0, 0, 0).
    lesions
        How many nodules, drawn from 0 to 3 if None.
    emphysema
        Share of the lung to destroy, 0 to 1, drawn if None. What came of it is measured and
        returned.
    contrast
        Whether blood is enhanced, drawn if None.
    noise_hu
        Standard deviation of the noise at the skin, HU; it grows by half towards the middle.
    sharpness
        Of the reconstruction kernel: 0 is smooth, 1 enhances edges and noise.
    table
        Whether the scanner's table is seen.
    """
    rng = {name: np.random.default_rng([seed, number]) for number, name in enumerate(_STREAMS)}
    wishes = rng["anatomy"]
    drawn_contrast, drawn_lesions = bool(wishes.random() < 0.4), int(wishes.integers(0, 4))
    drawn_emphysema = max(0.0, float(wishes.uniform(-0.1, 0.3)))
    anatomy = Anatomy.drawn(wishes, contrast=drawn_contrast if contrast is None else contrast)
    canvas = Canvas(Grid.around(shape, spacing_zyx, origin_lps))

    points = lung_points(anatomy, rng["points"], 12000)
    tissue = Tissue.drawn(
        rng["tissue"],
        anatomy,
        emphysema=drawn_emphysema if emphysema is None else emphysema,
        table=table,
    )
    # Thin products gain nothing from threads, and one thread gives the same bits anywhere.
    with threadpool_limits(1, user_api="blas"):
        tissue.paint(canvas, points)
    paint_vessels(canvas, anatomy, rng["vessels"])
    paint_airways(canvas)
    paint_skeleton(canvas, anatomy)

    mask = np.zeros(shape, dtype=np.uint8)
    wanted = drawn_lesions if lesions is None else lesions
    nodules = draw_nodules(anatomy, canvas.grid, points, wanted, rng["nodules"])
    found = tuple(
        paint_nodule(canvas, mask, nodule, label) for label, nodule in enumerate(nodules, start=1)
    )
    canvas.lung |= mask > 0
    return ChestPhantom(
        hu=_scanned(canvas, noise_hu, sharpness, rng["noise"]),
        lung_mask=canvas.lung,
        lesion_mask=mask,
        lesions=found,
        emphysema_share=_share_below(canvas),
        spacing_zyx=spacing_zyx,
        affine=canvas.grid.affine,
    )


def _share_below(canvas: Canvas) -> float:
    lung = int(np.count_nonzero(canvas.lung))
    dark = int(np.count_nonzero((canvas.hu < _EMPHYSEMA_BELOW) & canvas.lung))
    return round(dark / lung, 4) if lung else 0.0


def _scanned(
    canvas: Canvas, noise_hu: float, sharpness: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """`canvas` with noise, as whole numbers: what a scanner would give."""
    x, y = canvas.grid.axis(2), canvas.grid.axis(1)
    # Rays through the middle meet more tissue, so fewer photons arrive.
    centre = 1 + 0.5 * np.exp(-((y / 90)[:, None] ** 2 + (x / 120)[None] ** 2))
    strength = np.float32(noise_hu) * centre.astype(np.float32)
    hu = np.empty(canvas.grid.shape, dtype=np.int16)
    for clean, out in zip(canvas.hu, hu, strict=True):
        plane: Floats = clean
        grain = _grain(plane.shape, sharpness, rng)
        if sharpness:
            blurred = ndimage.gaussian_filter(plane, 1.0)
            plane = plane + np.float32(0.6 * sharpness) * (plane - blurred)
        np.rint(np.clip(plane + strength * grain, -1024, 3071), out=out, casting="unsafe")
    return hu


def _grain(shape: tuple[int, ...], sharpness: float, rng: np.random.Generator) -> Floats:
    """Noise of unit variance whose grain is that of the kernel."""
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, 0.8, truncate=2.5)
    mixed = smooth + np.float32(sharpness) * (white - smooth) * np.float32(0.6)
    return mixed / mixed.std()
