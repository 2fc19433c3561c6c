"""A folder of DICOM into a folder of volumes, with a report of every series."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hounsfield.dicom.folders import check_apart, new_part, sweep_parts, uid_name
from hounsfield.dicom.reading import find_files, group_by_series
from hounsfield.errors import ConfigError, PermanentError
from hounsfield.settings import VolumeSettings
from hounsfield.volume.build import build_volume
from hounsfield.volume.graph import Progress, compute
from hounsfield.volume.layout import LAYOUTS
from hounsfield.volume.series import SeriesPlan, parts_of, plans_of
from hounsfield.volume.volume import Volume

__all__ = ["REPORT", "SUFFIX", "chunk_folder"]

REPORT = "report.json"
#: Of a volume's folder.
SUFFIX = ".ome.zarr"


def chunk_folder(
    src: Path,
    dst: Path,
    progress: Progress | None = None,
    settings: VolumeSettings | None = None,
) -> dict[str, Any]:
    """Makes a volume of each series under `src` that is one.

    Parameters
    ----------
    src
        Any nesting of folders, any mix of files. It is only read.
    dst
        Gets a folder ``SeriesInstanceUID.ome.zarr`` for each volume, and ``report.json``. Of a
        series of several pictures each is one: ``SeriesInstanceUID-1.ome.zarr`` and so on.
    settings
        How they are made. Each series is one task of a Dask graph, on as many threads as it
        names workers, or on the cluster whose address it gives.

    Returns
    -------
    dict
        The report: under "series", by SeriesInstanceUID, the volume's path relative to `dst`,
        its shape by axis, its affine (column, row, slice → LPS mm; null for pictures) and
        digest, or the reason why there is none; where the series has several pictures, the
        same for each of them under "pictures". Under "refused_files", by path relative to
        `src`, why a file is in no series. It is about the input and names it: it belongs
        where the input belongs.

    Raises
    ------
    ConfigError
        If `dst` lies in `src`, or the other way round, or is a file.
    StoreUnavailable
        The disk is full or cannot be written, or no cluster is at the address.
    """
    check_apart(src, dst)
    root = src.parent if src.is_file() else src
    found = group_by_series(find_files(src))
    plans = plans_of(found)
    sweep_parts(dst, f"*{SUFFIX}")
    chosen = settings or VolumeSettings()
    entries = compute(
        [partial(_entry, plan, dst.resolve(), chosen) for plan in plans], chosen, progress
    )
    report = {
        "series": {
            plan.series_instance_uid: entry for plan, entry in zip(plans, entries, strict=True)
        },
        "refused_files": {
            path.relative_to(root).as_posix(): str(error) for path, error in found.refused.items()
        },
    }
    with new_part(dst / REPORT) as part:
        (part / REPORT).write_text(json.dumps(report, indent=1, sort_keys=True))
        (part / REPORT).replace(dst / REPORT)
    return report


def _entry(plan: SeriesPlan, dst: Path, settings: VolumeSettings) -> dict[str, Any]:
    entry: dict[str, Any] = {"Modality": plan.modality, "files": len(plan.paths), "volume": None}
    if plan.reason:
        return {**entry, "reason": f"no volume: {plan.reason}"}
    parts = parts_of(plan.paths)
    name = uid_name(plan.series_instance_uid)
    if len(parts) == 1:
        return {**entry, **_part(parts[0], dst / f"{name}{SUFFIX}", settings)}
    numbers = range(1, len(parts) + 1)
    made = [
        _part(part, dst / f"{name}-{number}{SUFFIX}", settings)
        for number, part in zip(numbers, parts, strict=True)
    ]
    # The first that is one speaks for the series; without any, the first reason does.
    first = next((one for one in made if one["volume"]), made[0])
    return {**entry, **first, "pictures": made}


def _part(paths: Sequence[Path], path: Path, settings: VolumeSettings) -> dict[str, Any]:
    try:
        volume = build_volume(
            paths,
            path,
            provenance={"made_by": "hounsfield chunk"},
            layout=LAYOUTS[settings.recipe],
            memory_bytes=(settings.memory_mib << 20) // (1 if settings.dask else settings.workers),
            resample_tilt=settings.resample_tilt,
        )
    except ConfigError:
        raise  # about the folder, not about the series
    except PermanentError as error:
        reason = f"no volume: {error}"
        if path.exists():
            reason += f"; {path.name} is of an earlier run"
        return {"volume": None, "reason": reason, "error": error.code}
    return {"volume": path.name, **_describe(volume)}


def _describe(volume: Volume) -> dict[str, Any]:
    return {
        "axes": list(volume.axes),
        "shape": dict(zip(volume.axes, volume.shape, strict=True)),
        "dtype": str(volume.array.dtype),
        "spacing_mm": volume.spacing_mm,
        **_place(volume),
        "stacked": volume.metadata["stacked"],
        "digest": volume.digest,
    }


def _place(volume: Volume) -> dict[str, Any]:
    if not volume.has_place:
        return {"affine": None}
    return {
        "affine": volume.affine.tolist(),
        "affine_maps": "(x = column, y = row, z = slice, 1), zero-based, to LPS millimetres",
        "regular": bool(volume.metadata["regular"]),
    }
