"""Random crops of a snapshot's volumes, for PyTorch and MONAI, straight from Zarr.

    with crops_of(site, digest, "training", seed=7) as crops:
        for epoch in range(100):
            for batch in loader(crops, epoch=epoch, batch_size=4, workers=2):
                ...

A crop is a function of seed and number alone: neither workers, ranks nor the machine change
which crops an epoch has. Only those who train import this module: it brings PyTorch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - see above
import zarr
from torch.utils.data import DataLoader, Dataset, Sampler  # noqa: TID253

from hounsfield.datasets.datalist import datalist
from hounsfield.errors import ConfigError, ModelError
from hounsfield.site import Site
from hounsfield.volume import Volume
from hounsfield.volume.layout import fast_codecs

__all__ = ["Crops", "Share", "crops_of", "loader"]

SIZE_ZYX = (96, 96, 96)
#: Of decoded volumes that one process keeps.
CACHE_BYTES = 1 << 30
_AIR_HU = -1024.0
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@contextmanager
def crops_of(
    site: Site, digest: str, split: str = "training", *, labelled: bool = True, **options: Any
) -> Iterator[Crops]:
    """The crops of one split of a snapshot.

    Volumes that lie in an object store are fetched for as long as the block runs.

    Parameters
    ----------
    labelled
        Only members that have a label.
    options
        Of :class:`Crops`.

    Raises
    ------
    NotFound
        There is no such snapshot, or the split has no member.
    """
    with datalist(site, digest, [split], labelled=labelled) as lists:
        yield Crops(lists[split], **options)


class Crops(Dataset[dict[str, Any]]):  # type: ignore[misc]
    """An endless sequence of crops: item `k` is the same whenever it is asked for.

    Volumes are visited in rounds, each once a round in an order of its own; a visit takes
    `per_visit` crops that follow each other. One epoch is one round.

    Parameters
    ----------
    items
        ``image``: path of a volume; ``label``: path of a Zarr array on its grid, or absent;
        ``subgroup``, or absent.
    seed
        Of everything that is random here.
    size_zyx
        Voxels of a crop. A volume that is smaller is filled up behind its end: with air (CT)
        or 0, and labels with 0.
    per_visit
        Crops of each volume in an epoch.
    cache_bytes
        Of decoded volumes that each process keeps, those not used for longest leaving first;
        0 reads each crop from Zarr, and no more than the chunks that it touches.
    transform
        Takes an item and gives one. MONAI's random transforms are seeded by the item's
        number.

    Raises
    ------
    ConfigError
        There are no items, or a number is not positive.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        seed: int,
        size_zyx: tuple[int, int, int] = SIZE_ZYX,
        per_visit: int = 4,
        cache_bytes: int = CACHE_BYTES,
        transform: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        if not items or per_visit < 1 or min(size_zyx) < 1 or seed < 0:
            raise ConfigError("crops need volumes, a seed from 0, and sizes from 1")
        self.items = [dict(item) for item in items]
        self.seed = seed
        self.size_zyx = size_zyx
        self.per_visit = per_visit
        self.transform = transform
        self._cache = _Cache(cache_bytes)

    def __len__(self) -> int:
        """Crops of one epoch."""
        return len(self.items) * self.per_visit

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Crop `number`, from 0.

        Returns
        -------
        dict
            ``image`` and, where there is one, ``label``: MetaTensors (1, z, y, x), float32
            in the volume's unit and uint8, with the affine of the crop, (z, y, x, 1) to RAS
            mm; ``subgroup``; ``start_zyx``, its first voxel in the volume.

        Raises
        ------
        GeometryError
            A volume is no regular stack of axes (z, y, x).
        ModelError
            A label does not lie on the grid of its volume, or has classes beyond 0 to 255; or a
            volume has a Modality LUT.
        """
        item = self.items[self._volume_of(number)]
        chance = np.random.default_rng([self.seed, 1, number])
        volume = _open(str(item["image"]))
        start = [
            int(chance.integers(0, max(0, whole - wanted) + 1))
            for whole, wanted in zip(volume.shape, self.size_zyx, strict=True)
        ]
        crop = self._crop(item, volume, start)
        return crop if self.transform is None else self._transformed(crop, chance)

    def _volume_of(self, number: int) -> int:
        visit = number // self.per_visit
        round_, place = divmod(visit, len(self.items))
        order = np.random.default_rng([self.seed, 0, round_]).permutation(len(self.items))
        return int(order[place])

    def _crop(self, item: Mapping[str, Any], volume: Volume, start: list[int]) -> dict[str, Any]:
        box = tuple(slice(at, at + size) for at, size in zip(start, self.size_zyx, strict=True))
        values = self._cache.read(volume.array, str(item["image"]), box)
        affine = _affine(volume, start)
        out: dict[str, Any] = {
            "image": _tensor(self._filled(_rescaled(volume, values, box[0]), _fill(volume)), affine)
        }
        if item.get("label") is not None:
            label = _label(str(item["label"]), volume.shape)
            values = self._cache.read(label, str(item["label"]), box)
            out["label"] = _tensor(self._filled(_classes(values), 0), affine)
        return {**out, "subgroup": dict(item.get("subgroup", {})), "start_zyx": tuple(start)}

    def _filled(self, values: np.ndarray, fill: float) -> np.ndarray:
        behind = [
            (0, wanted - got) for wanted, got in zip(self.size_zyx, values.shape, strict=True)
        ]
        return np.pad(values, behind, constant_values=fill) if np.any(behind) else values

    def _transformed(self, crop: dict[str, Any], chance: np.random.Generator) -> dict[str, Any]:
        assert self.transform is not None
        if hasattr(self.transform, "set_random_state"):
            self.transform.set_random_state(seed=int(chance.integers(2**32)))
        return self.transform(crop)


class Share(Sampler[int]):  # type: ignore[misc]
    """The numbers of one rank's crops in one epoch.

    Whole visits are dealt out, so that what a rank caches serves it; those that do not divide
    by the ranks are left out, other ones each epoch.

    Raises
    ------
    ConfigError
        There are more ranks than volumes, or no such rank.
    """

    def __init__(self, crops: Crops, *, epoch: int = 0, rank: int = 0, ranks: int = 1) -> None:
        visits = len(crops.items)
        if not 0 <= rank < ranks or ranks > visits or epoch < 0:
            raise ConfigError(
                f"rank {rank} of {ranks} has no share of {visits} volumes",
                remedy="start fewer ranks, or freeze a larger snapshot",
            )
        self._mine = range(rank, visits // ranks * ranks, ranks)
        self._first, self._per_visit = epoch * len(crops), crops.per_visit

    def __len__(self) -> int:
        return len(self._mine) * self._per_visit

    def __iter__(self) -> Iterator[int]:
        for visit in self._mine:
            first = self._first + visit * self._per_visit
            yield from range(first, first + self._per_visit)


def loader(
    crops: Crops,
    *,
    epoch: int,
    batch_size: int,
    workers: int = 0,
    prefetch: int = 2,
    rank: int = 0,
    ranks: int = 1,
) -> DataLoader[dict[str, Any]]:
    """Batches of one rank's crops of one epoch.

    Parameters
    ----------
    workers
        Processes that read ahead; 0 reads in this one.
    prefetch
        Batches that each of them holds ready.
    rank, ranks
        Of the training, as ``torch.distributed`` counts.
    """
    ahead: dict[str, Any] = {}
    if workers:
        # Not by fork: it copies the locks of zarrs' threads, but not the threads.
        ahead = {"prefetch_factor": prefetch, "multiprocessing_context": "forkserver"}
    return DataLoader(
        crops,
        batch_size=batch_size,
        sampler=Share(crops, epoch=epoch, rank=rank, ranks=ranks),
        num_workers=workers,
        collate_fn=_collate,
        **ahead,
    )


def _collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Tensors are stacked, with their affines; the rest are lists."""
    batch: dict[str, Any] = {name: [item[name] for item in items] for name in items[0]}
    for name, values in batch.items():
        if isinstance(values[0], torch.Tensor):
            from monai.data import list_data_collate

            batch[name] = list_data_collate(values)
    return batch


class _Cache:
    """Whole arrays as long as they fit; of others what is asked for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[str, np.ndarray] = OrderedDict()

    def read(self, array: zarr.Array, name: str, box: tuple[slice, ...]) -> np.ndarray:
        if array.nbytes > self._limit:
            return np.asarray(array[box])
        if name not in self._held:
            self._make_room(array.nbytes)
            self._held[name] = np.asarray(array[...])
        self._held.move_to_end(name)
        return self._held[name][box]

    def _make_room(self, size: int) -> None:
        while self._held and sum(one.nbytes for one in self._held.values()) + size > self._limit:
            self._held.popitem(last=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"_limit": self._limit, "_held": OrderedDict()}  # a worker begins with nothing


@lru_cache(maxsize=1024)  # what lies in a zone never changes
def _open(path: str) -> Volume:
    volume = Volume.open(Path(path))
    volume.check_regular()
    if volume.rescale.lut:
        raise ModelError(
            "the values of a volume have their unit by a table, which crops do not look up",
            remedy="leave its series out of the cohort",
        )
    return volume


@lru_cache(maxsize=1024)
def _label(path: str, shape: tuple[int, ...]) -> zarr.Array:
    with fast_codecs():
        label = zarr.open_array(path, mode="r")
    if label.shape != shape:
        raise ModelError(
            f"a label has the shape {label.shape}, its volume {shape}",
            remedy="write labels on the grid of their volume",
        )
    return label


def _classes(values: np.ndarray) -> np.ndarray:
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        raise ModelError(
            "a label has classes beyond 0 to 255",
            remedy="number its classes from 0, the background",
        )
    return values.astype(np.uint8)


def _rescaled(volume: Volume, values: np.ndarray, along: slice) -> np.ndarray:
    out = values.astype(np.float32)
    for part, apply in ((volume.rescale.slope, np.multiply), (volume.rescale.intercept, np.add)):
        factor = np.array(part, np.float32)
        factor = factor if factor.size == 1 else factor[along]
        apply(out, factor[:, None, None], out=out)
    return out


def _fill(volume: Volume) -> float:
    return _AIR_HU if volume.modality == "CT" else 0.0


def _affine(volume: Volume, start: Sequence[int]) -> np.ndarray:
    """(z, y, x, 1) of the crop to RAS mm."""
    affine = _LPS_TO_RAS @ volume.affine[:, [2, 1, 0, 3]]
    affine[:3, 3] += affine[:3, :3] @ np.asarray(start, dtype=np.float64)
    return affine


def _tensor(values: np.ndarray, affine: np.ndarray) -> Any:
    from monai.data import MetaTensor

    tensor = torch.from_numpy(np.ascontiguousarray(values))[None]
    return MetaTensor(tensor, affine=torch.from_numpy(affine), meta={"space": "RAS"})
