"""How a volume lies in its folder: OME-Zarr 0.5 on Zarr v3, and an attribute table.

::

    VOLUME/
    ├── zarr.json         the group: "ome" (multiscales, NGFF 0.5) and "hounsfield"
    ├── 0/                stored values, axes (z, y, x)
    └── attributes.json   every DICOM element of every instance, as DICOM JSON
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

__all__ = [
    "ARRAY",
    "ATTRIBUTES",
    "LOCAL",
    "OBJECT_STORE",
    "Layout",
    "create",
    "fast_codecs",
    "multiscales",
]

ARRAY = "0"
ATTRIBUTES = "attributes.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """Chunks of the array, in voxels (z, y, x).

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

    def fitted(self, shape: tuple[int, int, int]) -> Layout:
        """The same for an array that is smaller than a chunk or a shard."""
        chunk = tuple(min(c, n) for c, n in zip(self.chunk, shape, strict=True))
        if self.shard is None:
            return Layout(chunk, None, self.slab)  # type: ignore[arg-type]
        # A shard is a whole number of chunks; it may reach over the array's edge.
        shard = tuple(
            min(s, -(-n // c) * c) // c * c
            for s, n, c in zip(self.shard, shape, chunk, strict=True)
        )
        return Layout(chunk, shard, self.slab)  # type: ignore[arg-type]


# Measured on a CT of 300 slices with zarrs on two cores. Slabs are as deep as a chunk or a
# shard, so that no file is written twice.
#: For a local disk: reads whole 1.5 times as fast as the other, in some 300 files.
LOCAL = Layout(chunk=(64, 64, 64), shard=None)
#: For object stores and random crops: crops of 96³ 1.4 times as fast, in 6 files; slow
#: without zarrs.
OBJECT_STORE = Layout(chunk=(32, 32, 32), shard=(64, 512, 512))


@contextmanager
def fast_codecs() -> Iterator[None]:
    """Lets the Rust codec pipeline (zarrs) serve arrays opened meanwhile, where it is there."""
    try:
        import zarrs  # noqa: F401
    except ImportError:
        yield
        return
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield


def create(folder: Path, shape: tuple[int, int, int], dtype: str, layout: Layout) -> zarr.Array:
    """The array of a new volume, empty.

    LZ4 with bit shuffle: medical integers seldom use their upper bits, so bit planes pack
    well; among codecs that decompress at memory speed it gave the smallest volumes.
    """
    fitted = layout.fitted(shape)
    group = zarr.create_group(store=str(folder), zarr_format=3)
    return group.create_array(
        ARRAY,
        shape=shape,
        chunks=fitted.chunk,
        shards=fitted.shard,
        dtype=np.dtype(dtype),
        compressors=BloscCodec(
            cname="lz4", clevel=5, shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize
        ),
        fill_value=0,
        dimension_names=("z", "y", "x"),
    )


def multiscales(spacing_zyx: tuple[float, ...], origin_zyx: tuple[float, ...]) -> dict[str, Any]:
    """The ``ome`` attribute (NGFF 0.5): one resolution level, millimetres.

    NGFF 0.5 has scale and translation only. The rotation is in the ``hounsfield`` attribute's
    affine; the translation here is the first voxel's place along each patient axis.
    """
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": "volume",
                "axes": [
                    {"name": name, "type": "space", "unit": "millimeter"}
                    for name in ("z", "y", "x")
                ],
                "datasets": [
                    {
                        "path": ARRAY,
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [float(v) for v in spacing_zyx]},
                            {"type": "translation", "translation": [float(v) for v in origin_zyx]},
                        ],
                    }
                ],
            }
        ],
    }
