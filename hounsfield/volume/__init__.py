"""DICOM series as OME-Zarr volumes.

Whatever reads OME-Zarr 0.5 opens one. xarray finds the names of the axes; its coordinates, in
millimetres, lie where OME-Zarr keeps them::

    volume = xarray.open_zarr("volumes/2.25.1.ome.zarr", consolidated=False)
    scale, start = volume.ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps = zip(volume["0"].dims, volume["0"].shape, start["translation"], scale["scale"])
    volume.assign_coords({axis: at + step * np.arange(n) for axis, n, at, step in steps})

These are steps and a first voxel, all that OME-Zarr 0.5 has: of a stack that is oblique or not
regular, :class:`Volume` has the `affine` to the patient (LPS), and in its metadata
``positions_lps`` of each slice.
"""

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
