"""Predictions on disk and in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hounsfield.records import Code, Finding, Prediction
from hounsfield.results import render_finding
from hounsfield.volume import Volume

__all__ = ["read_prediction", "summary_of", "write_prediction"]


def read_prediction(folder: Path) -> tuple[Prediction, np.ndarray | None]:
    """A prediction and its mask (axes z, y, x; uint8) from its product's folder."""
    prediction = Prediction.from_dict(json.loads((folder / "prediction.json").read_bytes()))
    mask = None
    if prediction.mask:
        with np.load(folder / prediction.mask) as archive:
            mask = archive["mask"]
    return prediction, mask


def write_prediction(
    folder: Path, prediction: Prediction, mask: np.ndarray | None, volume: Volume
) -> None:
    """Writes ``prediction.json``, ``mask.npz`` and a picture of the largest finding."""
    if mask is not None:
        np.savez_compressed(folder / "mask.npz", mask=mask)
    (folder / "prediction.json").write_text(json.dumps(prediction.to_dict(), indent=1))
    largest = max(prediction.findings, key=_size, default=None)
    if largest is not None and mask is not None:
        render_finding(
            volume.rescaled(),
            mask,
            largest,
            folder / "finding.png",
            spacing=volume.spacing_zyx,
            prediction=prediction,
        )


def _size(finding: Finding) -> float:
    return max((m.value for m in finding.measurements), default=0.0)


def summary_of(prediction: Prediction) -> dict[str, Any]:
    """What the catalog, the timeline and drift want to know: numbers by name, and a sentence."""
    numbers: dict[str, float] = {"findings": len(prediction.findings)}
    numbers |= {_slug(m.name.meaning): m.value for m in prediction.measurements}
    confidences = [f.confidence for f in prediction.findings if f.confidence is not None]
    if confidences:
        numbers["confidence"] = max(confidences)
    found, measured = prediction.findings, prediction.measurements
    words = [] if found or measured else ["no finding"]
    if found:
        words.append(f"{len(found)} finding{'s' if len(found) > 1 else ''}")
    words += [_words(finding) for finding in found[:3]]
    words += [f"{m.name.meaning} {m.value:.4g} {_unit(m.unit)}" for m in measured]
    return {"numbers": numbers, "summary": ", ".join(words)}


def _unit(unit: Code) -> str:
    """As a reader writes it; UCUM's own for the Hounsfield unit is ``[hnsf'U]``."""
    return "HU" if unit.value == "[hnsf'U]" else unit.value


def _words(finding: Finding) -> str:
    numbers = " ".join(f"{m.value:.1f} {m.unit.value}" for m in finding.measurements[:1])
    return f"{finding.label} {numbers}".strip()


def _slug(text: str) -> str:
    return "_".join(text.lower().split())
