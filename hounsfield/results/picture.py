"""One picture of a finding on its slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hounsfield.errors import GeometryError
from hounsfield.records import Finding, Measurement, Prediction
from hounsfield.results.identity import plain

__all__ = ["LUNG_WINDOW", "render_finding"]

#: Centre and width in HU; applied here, for the eye, and nowhere else.
LUNG_WINDOW = (-600.0, 1500.0)
_OUTLINE = "#ffb000"
_DPI = 100


def render_finding(
    volume: npt.NDArray[np.floating],
    mask: npt.NDArray[np.uint8] | None,
    finding: Finding,
    path: Path,
    *,
    spacing: tuple[float, float, float],
    prediction: Prediction,
    window: tuple[float, float] = LUNG_WINDOW,
) -> Path:
    """Writes a PNG of the slice that shows the finding best, with its outline.

    The caption tells model, version, label, size and that it is not for diagnostic use; there
    is nothing of the patient in it.

    Parameters
    ----------
    volume
        HU, axes (z, y, x).
    mask
        Label values on the same grid, or None: then the finding's box is drawn.
    spacing
        Millimetres along (z, y, x).
    window
        Centre and width, HU.

    Raises
    ------
    GeometryError
        Mask and volume are of different shapes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if mask is not None and mask.shape != volume.shape:
        raise GeometryError(f"the mask is {mask.shape}, the volume is {volume.shape}")
    z = _slice_of(volume.shape[0], mask, finding)
    rows, columns = volume.shape[1:]
    height = 6.0 * (rows * spacing[1]) / (columns * spacing[2])
    figure = Figure(figsize=(6.0, height + 0.7), dpi=_DPI, facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0.7 / (height + 0.7), 1, height / (height + 0.7)))
    axes.set_axis_off()
    centre, width = window
    axes.imshow(
        volume[z],
        cmap="gray",
        vmin=centre - width / 2,
        vmax=centre + width / 2,
        aspect=spacing[1] / spacing[2],
        interpolation="bilinear",
    )
    _outline(axes, mask, finding, z)
    figure.text(0.02, 0.012, _caption(finding, prediction, z), color="white", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No clock and no library version in the file: the same finding gives the same bytes.
    figure.savefig(path, format="png", facecolor="black", metadata={"Software": None})
    return path


def _slice_of(depth: int, mask: npt.NDArray[np.uint8] | None, finding: Finding) -> int:
    z0, z1 = finding.box_zyx[0] if finding.box_zyx else (0, depth)
    z0, z1 = max(z0, 0), min(z1, depth)
    if mask is not None and finding.segment is not None:
        counts = (mask[z0:z1] == finding.segment).sum(axis=(1, 2))
        if counts.any():
            return z0 + int(counts.argmax())
    return min((z0 + z1) // 2, depth - 1)


def _outline(axes: object, mask: npt.NDArray[np.uint8] | None, finding: Finding, z: int) -> None:
    outlined = mask is not None and finding.segment is not None
    if outlined and (mask[z] == finding.segment).any():  # type: ignore[index]
        inside = (mask[z] == finding.segment).astype(float)  # type: ignore[index]
        axes.contour(inside, levels=[0.5], colors=_OUTLINE, linewidths=1.2)  # type: ignore[attr-defined]
    if finding.box_zyx:
        _, (y0, y1), (x0, x1) = finding.box_zyx
        margin = 4
        x = np.array([x0 - margin, x1 + margin, x1 + margin, x0 - margin, x0 - margin]) - 0.5
        y = np.array([y0 - margin, y0 - margin, y1 + margin, y1 + margin, y0 - margin]) - 0.5
        axes.plot(x, y, color=_OUTLINE, linewidth=0.8, linestyle=":")  # type: ignore[attr-defined]


def _caption(finding: Finding, prediction: Prediction, z: int) -> str:
    what = [finding.label, *(_size(m) for m in finding.measurements[:3])]
    if finding.confidence is not None:
        what.append(f"confidence {finding.confidence:.2f}")
    lines = (
        ", ".join(what),
        f"{prediction.model} version {prediction.version}, slice {z + 1}",
        f"NOT FOR DIAGNOSTIC USE. {prediction.disclaimer}",
    )
    return "\n".join(plain(line, 100) for line in lines)


def _size(measurement: Measurement) -> str:
    return f"{measurement.name.meaning.lower()} {measurement.value:.4g} {measurement.unit.value}"
