"""MONAI transforms of our own, for bundles' configurations.

Only those import this module, so MONAI is loaded already when it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch  # noqa: TID253 - see above
from monai.config import KeysCollection  # noqa: TID253
from monai.data import MetaTensor  # noqa: TID253
from monai.transforms import (  # noqa: TID253
    InvertibleTransform,
    MapTransform,
    SpatialResample,
)
from monai.utils import TraceKeys, ensure_tuple_rep  # noqa: TID253
from numpy.typing import NDArray

from hounsfield.inference.datalist import open_volume, read_label
from hounsfield.inference.lungs import segment_lungs
from hounsfield.inference.sampling import sampling_map

__all__ = [
    "LoadLabeld",
    "LoadVolumed",
    "SamplingMapd",
    "SegmentLungsd",
    "ToStraightGridd",
    "monai_affine",
]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Slices that are brought back at once.
_SLAB = 48


def monai_affine(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine that MONAI wants: (z, y, x, 1) to RAS millimetres.

    Parameters
    ----------
    affine
        4x4: (x, y, z, 1) to LPS millimetres, as a volume has it.
    """
    return _LPS_TO_RAS @ affine[:, [2, 1, 0, 3]]


class LoadVolumed(MapTransform):  # type: ignore[misc]
    """Loads volumes: (1, z, y, x) float32 in HU, with the affine.

    An item's value is an open volume, or the path of one.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            volume = open_volume(out[key])
            values = torch.from_numpy(np.ascontiguousarray(volume.rescaled(np.float32)))
            affine = torch.from_numpy(monai_affine(np.asarray(volume.affine, dtype=np.float64)))
            out[key] = MetaTensor(values[None], affine=affine, meta={"space": "RAS"})
        return out


class LoadLabeld(MapTransform):  # type: ignore[misc]
    """Loads label arrays (z, y, x) as (1, z, y, x) float32, 1 where they are not zero.

    An item's value is an array, or the path of a Zarr array on the grid of the item's image,
    which must be loaded before.

    Parameters
    ----------
    image_key
        The image whose affine the label takes and whose shape it must have; None to take the
        array as it is, as an evaluation on the volume's own grid does.
    """

    def __init__(self, keys: KeysCollection, image_key: str | None = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        image = None if self.image_key is None else out[self.image_key]
        for key in self.key_iterator(out):
            label = read_label(out[key], None if image is None else image.shape[1:])
            values = torch.from_numpy((label > 0).astype(np.float32))[None]
            affine = None if image is None else image.affine
            out[key] = MetaTensor(values, affine=affine, meta={"space": "RAS"})
        return out


class ToStraightGridd(MapTransform, InvertibleTransform):  # type: ignore[misc]
    """Resamples to a grid that is straight in the patient: headwards, backwards, to the left.

    One resampling through the affines undoes order and direction of axes, spacing, oblique
    planes and gantry tilt alike, so a model meets one kind of grid only. `Invertd` brings a
    prediction back.

    Parameters
    ----------
    spacing_mm
        Of the grid, along (z, y, x).
    mode
        "bilinear" or "nearest", one for all keys or one each.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing_mm: Sequence[float],
        mode: str | Sequence[str] = "bilinear",
    ) -> None:
        super().__init__(keys)
        self.spacing_mm = np.asarray(spacing_mm, dtype=np.float64)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.resample = SpatialResample(padding_mode="border", dtype=torch.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key, mode in self.key_iterator(out, self.mode):
            image = out[key]
            affine, size = straight_grid(
                image.affine.numpy(), tuple(image.shape[1:]), self.spacing_mm
            )
            out[key] = self.resample(image, affine, spatial_size=size, mode=mode)
        return out

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self._back(out[key])
        return out

    def _back(self, image: Any) -> Any:
        # Slab by slab: at once, the sampling positions alone take 12 bytes a voxel.
        record = self.resample.pop_transform(image)
        affine, mode = (record[TraceKeys.EXTRA_INFO][key] for key in ("src_affine", "mode"))
        depth, *plane = record[TraceKeys.ORIG_SIZE]
        slabs = []
        with self.resample.trace_transform(False):
            for start in range(0, depth, _SLAB):
                there = affine.clone()
                there[:3, 3] += start * affine[:3, 0]
                size = (min(_SLAB, depth - start), *plane)
                slabs.append(self.resample(image, there, spatial_size=size, mode=mode).as_tensor())
        return MetaTensor(torch.cat(slabs, dim=1), affine=affine, meta={"space": "RAS"})


def straight_grid(
    affine: NDArray[np.float64], shape: Sequence[int], spacing_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """The affine (z, y, x, 1) to RAS mm, and the shape, of the straight grid over a volume.

    Parameters
    ----------
    affine
        Of the volume, in the same form.
    """
    ends = np.array([*product(*((0, n - 1) for n in shape))], dtype=np.float64)
    corners = (ends @ affine[:3, :3].T + affine[:3, 3]) * [-1, -1, 1]  # LPS
    low, high = corners.min(axis=0)[::-1], corners.max(axis=0)[::-1]  # along (z, y, x)
    size = np.floor((high - low) / spacing_mm + 1e-3).astype(int) + 1
    start = low + (high - low - (size - 1) * spacing_mm) / 2
    straight = np.zeros((4, 4))
    straight[[2, 1, 0], [0, 1, 2]] = spacing_mm
    straight[:3, 3] = start[::-1]
    straight[3, 3] = 1
    return _LPS_TO_RAS @ straight, tuple(int(n) for n in size)


class SamplingMapd(MapTransform):  # type: ignore[misc]
    """Adds the map of `hounsfield.inference.sampling` for RandWeightedCropd, (1, z, y, x).

    Parameters
    ----------
    keys
        The image, still in HU.
    label_key, map_key
        The label, and where the map is put.
    """

    def __init__(
        self, keys: KeysCollection, label_key: str = "label", map_key: str = "sampling"
    ) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.map_key = map_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            weights = sampling_map(image[0].numpy(), out[self.label_key][0].numpy(), _mm(image))
            out[self.map_key] = MetaTensor(torch.from_numpy(weights)[None], affine=image.affine)
        return out


class SegmentLungsd(MapTransform):  # type: ignore[misc]
    """Replaces a volume in HU, (1, z, y, x), by its lungs, 1 inside."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key]
            lungs = segment_lungs(image[0].cpu().numpy(), _mm(image))
            inside = torch.from_numpy(lungs.astype(np.float32))[None]
            out[key] = MetaTensor(inside).copy_meta_from(image)
        return out


def _mm(image: Any) -> list[float]:
    """Spacing along (z, y, x)."""
    spacing: list[float] = torch.linalg.norm(image.affine[:3, :3], dim=0).tolist()
    return spacing
