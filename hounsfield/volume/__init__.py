"""DICOM series as OME-Zarr volumes."""

from __future__ import annotations

from hounsfield.volume.build import build_volume
from hounsfield.volume.chunk import chunk_folder
from hounsfield.volume.series import SeriesPlan, series_volumes, stack_of
from hounsfield.volume.volume import Rescale, Volume

__all__ = [
    "Rescale",
    "SeriesPlan",
    "Volume",
    "build_volume",
    "chunk_folder",
    "series_volumes",
    "stack_of",
]
