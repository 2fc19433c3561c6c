"""infer on a folder: without a catalog, for a person at a terminal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hounsfield.dicom.folders import check_apart, new_part, sweep_parts
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.errors import ConfigError, NotFound, PermanentError
from hounsfield.inference import run_bundle
from hounsfield.records import Prediction
from hounsfield.results import OutputSettings
from hounsfield.settings import parse
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.objects import write_objects
from hounsfield.stages.predictions import summary_of, write_prediction
from hounsfield.tracking import ModelVersion
from hounsfield.volume import SeriesPlan, Volume, build_volume, series_volumes

__all__ = ["infer_folder"]


def infer_folder(
    site: Site,
    source: Path,
    destination: Path,
    *,
    model: str,
    alias: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs a model on each series of a folder that is a volume, without the catalog.

    Parameters
    ----------
    destination
        Gets a folder for each series, named by its key: ``prediction.json``, ``mask.npz``,
        ``finding.png``, ``sr.dcm`` and ``seg.dcm``. The DICOM objects bear the input's
        patient: they belong where the input belongs.

    Returns
    -------
    dict
        ``series``: by key, its ``summary``, or the ``reason`` why there is none.

    Raises
    ------
    NotFound
        If the registry has no such model.
    ConfigError
        If `destination` lies in `source`, or the other way round.
    """
    check_apart(source, destination)
    pseudonyms = site.pseudonyms  # refuses where there is no key, before MLflow is touched
    tracker = tracker_of(site)
    version = tracker.resolve(model, alias)
    if version is None:
        raise NotFound(
            f"no version of {model} is {alias}", remedy="run hounsfield setup, or train_model"
        )
    sweep_parts(destination, "*")
    plans = series_volumes(find_files(source))
    report: dict[str, Any] = {"model": version.label, "series": {}}
    for number, plan in enumerate(plans):
        if progress is not None:
            progress(number, len(plans))
        key = pseudonyms.series_key(plan.series_instance_uid)
        report["series"][key] = _infer_series(site, plan, destination / key, version)
    destination.mkdir(parents=True, exist_ok=True)
    (destination / "report.json").write_text(json.dumps(report, indent=1))
    return report


def _infer_series(
    site: Site, plan: SeriesPlan, folder: Path, version: ModelVersion
) -> dict[str, Any]:
    if plan.reason:
        return {"summary": "", "reason": plan.reason}
    weights = tracker_of(site).weights(version, cache=site.settings.home / "cache" / "models")
    try:
        with new_part(folder) as part:
            volume = build_volume(list(plan.paths), part / VOLUME, provenance={})
            volume.check_regular()
            prediction, mask = run_bundle(
                site.settings.models / version.name,
                volume,
                weights=weights,
                version=version.version,
                study_key=site.pseudonyms.study_key(volume.study_instance_uid),
                series_key=folder.name,
                volume_digest=volume.digest,
            )
            draft = part / "results"
            _write(site, draft, prediction, mask, volume, plan)
            shutil.rmtree(folder, ignore_errors=True)  # what an earlier run said of this series
            draft.rename(folder)
    except ConfigError:
        raise
    except PermanentError as reason:
        return {"summary": "", "reason": reason.what}
    return summary_of(prediction)


def _write(
    site: Site,
    folder: Path,
    prediction: Prediction,
    mask: np.ndarray | None,
    volume: Volume,
    plan: SeriesPlan,
) -> None:
    headers = {str(header.SOPInstanceUID): header for header in map(read_header, plan.paths)}
    folder.mkdir()
    write_prediction(folder, prediction, mask, volume)
    write_objects(
        folder,
        prediction,
        mask,
        [headers[uid] for uid in volume.sop_instance_uids],
        volume,
        uid=site.pseudonyms.uid,
        when=datetime.now(UTC),
        settings=parse(OutputSettings, site.settings.configs / "outputs.yaml"),
    )
