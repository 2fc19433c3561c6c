"""A volume as it lies on disk, open for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import blake3
import numpy as np
import zarr
from pydicom.pixels import apply_modality_lut

from hounsfield.dicom.attributes import AttributeTable
from hounsfield.errors import GeometryError, IntegrityError, NotFound
from hounsfield.records import digest_of
from hounsfield.volume.layout import ARRAY, ATTRIBUTES, fast_codecs
from hounsfield.volume.metadata import ngff_of

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
        One value, or one for each of :attr:`Volume.frames` where they differ, as in PET.
    type
        Unit of the outcome: "HU", "BQML", …; empty where unknown.
    lut
        "ModalityLUTSequence" where a table of the attributes gives the unit in place of slope
        and intercept; else empty.
    """

    slope: tuple[float, ...]
    intercept: tuple[float, ...]
    type: str
    lut: str = ""


@dataclass(frozen=True)
class Volume:
    """One series as an array of voxels.

    Most are stacks of axes (z, y, x). Where images share their places (echoes, phases,
    b-values, time points) there is an axis t or c before z. Pictures have (y, x), films
    (t, y, x), and either an axis c before y where there is colour.

    Attributes
    ----------
    path
        The OME-Zarr group.
    array
        Stored values, read-only.
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
    def axes(self) -> tuple[str, ...]:
        """Names of the array's axes, slowest first, such as ("z", "y", "x")."""
        return tuple(self.metadata.get("axes", "zyx"))

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along :attr:`axes`."""
        return tuple(self.array.shape)

    @property
    def is_regular(self) -> bool:
        """Whether it is one stack of axes (z, y, x) whose steps are all the same.

        Only then does the affine say where every voxel lies, and only such a volume is one
        for models, crops and masks.
        """
        return self.axes == ("z", "y", "x") and bool(self.metadata.get("regular", True))

    def check_regular(self) -> None:
        """Refuses what is no regular stack.

        Raises
        ------
        GeometryError
            It has other axes, or its slices are not equally far apart.
        """
        if self.axes != ("z", "y", "x"):
            raise GeometryError(
                f"a volume has the axes ({', '.join(self.axes)}), and (z, y, x) are wanted",
                remedy="choose one index of the first axis, or another series",
            )
        if not self.is_regular:
            raise GeometryError(
                "the slices of a volume are not equally far apart",
                remedy="resample it by its positions_lps, or choose another series",
            )

    @property
    def has_place(self) -> bool:
        """Whether it lies somewhere in the patient; pictures and films do not."""
        return self.metadata["affine_lps"] is not None

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) float64: (x = column, y = row, z = slice, 1) → LPS millimetres.

        Indices start at zero and mean centres of voxels (PS3.3 C.7.6.2.1.1). Of a stack that
        is not regular it is true for the first and the last slice.

        Raises
        ------
        GeometryError
            The volume is a picture without a place in the patient.
        """
        self._check_place()
        return np.array(self.metadata["affine_lps"], dtype=np.float64)

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxels along (z, y, x); the mean, of uneven steps.

        Raises
        ------
        GeometryError
            As :attr:`affine`.
        """
        self._check_place()
        z, y, x = self.metadata["spacing_zyx_mm"]
        return z, y, x

    def _check_place(self) -> None:
        if not self.has_place:
            raise GeometryError("a picture has no place in the patient")

    @property
    def spacing_mm(self) -> dict[str, float]:
        """Millimetres by axis of space; empty for a picture whose header states none."""
        names = "zyx" if self.has_place else "yx"
        stated = self.metadata[f"spacing_{names}_mm"]
        return dict(zip(names, stated, strict=True)) if stated else {}

    @property
    def rescale(self) -> Rescale:
        stated = self.metadata["rescale"]
        slope, intercept = tuple(stated["slope"]), tuple(stated["intercept"])
        return Rescale(slope, intercept, stated["type"], stated.get("lut", ""))

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
        """SOPInstanceUID of each plane, in the order of the axes before the plane's.

        A multi-frame instance stands once for each of its frames.
        """
        return tuple(self.metadata["SOPInstanceUIDs"])

    @property
    def frames(self) -> tuple[int, ...]:
        """Zero-based frame of each plane in its instance, in the same order."""
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
        """The whole volume in its unit, HU for CT; its own axes."""
        if self.rescale.lut:
            return self._looked_up().astype(dtype)
        values = np.asarray(self.array[...]).astype(dtype)
        slope, intercept = (
            self._by_plane(np.array(part, dtype=dtype))
            for part in (self.rescale.slope, self.rescale.intercept)
        )
        values *= slope
        values += intercept
        return values

    def _looked_up(self) -> np.ndarray:
        """Values by the Modality LUT of their instance (PS3.3 C.11.1)."""
        uids = self.sop_instance_uids
        headers = {uid: self.attributes.dataset(at) for at, uid in enumerate(dict.fromkeys(uids))}
        planes = [
            apply_modality_lut(plane, headers[uid])
            for uid, plane in zip(uids, self.planes(), strict=True)
        ]
        return np.stack(planes).reshape(self.shape)

    def _by_plane(self, values: np.ndarray) -> np.ndarray:
        """One value, or one a plane, so shaped that they meet their planes in the array."""
        if values.size == 1:
            return values.reshape(())
        before = len(self.shape) - self._plane_axes
        return values.reshape(*self.shape[:before], *(1 for _ in range(self._plane_axes)))

    @property
    def _plane_axes(self) -> int:
        """Axes of one plane: 2, or 3 where a picture has colours."""
        return 3 if self.axes[-3:] == ("c", "y", "x") else 2

    def planes(self) -> Iterator[np.ndarray]:
        """Stored values of each plane, in the order of :attr:`sop_instance_uids`.

        (y, x) each, or (c, y, x) where there is colour. No more than a layer of chunks is in
        memory at once.
        """
        leading = self.shape[: len(self.shape) - self._plane_axes]
        if not leading:
            yield np.asarray(self.array[...])
            return
        *outer, count = leading
        layer = (self.array.shards or self.array.chunks)[len(outer)]
        for place in np.ndindex(*outer):
            for start in range(0, count, layer):
                yield from np.asarray(self.array[(*place, slice(start, start + layer))])

    @cached_property
    def attributes(self) -> AttributeTable:
        """Every DICOM element of the instances, as they first occur in `sop_instance_uids`."""
        return AttributeTable.from_dict(json.loads((self.path / ATTRIBUTES).read_bytes()))

    def verify(self) -> None:
        """Reads everything and compares it with the digest, and what is said twice with itself.

        Raises
        ------
        IntegrityError
            A value, an attribute or the metadata is not what was written.
        """
        metadata = {k: v for k, v in self.metadata.items() if k not in ("digest", "provenance")}
        try:
            table = json.loads((self.path / ATTRIBUTES).read_bytes())
            found = content_digest(metadata, table, [slice_digest(p) for p in self.planes()])
            is_whole = found == self.digest and self._tells_others_the_same()
        except Exception:  # a flipped bit makes codecs and parsers raise whatever they like
            is_whole = False
        if not is_whole:
            raise IntegrityError(
                "a volume is not what was written",
                where=f"volume {self.digest[:12]}",
                remedy="restore it from another copy, or make it again",
            )

    def _tells_others_the_same(self) -> bool:
        """Whether OME-Zarr and Zarr name the axes, and place them, as the metadata do."""
        told = json.loads((self.path / "zarr.json").read_bytes())["attributes"]["ome"]
        names = getattr(self.array.metadata, "dimension_names", None)  # of Zarr v3
        return told == ngff_of(self.metadata) and names == self.axes
