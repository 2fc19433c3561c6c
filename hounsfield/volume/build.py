"""Builds a volume from a series: Dask reads slabs of planes and writes them chunk-aligned."""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr
from pydicom.dataset import Dataset

from hounsfield.dicom.attributes import AttributeTable, Encoder, Instance
from hounsfield.dicom.codecs import decode_picture
from hounsfield.dicom.native import read_frames
from hounsfield.dicom.reading import read_lazily
from hounsfield.errors import ContentCollision, StoreUnavailable, UndecodablePixels
from hounsfield.volume.deface import METHOD, FaceCut, cut_of
from hounsfield.volume.layout import (
    ARRAY,
    ATTRIBUTES,
    LOCAL,
    Layout,
    create,
    fast_codecs,
)
from hounsfield.volume.metadata import metadata_of, ngff_of
from hounsfield.volume.series import Slice, Source, Stack, stack_of
from hounsfield.volume.volume import Volume, content_digest, slice_digest

__all__ = ["build_volume"]


def build_volume(
    sources: Sequence[Source],
    destination: Path,
    *,
    provenance: Mapping[str, Any],
    layout: Layout = LOCAL,
    scheduler: str = "synchronous",
    deface: bool = False,
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
        Dask's: "synchronous", or "processes". Not "threads": pydicom slows down by them.
    deface
        Cut the face out of a head (:mod:`hounsfield.volume.deface`). The metadata, and so the
        digest, then state under "deface" what was done, or why nothing.

    Returns
    -------
    Volume
        Open for reading.

    Raises
    ------
    GeometryError, ContentCollision, UndecodablePixels, UnreadableFile
        The series makes no volume, and why.
    StoreUnavailable
        The disk is full or cannot be written; nothing is left behind.
    """
    stack = stack_of(sources)
    part = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _write(part, stack, provenance, layout, scheduler, deface=deface)
        return _publish(part, destination)
    except StoreUnavailable:
        raise
    except OSError as error:
        raise StoreUnavailable(
            f"a volume could not be written: {os.strerror(error.errno or 0)}",
            remedy="free space or mend the permissions, then run it again",
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Slab:
    """Planes that one task reads and writes.

    Attributes
    ----------
    at
        Where they go: an index into the array.
    start
        Number of the first of them, counted along the last axis before the plane's.
    """

    at: tuple[Any, ...]
    start: int
    slices: tuple[Slice, ...]


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
        return [_Slab((), 0, stack.slices)]
    plane_bytes = math.prod(stack.plane_shape) * np.dtype(stack.header.dtype).itemsize
    *outer, count = sizes
    steps = layout.steps(stack.axes, count, plane_bytes)
    slabs = []
    for row, place in enumerate(np.ndindex(*outer)):
        for start in steps:
            stop = min(start + steps.step, count)
            planes = stack.slices[row * count + start : row * count + stop]
            slabs.append(_Slab((*place, slice(start, stop)), start, planes))
    return slabs


def _write(
    folder: Path,
    stack: Stack,
    provenance: Mapping[str, Any],
    layout: Layout,
    scheduler: str,
    *,
    deface: bool,
) -> None:
    cut = cut_of(stack) if deface else None
    with fast_codecs():
        create(folder, stack.axes, stack.shape, stack.header.dtype, layout)
        # As one object each: Dask would search thousands of slices for tasks of its own.
        tasks = [
            dask.delayed(
                partial(
                    _write_slab,
                    folder,
                    slab,
                    stack.plane_shape,
                    stack.header.PhotometricInterpretation,
                    cut,
                ),
                pure=False,
                traverse=False,
            )()
            for slab in _slabs(stack, layout)
        ]
        written: tuple[_Written, ...] = dask.compute(*tasks, scheduler=scheduler)
    table = AttributeTable.of(_rows(stack, written))
    encoded = table.to_dict()
    (folder / ATTRIBUTES).write_text(json.dumps(encoded, allow_nan=False, separators=(",", ":")))
    metadata = metadata_of(
        stack, table, photometrics=set().union(*(w.photometrics for w in written))
    )
    if deface:
        metadata["deface"] = _stated(cut)
    digests = [digest for one in written for digest in one.digests]
    metadata["digest"] = content_digest(metadata, encoded, digests)
    metadata["provenance"] = dict(provenance)
    group = zarr.open_group(str(folder), mode="r+", zarr_format=3)
    group.update_attributes({"ome": ngff_of(stack), "hounsfield": metadata})


def _rows(stack: Stack, written: Sequence[_Written]) -> list[Instance]:
    """The attributes of each instance, in the order in which they first occur."""
    found = dict(stack.instances)
    for one in written:
        found |= one.instances
    return [found[uid] for uid in dict.fromkeys(item.sop_instance_uid for item in stack.slices)]


def _write_slab(
    folder: Path,
    slab: _Slab,
    plane_shape: tuple[int, ...],
    photometric: str,
    cut: FaceCut | None,
) -> _Written:
    """Reads or decodes planes into their place."""
    with fast_codecs():
        array = zarr.open_group(str(folder), mode="r+", zarr_format=3)[ARRAY]
    assert isinstance(array, zarr.Array)
    values = np.empty((len(slab.slices), *plane_shape), dtype=array.dtype)
    encoder, rows = Encoder(), {}
    photometrics: set[str] = set()
    opened: dict[str, Dataset] = {}
    for place, item in enumerate(slab.slices):
        if item.native is not None and isinstance(item.source, Path):
            read_frames(item.source, [(item.native, item.frame)], [values[place]])
            photometrics.add(photometric)
            continue
        if item.sop_instance_uid not in opened:
            opened = {item.sop_instance_uid: _open(item.source)}
        dataset = opened[item.sop_instance_uid]
        if item.sop_instance_uid not in rows:
            # Before decoding: elements that nobody asked for yet still have their bytes.
            rows[item.sop_instance_uid] = encoder.instance(dataset)
        values[place], decoded = _plane(dataset, item.frame, values[place])
        photometrics.add(decoded)
    if cut is not None:
        for place, plane in enumerate(values):
            plane[cut.mask(slab.start + place, plane.shape)] = cut.fill
    _store(array, slab.at, values)
    return _Written([slice_digest(plane) for plane in values], rows, photometrics)


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


def _open(source: Source) -> Dataset:
    return source if isinstance(source, Dataset) else read_lazily(source)


def _stated(cut: FaceCut | None) -> dict[str, Any]:
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
