"""From a probability map to nodules: outlined, located, measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hounsfield.inference import codes
from hounsfield.inference.measure import centroid_lps, long_axis_mm, volume_mm3
from hounsfield.inference.seams import Outcome, VolumeLike
from hounsfield.records import Finding, Measurement, Segment

__all__ = ["NoduleReport"]

_ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, slots=True)
class _Candidate:
    voxels: NDArray[np.intp]
    box_zyx: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    confidence: float
    long_axis_mm: float


@dataclass(frozen=True, slots=True)
class NoduleReport:
    """The report of a nodule model; a bundle's configuration makes one.

    Parameters
    ----------
    threshold
        Probability from which a voxel belongs to a nodule, 0 to 1.
    least_diameter_mm
        Smaller findings are not reported: long axis, mm.
    least_confidence
        Nor are those whose mean probability is below this.
    most_findings
        The most confident so many are reported, 255 at most.
    """

    threshold: float = 0.5
    least_diameter_mm: float = 4.0
    least_confidence: float = 0.5
    most_findings: int = 20

    def __call__(self, volume: VolumeLike, prediction: NDArray[np.float32]) -> Outcome:
        """One finding and one segment a nodule, the most confident first.

        Parameters
        ----------
        prediction
            (z, y, x), probability of nodule, on the volume's grid.
        """
        affine = np.asarray(volume.affine, dtype=np.float64)
        kept = sorted(
            self._candidates(prediction, affine), key=lambda one: one.confidence, reverse=True
        )
        dropped = max(0, len(kept) - self.most_findings)
        kept = kept[: self.most_findings]
        if not kept:
            return Outcome(extra=_summary(kept, dropped))
        mask = np.zeros(prediction.shape, dtype=np.uint8)
        for number, candidate in enumerate(kept, start=1):
            mask[tuple(candidate.voxels.T)] = number
        numbered = list(enumerate(kept, start=1))
        return Outcome(
            mask=mask,
            segments=tuple(_segment(number) for number, _ in numbered),
            findings=tuple(_finding(number, one, affine) for number, one in numbered),
            extra=_summary(kept, dropped),
        )

    def _candidates(
        self, prediction: NDArray[np.float32], affine: NDArray[np.float64]
    ) -> Iterator[_Candidate]:
        labels, _ = ndimage.label(prediction >= self.threshold, structure=_ANY_NEIGHBOUR)
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            inside = labels[box] == number
            voxels = np.argwhere(inside) + [edge.start for edge in box]
            confidence = float(prediction[box][inside].mean())
            if confidence < self.least_confidence:
                continue
            length = long_axis_mm(voxels, affine)
            if length >= self.least_diameter_mm:
                z, y, x = ((int(edge.start), int(edge.stop)) for edge in box)
                yield _Candidate(voxels, (z, y, x), confidence, length)


def _segment(number: int) -> Segment:
    return Segment(
        number=number,
        label=f"Nodule {number}",
        category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
        type=codes.NODULE,
        anatomic_region=codes.LUNG,
    )


def _finding(number: int, one: _Candidate, affine: NDArray[np.float64]) -> Finding:
    x, y, z = (round(float(value), 2) for value in centroid_lps(one.voxels, affine))
    volume = volume_mm3(one.voxels, affine)
    return Finding(
        label=f"Nodule {number}",
        type=codes.NODULE,
        measurements=(
            Measurement(codes.LONG_AXIS, round(one.long_axis_mm, 1), codes.MILLIMETRE),
            Measurement(codes.VOLUME, round(volume, 1), codes.MM3),
        ),
        segment=number,
        centroid_lps=(x, y, z),
        box_zyx=one.box_zyx,
        confidence=round(min(one.confidence, 1.0), 4),
        site=codes.LUNG,
    )


def _summary(kept: list[_Candidate], dropped: int) -> dict[str, float]:
    """Numbers for the catalog and for drift."""
    return {
        "findings": len(kept),
        "confidence": round(max((one.confidence for one in kept), default=0.0), 4),
        "findings_beyond_limit": dropped,
    }
