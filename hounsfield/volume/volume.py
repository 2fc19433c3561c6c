"""A volume as it lies on disk, open for reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import blake3
import numpy as np
import zarr

from hounsfield.dicom.attributes import AttributeTable
from hounsfield.errors import IntegrityError, NotFound
from hounsfield.records import digest_of
from hounsfield.volume.layout import ARRAY, ATTRIBUTES, fast_codecs

__all__ = ["Rescale", "Volume", "content_digest", "slice_digest"]


def slice_digest(values: np.ndarray) -> str:
    """BLAKE3 of one slice's stored values, little-endian, row by row."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return blake3.blake3(little.view(np.uint8).data).hexdigest()


def content_digest(metadata: Mapping[str, Any], table: Any, slices: Sequence[str]) -> str:
    """A volume's digest over its metadata, its attribute table and its slices' digests."""
    content = {"metadata": metadata, "attributes": digest_of(table), "slices": list(slices)}
    return digest_of(content)


@dataclass(frozen=True, slots=True)
class Rescale:
    """Stored value × slope + intercept (PS3.3 C.11.1).

    Attributes
    ----------
    slope, intercept
        One value, or one a slice where they differ, as in PET.
    type
        Unit of the outcome: "HU", "BQML", …; empty where unknown.
    """

    slope: tuple[float, ...]
    intercept: tuple[float, ...]
    type: str


@dataclass(frozen=True)
class Volume:
    """One series on a regular grid of voxels.

    Attributes
    ----------
    path
        The OME-Zarr group.
    array
        Stored values, axes (z, y, x), read-only.
    metadata
        The group's ``hounsfield`` attribute.
    """

    path: Path
    array: zarr.Array
    metadata: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a volume that :func:`hounsfield.volume.build_volume` made.

        Raises
        ------
        NotFound
            There is no volume at `path`.
        """
        try:
            with fast_codecs():
                group = zarr.open_group(str(path), mode="r", zarr_format=3)
                array = group[ARRAY]
            metadata = group.attrs.asdict()["hounsfield"]
        except (FileNotFoundError, KeyError):
            raise NotFound("there is no volume at this place") from None
        assert isinstance(array, zarr.Array) and isinstance(metadata, dict)
        return cls(path, array, metadata)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        z, y, x = self.array.shape
        return z, y, x

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) float64: (x = column, y = row, z = slice, 1) → LPS millimetres.

        Indices start at zero and mean centres of voxels (PS3.3 C.7.6.2.1.1).
        """
        return np.array(self.metadata["affine_lps"], dtype=np.float64)

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxels along (z, y, x)."""
        z, y, x = self.metadata["spacing_zyx_mm"]
        return z, y, x

    @property
    def rescale(self) -> Rescale:
        stated = self.metadata["rescale"]
        return Rescale(tuple(stated["slope"]), tuple(stated["intercept"]), stated["type"])

    @property
    def modality(self) -> str:
        return str(self.metadata["Modality"])

    @property
    def digest(self) -> str:
        """SHA-256 over values, attributes and metadata, provenance left out.

        The same series gives the same digest wherever, however chunked, and whenever it was
        made into a volume. The files of the folder may differ.
        """
        return str(self.metadata["digest"])

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """SOPInstanceUID of each slice, in the order of the array's z axis.

        An enhanced multi-frame instance stands once for each of its frames.
        """
        return tuple(self.metadata["SOPInstanceUIDs"])

    @property
    def frames(self) -> tuple[int, ...]:
        """Zero-based frame of each slice in its instance, in the order of the z axis."""
        return tuple(self.metadata["frames"])

    @property
    def series_instance_uid(self) -> str:
        return str(self.metadata["SeriesInstanceUID"])

    @property
    def study_instance_uid(self) -> str:
        return str(self.metadata["StudyInstanceUID"])

    @property
    def frame_of_reference_uid(self) -> str:
        return str(self.metadata["FrameOfReferenceUID"])

    def rescaled(self, dtype: type[np.floating] = np.float32) -> np.ndarray:
        """The whole volume in its unit, HU for CT; axes (z, y, x)."""
        values = self.array[:].astype(dtype)  # type: ignore[union-attr]
        slope, intercept = (
            np.array(part, dtype=dtype)[:, None, None]
            for part in (self.rescale.slope, self.rescale.intercept)
        )
        values *= slope
        values += intercept
        return values

    @cached_property
    def attributes(self) -> AttributeTable:
        """Every DICOM element of the instances, in the order of :attr:`sop_instance_uids`."""
        return AttributeTable.from_dict(json.loads((self.path / ATTRIBUTES).read_bytes()))

    def verify(self) -> None:
        """Reads everything and compares it with the digest.

        Raises
        ------
        IntegrityError
            A value, an attribute or the metadata is not what was written.
        """
        metadata = {k: v for k, v in self.metadata.items() if k not in ("digest", "provenance")}
        try:
            table = json.loads((self.path / ATTRIBUTES).read_bytes())
            depth = self.array.chunks[0]
            slices = [
                slice_digest(plane)
                for start in range(0, self.shape[0], depth)
                for plane in np.asarray(self.array[start : start + depth])
            ]
            found = content_digest(metadata, table, slices)
        except Exception:  # a flipped bit makes codecs and parsers raise whatever they like
            found = ""
        if found != self.digest:
            raise IntegrityError(
                "a volume is not what was written",
                where=f"volume {self.digest[:12]}",
                remedy="restore it from another copy, or make it again",
            )
