"""Builds a volume from a series: Dask reads slabs of planes and writes them chunk-aligned."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import dask
import numpy as np
import zarr
from pydicom.dataset import Dataset

from hounsfield.dicom.attributes import AttributeTable, Encoder, Instance
from hounsfield.dicom.codecs import decode_picture
from hounsfield.dicom.folders import new_part
from hounsfield.dicom.frames import Frames, read_frames
from hounsfield.dicom.overlays import with_overlays
from hounsfield.dicom.reading import read_lazily
from hounsfield.errors import ContentCollision, StoreUnavailable, UndecodablePixels
from hounsfield.volume.deface import METHOD, FaceCut, cut_of
from hounsfield.volume.layout import (
    ARRAY,
    ATTRIBUTES,
    COPIES,
    LOCAL,
    Layout,
    create,
    fast_codecs,
    wait_for_writes,
)
from hounsfield.volume.metadata import metadata_of, ngff_of
from hounsfield.volume.series import Slice, Source, Stack, stack_of
from hounsfield.volume.straighten import Shear, straighten
from hounsfield.volume.volume import Volume, content_digest, slice_digest

__all__ = ["MEMORY_BYTES", "build_volume"]

T = TypeVar("T")

#: Of pixels in memory, unless somebody says otherwise.
MEMORY_BYTES = 1 << 30
_THREADS = min(4, len(os.sched_getaffinity(0)))
#: One slab at a time is read, by all threads, while others are compressed.
_READING = Lock()
#: pydicom takes longer in two threads than in one after the other.
_PYDICOM = Lock()


def build_volume(
    sources: Sequence[Source],
    destination: Path,
    *,
    provenance: Mapping[str, Any],
    layout: Layout = LOCAL,
    scheduler: str = "",
    workers: int = 1,
    memory_bytes: int = MEMORY_BYTES,
    deface: bool = False,
    resample_tilt: bool = False,
) -> Volume:
    """Makes one OME-Zarr 0.5 volume: of one series, or of one picture or film.

    Parameters
    ----------
    sources
        The instances, in any order: files, or whole datasets in memory. Of a series of
        several pictures one at a time (:func:`hounsfield.volume.series.parts_of`).
    destination
        The volume's folder. It appears whole or not at all. A volume of equal content that
        is there already is kept.
    provenance
        What this was made from and by which code; kept in the metadata, not in the digest.
    layout
        How the array is chunked.
    scheduler
        Dask's, of the slabs. Empty, as is best: "synchronous" for one worker; for more
        "threads" where pixels are read without pydicom, which slows down by threads, and else
        "processes".
    workers
        Slabs at once, as far as `memory_bytes` lets them.
    memory_bytes
        What the pixels in memory stay under: chunks are shallower where a slab is too large.
    deface
        Cut the face out of a head (:mod:`hounsfield.volume.deface`). The metadata, and so the
        digest, then state under "deface" what was done, or why nothing.
    resample_tilt
        Undo a tilted gantry (:mod:`hounsfield.volume.straighten`), which the metadata state
        under "resampled". Else the tilt is in the affine, and values are the stored ones.

    Returns
    -------
    Volume
        Open for reading.

    Raises
    ------
    GeometryError, ContentCollision, UndecodablePixels, UnreadableFile
        The series makes no volume, and why.
    ConfigError
        A file lies where the volume's folder is to be.
    StoreUnavailable
        The disk is full or cannot be written; nothing is left behind.
    """
    stack = stack_of(sources)
    plane_bytes = math.prod(stack.plane_shape) * np.dtype(stack.header.dtype).itemsize
    fitting = layout.within(memory_bytes, plane_bytes)
    slots = max(1, min(workers, memory_bytes // (fitting.slab * plane_bytes * COPIES)))
    with new_part(destination) as part:
        try:
            made = _Made(stack, deface=deface, resample_tilt=resample_tilt)
            scheduling = _scheduling(stack, scheduler, slots)
            made.write(part, provenance, fitting, scheduling, memory_bytes)
            return _publish(part, destination)
        finally:
            if part.exists():
                wait_for_writes()


def _scheduling(stack: Stack, scheduler: str, workers: int) -> dict[str, Any]:
    """Dask's arguments."""
    if not scheduler:
        is_direct = all(item.frames is not None and item.frames.is_direct for item in stack.slices)
        scheduler = "synchronous" if workers == 1 else "threads" if is_direct else "processes"
    return {"scheduler": scheduler, "num_workers": workers}


@dataclass(frozen=True, slots=True)
class _Slab:
    """Planes that one task reads and writes.

    Attributes
    ----------
    at
        Where they go: an index into the array.
    start
        Number of the first of them, counted along the last axis before the plane's.
    known
        Instances whose attributes are known.
    """

    at: tuple[Any, ...]
    start: int
    slices: tuple[Slice, ...]
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Written:
    """What is known when a slab lies on the disk.

    Attributes
    ----------
    digests
        Of the values of each plane.
    instances
        Attributes by SOPInstanceUID, of those that the stack does not have yet.
    photometrics
        PhotometricInterpretation of the values.
    """

    digests: list[str]
    instances: dict[str, Instance]
    photometrics: set[str]


def _slabs(stack: Stack, layout: Layout) -> list[_Slab]:
    sizes = [size for _, size in stack.leading]
    if not sizes:
        return [_Slab((), 0, stack.slices, frozenset(stack.instances))]
    plane_bytes = math.prod(stack.plane_shape) * np.dtype(stack.header.dtype).itemsize
    *outer, count = sizes
    steps = layout.steps(stack.axes, count, plane_bytes)
    slabs = []
    for row, place in enumerate(np.ndindex(*outer)):
        for start in steps:
            stop = min(start + steps.step, count)
            planes = stack.slices[row * count + start : row * count + stop]
            known = frozenset(p.sop_instance_uid for p in planes) & stack.instances.keys()
            slabs.append(_Slab((*place, slice(start, stop)), start, planes, known))
    return slabs


class _Made:
    """A stack with what is done to its values, on its way to the disk."""

    def __init__(self, stack: Stack, *, deface: bool, resample_tilt: bool) -> None:
        self.deface = deface
        cut = None
        if deface:
            with _PYDICOM:
                cut = cut_of(stack)
        self.changes = _Changes(stack.plane_shape, cut)
        self.stack = stack
        if resample_tilt:
            self.stack, shear = straighten(stack)
            self.changes = replace(self.changes, shear=shear)

    def write(
        self,
        folder: Path,
        provenance: Mapping[str, Any],
        layout: Layout,
        scheduling: Mapping[str, Any],
        memory_bytes: int,
    ) -> None:
        stack = self.stack
        array = create(folder, stack.axes, stack.shape, stack.header.dtype, layout)
        target = _Target(folder, array, memory_bytes)
        # As one object each: Dask would search thousands of slices for tasks of its own.
        tasks = [
            dask.delayed(
                partial(
                    _write_slab, target, slab, stack.header.PhotometricInterpretation, self.changes
                ),
                pure=False,
                traverse=False,
            )()
            for slab in _slabs(stack, layout)
        ]
        written: tuple[_Written, ...] = dask.compute(*tasks, **scheduling)
        table = AttributeTable.of(_rows(stack, written))
        encoded = table.to_dict()
        (folder / ATTRIBUTES).write_text(
            json.dumps(encoded, allow_nan=False, separators=(",", ":"))
        )
        photometrics = {name for one in written for name in one.photometrics}
        metadata = metadata_of(stack, table, photometrics=photometrics)
        metadata |= self._stated()
        digests = [digest for one in written for digest in one.digests]
        metadata["digest"] = content_digest(metadata, encoded, digests)
        metadata["provenance"] = dict(provenance)
        group = zarr.open_group(str(folder), mode="r+", zarr_format=3)
        group.update_attributes({"ome": ngff_of(metadata), "hounsfield": metadata})

    def _stated(self) -> dict[str, Any]:
        cut, shear = self.changes.cut, self.changes.shear
        stated: dict[str, Any] = {}
        if self.deface:
            stated["deface"] = _told_of(cut)
        if shear is not None:
            stated["resampled"] = shear.to_dict()
        return stated


@dataclass(frozen=True, slots=True)
class _Changes:
    """What is done to the values of each plane; nothing, as a rule.

    Attributes
    ----------
    plane_shape
        Of a plane as it is read.
    """

    plane_shape: tuple[int, ...]
    cut: FaceCut | None = None
    shear: Shear | None = None

    @property
    def any(self) -> bool:
        return self.cut is not None or self.shear is not None

    def apply(self, values: np.ndarray, start: int) -> np.ndarray:
        """Of planes that begin at `start`, counted along z."""
        if self.cut is not None:
            for place, plane in enumerate(values):
                plane[self.cut.mask(start + place, plane.shape)] = self.cut.fill
        if self.shear is not None:
            moved = self.shear.moved
            return np.stack([moved(plane, start + place) for place, plane in enumerate(values)])
        return values


def _rows(stack: Stack, written: Sequence[_Written]) -> list[Instance]:
    """The attributes of each instance, in the order in which they first occur."""
    found = dict(stack.instances)
    for one in written:
        found |= one.instances
    return [found[uid] for uid in dict.fromkeys(item.sop_instance_uid for item in stack.slices)]


class _Target:
    """The array that slabs are written into, and memory for them.

    Another process opens it for itself. Memory is used again: to get zeroed pages from the
    kernel takes as long as to fill them.

    Attributes
    ----------
    memory_bytes
        That pixels may take.
    """

    def __init__(self, folder: Path, array: zarr.Array, memory_bytes: int) -> None:
        self._folder = folder
        self.array = array
        self.memory_bytes = memory_bytes
        self._unused: list[np.ndarray] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self._folder, self.memory_bytes)

    @contextmanager
    def memory(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """An array of that shape, with whatever it held before."""
        size = math.prod(shape)
        flat = self._unused.pop() if self._unused else np.empty(size, dtype=self.array.dtype)
        if flat.size < size:
            flat = np.empty(size, dtype=self.array.dtype)
        yield flat[:size].reshape(shape)
        self._unused.append(flat)


def _opened(folder: Path, memory_bytes: int) -> _Target:
    with fast_codecs():
        array = zarr.open_group(str(folder), mode="r+", zarr_format=3)[ARRAY]
    assert isinstance(array, zarr.Array)
    return _Target(folder, array, memory_bytes)


def _write_slab(target: _Target, slab: _Slab, photometric: str, changes: _Changes) -> _Written:
    """Reads or decodes planes, and writes them into their place."""
    encoder, rows = Encoder(), {}
    photometrics: set[str] = set()
    opened: dict[str, Dataset] = {}
    with target.memory((len(slab.slices), *changes.plane_shape)) as values:
        with _READING:
            digests = _spread(_read, slab.slices, values)
        for place, item in enumerate(slab.slices):
            if digests[place]:
                photometrics.add(photometric)
                continue
            with _PYDICOM:
                if item.sop_instance_uid not in opened:
                    opened = {item.sop_instance_uid: _open(item, target.memory_bytes)}
                dataset = opened[item.sop_instance_uid]
                if item.sop_instance_uid not in rows and item.sop_instance_uid not in slab.known:
                    # Before decoding: elements that nobody asked for yet still have their bytes.
                    row = encoder.instance(dataset)
                    rows[item.sop_instance_uid] = with_overlays(row, dataset)
                values[place], decoded = _plane(*_frame_of(dataset, item), values[place])
            photometrics.add(decoded)
            digests[place] = slice_digest(values[place])
        changed = changes.apply(values, slab.start)
        _store(target.array, slab.at, changed)
        if changes.any:
            digests = _spread(slice_digest, changed)
        return _Written(digests, rows, photometrics)


def _spread(work: Callable[..., T], *items: Sequence[Any] | np.ndarray) -> list[T]:
    """What `work` makes of each, on all cores: for what lets go of the interpreter's lock."""
    count = len(items[0])
    share = -(-count // _THREADS)
    runs = [slice(start, start + share) for start in range(0, count, share)]
    with ThreadPoolExecutor(_THREADS) as pool:
        done = pool.map(lambda run: list(map(work, *(each[run] for each in items))), runs)
        return list(chain.from_iterable(done))


def _read(item: Slice, values: np.ndarray) -> str:
    """Reads a plane without pydicom, and digests it while it is at hand; empty where not."""
    if item.frames is None or not item.frames.is_direct or not isinstance(item.source, Path):
        return ""
    try:
        read_frames(item.source, [(item.frames, item.frame)], [values])
    except UndecodablePixels:
        return ""
    return slice_digest(values)


def _plane(dataset: Dataset, frame: int, like: np.ndarray) -> tuple[np.ndarray, str]:
    """A frame's values as (row, column), or (sample, row, column); and how they are shown."""
    decoded, photometric = decode_picture(dataset, frame=frame)
    plane = decoded[0] if decoded.ndim == 3 else np.moveaxis(decoded[0], -1, 0)
    if plane.shape != like.shape or plane.dtype != like.dtype:
        raise UndecodablePixels(
            f"an image holds {plane.dtype} of {plane.shape}, and its header says {like.dtype} of "
            f"{like.shape}"
        )
    return plane, photometric


def _store(array: zarr.Array, at: tuple[Any, ...], values: np.ndarray) -> None:
    try:
        array[at or ...] = values if at else values[0]
    except RuntimeError:  # what zarrs makes of a full disk
        raise StoreUnavailable(
            "a volume could not be written", remedy="free space, then run it again"
        ) from None


def _open(item: Slice, memory_bytes: int) -> Dataset:
    if isinstance(item.source, Dataset):
        return item.source
    return read_lazily(
        item.source,
        stop_before_pixels=_film_of(item) is not None,
        most_bytes=memory_bytes // COPIES,
    )


def _frame_of(dataset: Dataset, item: Slice) -> tuple[Dataset, int]:
    """What a plane is decoded from, and which frame of it."""
    film = _film_of(item)
    if film is None or not isinstance(item.source, Path):
        return dataset, item.frame
    return film.alone(dataset, item.source, item.frame), 0


def _film_of(item: Slice) -> Frames | None:
    """Several frames in one file, which are in memory one at a time."""
    return item.frames if item.frames is not None and item.frames.is_film else None


def _told_of(cut: FaceCut | None) -> dict[str, Any]:
    if cut is None:
        return {"method": METHOD, "done": False, "reason": "the series does not say it is a head"}
    return {"method": METHOD, "done": True, **cut.to_dict()}


def _publish(part: Path, destination: Path) -> Volume:
    try:
        part.rename(destination)
    except OSError:
        if not (destination / "zarr.json").is_file():
            raise
        # Another run was first, or this one ran before.
        there, made = Volume.open(destination), Volume.open(part)
        if there.digest != made.digest:
            raise ContentCollision(
                "another volume lies at the destination", remedy="choose an empty folder"
            ) from None
        return there
    return Volume.open(destination)
