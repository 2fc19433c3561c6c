"""Result objects as files: bytes that repeat, and what the catalog keeps of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from hounsfield.dicom.writing import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

__all__ = ["ResultObject", "as_read", "describe", "part10"]


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One built object, by its own (derived) UIDs: free of PHI."""

    SOPInstanceUID: str
    SOPClassUID: str
    SeriesInstanceUID: str
    Modality: str
    sha256: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def part10(dataset: Dataset) -> bytes:
    """The dataset as a PS3.10 file, Explicit VR Little Endian; equal datasets, equal bytes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def as_read(dataset: Dataset) -> Dataset:
    """The dataset as its reader will have it, rid of the library that built it."""
    return dcmread(BytesIO(part10(dataset)))


def describe(objects: Iterable[Dataset | None]) -> list[ResultObject]:
    """Evidence of built objects, in the order given; None (no SEG) is left out."""
    return [_describe(dataset) for dataset in objects if dataset is not None]


def _describe(dataset: Dataset) -> ResultObject:
    data = part10(dataset)
    return ResultObject(
        SOPInstanceUID=str(dataset.SOPInstanceUID),
        SOPClassUID=str(dataset.SOPClassUID),
        SeriesInstanceUID=str(dataset.SeriesInstanceUID),
        Modality=str(dataset.Modality),
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
    )
