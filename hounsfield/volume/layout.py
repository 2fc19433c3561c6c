"""How a volume lies in its folder: OME-Zarr 0.5 on Zarr v3, and an attribute table.

::

    VOLUME/
    ├── zarr.json         the group: "ome" (multiscales, NGFF 0.5) and "hounsfield"
    ├── 0/                stored values, axes ([t or c,] z, y, x) or ([t,] [c,] y, x)
    └── attributes.json   every DICOM element of every instance, as DICOM JSON
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.core.sync import sync

__all__ = [
    "ARRAY",
    "ATTRIBUTES",
    "COPIES",
    "LAYOUTS",
    "LOCAL",
    "OBJECT_STORE",
    "Layout",
    "create",
    "fast_codecs",
    "multiscales",
    "wait_for_writes",
]

ARRAY = "0"
ATTRIBUTES = "attributes.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """Chunks of the array, in voxels (z, y, x), and what follows for other axes.

    Attributes
    ----------
    chunk
        What one read must decompress.
    shard
        What one file holds; None for a file a chunk.
    slab
        Slices that one task reads and writes: a multiple of the chunks along z, since a
        chunk that two tasks share would be written twice, or lost.
    """

    chunk: tuple[int, int, int]
    shard: tuple[int, int, int] | None
    slab: int = 64

    def within(self, memory_bytes: int, plane_bytes: int) -> Layout:
        """The same, shallower where a slab and its copies would take more memory than that."""
        layout = self
        while layout.slab > 1 and layout.slab * plane_bytes * COPIES > memory_bytes:
            layout = layout._halved()
        return layout

    def _halved(self) -> Layout:
        half = self.slab // 2
        chunk = (min(self.chunk[0], half), *self.chunk[1:])
        return Layout(chunk, self.shard and (half, *self.shard[1:]), half)

    def fitted(
        self, axes: Sequence[str], shape: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Chunks and shards of an array: none larger than it, one place of t or c each.

        Pictures and films have no z: what is read of them is a frame, so a chunk is one, or a
        part of one where it is large, with all its colours.
        """
        if "z" in axes:
            chunk = _smaller(self.chunk, shape)
            # A shard is a whole number of chunks; it may reach over the array's edge.
            shard = self.shard and tuple(
                max(c, min(s, -(-n // c) * c) // c * c)
                for s, n, c in zip(self.shard, shape[-3:], chunk[-3:], strict=True)
            )
            return chunk, shard and (*chunk[:-3], *shard)
        colours = shape[axes.index("c")] if "c" in axes else 1
        chunk = _smaller((PICTURE_CHUNK, PICTURE_CHUNK), shape)
        whole = [-(-n // c) * c for n, c in zip(shape[-2:], chunk[-2:], strict=True)]
        if "c" in axes:
            chunk = (*chunk[:-3], colours, *chunk[-2:])
        return chunk, self.shard and (*chunk[:-2], *whole)

    def steps(self, axes: Sequence[str], count: int, plane_bytes: int) -> range:
        """Where slabs start along the last axis before the plane's, `count` long."""
        # A frame of a film is a chunk of its own: slabs of them may be as small as memory asks.
        slab = self.slab if "z" in axes else max(1, min(self.slab, FILM_BYTES // plane_bytes))
        return range(0, count, slab)


def _smaller(chunk: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """`chunk` for the last axes of an array that may be smaller; 1 for those before."""
    before = len(shape) - len(chunk)
    fitting = (min(c, n) for c, n in zip(chunk, shape[before:], strict=True))
    return (*(1 for _ in range(before)), *fitting)


#: Pixels along each side of a chunk of a picture.
PICTURE_CHUNK = 512
#: What is decoded of a film at once.
FILM_BYTES = 64 << 20

# Measured on a CT of 300 slices with zarrs on two cores. Slabs are as deep as a chunk or a
# shard, so that no file is written twice.
#: For a local disk: reads whole 1.5 times as fast as the other, in some 300 files.
LOCAL = Layout(chunk=(64, 64, 64), shard=None)
#: For object stores and random crops: crops of 96³ 1.4 times as fast, in 6 files; slow
#: without zarrs.
OBJECT_STORE = Layout(chunk=(32, 32, 32), shard=(64, 512, 512))
#: By the names that configurations know them by.
LAYOUTS = {"unsharded": LOCAL, "sharded": OBJECT_STORE}


#: A slab is in memory as read, as the codecs take it, and compressed.
COPIES = 3

#: Zarr's settings are one for all threads.
_OPENING = RLock()


@contextmanager
def fast_codecs() -> Iterator[None]:
    """Lets the Rust codec pipeline (zarrs) serve arrays opened meanwhile, where it is there.

    For opening alone: an array keeps its pipeline, and other threads wait for their turn.
    """
    try:
        import zarrs  # noqa: F401
    except ImportError:
        yield
        return
    with _OPENING, zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield


def create(
    folder: Path, axes: Sequence[str], shape: Sequence[int], dtype: str, layout: Layout
) -> zarr.Array:
    """The array of a new volume, empty, and open for slabs to be written.

    LZ4 with bit shuffle: medical integers seldom use their upper bits, so bit planes pack
    well; among codecs that decompress at memory speed it gave the smallest volumes.
    """
    chunks, shards = layout.fitted(axes, shape)
    with fast_codecs():
        group = zarr.create_group(store=str(folder), zarr_format=3)
        return group.create_array(
            ARRAY,
            shape=tuple(shape),
            chunks=chunks,
            shards=shards,
            dtype=np.dtype(dtype),
            compressors=BloscCodec(
                cname="lz4", clevel=5, shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize
            ),
            fill_value=0,
            dimension_names=tuple(axes),
        )


def wait_for_writes() -> None:
    """Returns when zarr writes nothing any more.

    Where one of its writes fails, zarr raises at once, and others go on behind its back: they
    would make anew what the caller removes.
    """
    sync(_other_tasks())


async def _other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


# NGFF 0.5, "axes": type and unit by name.
_AXES: dict[str, dict[str, str]] = {
    "t": {"name": "t", "type": "time"},
    "c": {"name": "c", "type": "channel"},
    **{name: {"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"},
}


def multiscales(
    axes: Sequence[str],
    scale: Mapping[str, float],
    origin: Mapping[str, float],
    *,
    seconds: bool = False,
) -> dict[str, Any]:
    """The ``ome`` attribute (NGFF 0.5): one resolution level.

    NGFF 0.5 has scale and translation only. The rotation is in the ``hounsfield`` attribute's
    affine; the translation here is the first voxel's place along each patient axis.

    Parameters
    ----------
    scale, origin
        By axis; mm for those of space. Where an axis of space has no scale, none has a unit.
    seconds
        Whether the scale of t is in seconds; else it is a mere number.
    """
    described = [dict(_AXES[name]) for name in axes]
    for axis in described:
        if "x" not in scale:
            axis.pop("unit", None)
        if axis["name"] == "t" and seconds:
            axis["unit"] = "second"
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": "volume",
                "axes": described,
                "datasets": [
                    {
                        "path": ARRAY,
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [float(scale.get(a, 1)) for a in axes]},
                            {
                                "type": "translation",
                                "translation": [float(origin.get(a, 0)) for a in axes],
                            },
                        ],
                    }
                ],
            }
        ],
    }
