"""Builds a volume from a series: Dask reads slabs of slices and writes them chunk-aligned."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr
from pydicom.dataset import Dataset

from hounsfield.dicom.attributes import AttributeTable, Encoder, Instance
from hounsfield.dicom.codecs import decode
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
    multiscales,
)
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
    """Makes one OME-Zarr 0.5 volume of one series.

    Parameters
    ----------
    sources
        The instances of the series, in any order: files, or whole datasets in memory.
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


def _write(
    folder: Path,
    stack: Stack,
    provenance: Mapping[str, Any],
    layout: Layout,
    scheduler: str,
    *,
    deface: bool,
) -> None:
    shape = stack.geometry.shape_zyx
    cut = cut_of(stack) if deface else None
    with fast_codecs():
        create(folder, shape, stack.header.dtype, layout)
        tasks = [
            dask.delayed(_write_slab)(
                folder, start, stack.slices[start : start + layout.slab], shape, cut
            )
            for start in range(0, shape[0], layout.slab)
        ]
        slabs = dask.compute(*tasks, scheduler=scheduler)
    rows: dict[str, Instance] = {}
    for _, instances in slabs:
        rows.update(instances)
    table = AttributeTable.of(rows.values()).to_dict()
    (folder / ATTRIBUTES).write_text(json.dumps(table, allow_nan=False, separators=(",", ":")))
    metadata = _metadata(stack)
    if deface:
        metadata["deface"] = _stated(cut)
    digests = [digest for slab, _ in slabs for digest in slab]
    metadata["digest"] = content_digest(metadata, table, digests)
    metadata["provenance"] = dict(provenance)
    geometry = stack.geometry
    origin = tuple(float(v) for v in geometry.affine[2::-1, 3])
    group = zarr.open_group(str(folder), mode="r+", zarr_format=3)
    group.update_attributes(
        {"ome": multiscales(geometry.spacing_zyx, origin), "hounsfield": metadata}
    )


def _write_slab(
    folder: Path,
    start: int,
    slices: Sequence[Slice],
    shape: tuple[int, int, int],
    cut: FaceCut | None,
) -> tuple[list[str], dict[str, Instance]]:
    """Decodes slices into their place; gives the digests of their values and their attributes.

    The attributes come keyed by SOPInstanceUID, in the order in which the instances first
    occur along z.
    """
    with fast_codecs():
        array = zarr.open_group(str(folder), mode="r+", zarr_format=3)[ARRAY]
    assert isinstance(array, zarr.Array)
    slab = np.empty((len(slices), *shape[1:]), dtype=array.dtype)
    encoder, rows = Encoder(), {}
    opened: dict[str, Dataset] = {}
    for place, item in enumerate(slices):
        if item.sop_instance_uid not in opened:
            opened = {item.sop_instance_uid: _open(item.source)}
        dataset = opened[item.sop_instance_uid]
        if item.sop_instance_uid not in rows:
            # Before decoding: elements that nobody asked for yet still have their bytes.
            rows[item.sop_instance_uid] = encoder.instance(dataset)
        values = decode(dataset, frame=item.frame)[0]
        if values.shape != slab.shape[1:] or values.dtype != slab.dtype:
            raise UndecodablePixels(
                f"slice {start + place} holds {values.dtype} and its header says {slab.dtype}"
            )
        slab[place] = values
        if cut is not None:
            slab[place][cut.mask(start + place, shape[1:])] = cut.fill
    try:
        array[start : start + len(slices)] = slab
    except RuntimeError:  # what zarrs makes of a full disk
        raise StoreUnavailable(
            "a volume could not be written", remedy="free space, then run it again"
        ) from None
    return [slice_digest(values) for values in slab], rows


def _open(source: Source) -> Dataset:
    return source if isinstance(source, Dataset) else read_lazily(source)


def _metadata(stack: Stack) -> dict[str, Any]:
    header, geometry = stack.header, stack.geometry
    uids = [item.sop_instance_uid for item in stack.slices]
    return {
        "format": 1,
        "shape_zyx": list(geometry.shape_zyx),
        "dtype": header.dtype,
        "affine_lps": geometry.affine.tolist(),
        "spacing_zyx_mm": list(geometry.spacing_zyx),
        "spacing_source": geometry.spacing_source,
        "gantry_tilt_degrees": round(geometry.tilt_degrees, 6),
        "rescale": {
            "slope": _once([item.slope for item in stack.slices]),
            "intercept": _once([item.intercept for item in stack.slices]),
            "type": header.rescale_type,
        },
        "Modality": header.Modality,
        "PhotometricInterpretation": header.PhotometricInterpretation,
        "PixelPaddingValue": header.padding[0],
        "PixelPaddingRangeLimit": header.padding[1],
        "StudyInstanceUID": header.StudyInstanceUID,
        "SeriesInstanceUID": header.SeriesInstanceUID,
        "FrameOfReferenceUID": header.FrameOfReferenceUID,
        "SOPInstanceUIDs": uids,
        "frames": [item.frame for item in stack.slices],
    }


def _stated(cut: FaceCut | None) -> dict[str, Any]:
    if cut is None:
        return {"method": METHOD, "done": False, "reason": "the series does not say it is a head"}
    return {"method": METHOD, "done": True, **cut.to_dict()}


def _once(values: list[float]) -> list[float]:
    """One value for all slices where they agree, else one a slice."""
    return values[:1] if len(set(values)) == 1 else values


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
