"""How good a model is: lesions found, false alarms, overlap; overall and by subgroup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hounsfield.inference.seams import Outcome

__all__ = ["Evaluation", "Score", "lesions_of"]


@dataclass(frozen=True, slots=True)
class Score:
    """Of one volume.

    Attributes
    ----------
    lesions, found
        True lesions, and those that a finding touches.
    false_positives
        Findings that touch no lesion.
    dice
        Of all voxels outlined against all that are lesion; None for a volume without lesions.
    """

    lesions: int
    found: int
    false_positives: int
    dice: float | None
    subgroup: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, outcome: Outcome, label: NDArray[Any], subgroup: Mapping[str, str] | None = None
    ) -> Score:
        """Compares what was found with the truth (z, y, x), both on the volume's grid."""
        mask = outcome.mask if outcome.mask is not None else np.zeros(label.shape, np.uint8)
        lesions, count = lesions_of(label)
        hit = np.unique(lesions[mask > 0])
        touching = np.unique(mask[label > 0])
        both = int(np.count_nonzero((mask > 0) & (label > 0)))
        total = int(np.count_nonzero(mask)) + int(np.count_nonzero(label))
        return cls(
            lesions=count,
            found=int(np.count_nonzero(hit)),
            false_positives=len(outcome.findings) - int(np.count_nonzero(touching)),
            dice=2 * both / total if count else None,
            subgroup=dict(subgroup or {}),
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a set of volumes."""

    scores: tuple[Score, ...]

    @property
    def overall(self) -> dict[str, float]:
        return _metrics(self.scores)

    @property
    def by_subgroup(self) -> dict[str, dict[str, dict[str, float]]]:
        """Metrics by field and value, such as ``["manufacturer"]["ACME"]["sensitivity"]``."""
        names = sorted({name for score in self.scores for name in score.subgroup})
        return {name: self._split(name) for name in names}

    def flat(self) -> dict[str, float]:
        """One number a name, as trackers take them: ``sensitivity.manufacturer.ACME``."""
        flat = dict(self.overall)
        for name, groups in self.by_subgroup.items():
            for value, metrics in groups.items():
                suffix = f"{_slug(name)}.{_slug(value)}"
                flat |= {f"{metric}.{suffix}": number for metric, number in metrics.items()}
        return flat

    def to_dict(self) -> dict[str, Any]:
        scores = [asdict(score) for score in self.scores]
        return {"overall": self.overall, "by_subgroup": self.by_subgroup, "scores": scores}

    def _split(self, name: str) -> dict[str, dict[str, float]]:
        values = sorted({score.subgroup.get(name, "unknown") for score in self.scores})
        return {
            value: _metrics([s for s in self.scores if s.subgroup.get(name, "unknown") == value])
            for value in values
        }


def lesions_of(label: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Numbers the lesions of a label array: equal values that touch are one lesion."""
    lesions = np.zeros(label.shape, dtype=np.int32)
    count = 0
    for value in np.unique(label[label > 0]):
        parts, more = ndimage.label(label == value, structure=np.ones((3, 3, 3)))
        lesions[parts > 0] = parts[parts > 0] + count
        count += more
    return lesions, count


def _metrics(scores: Sequence[Score]) -> dict[str, float]:
    """`sensitivity` and `dice` are missing where no volume has a lesion."""
    metrics = {
        "scans": float(len(scores)),
        "lesions": float(sum(s.lesions for s in scores)),
        "false_positives_per_scan": _mean(s.false_positives for s in scores),
    }
    if metrics["lesions"]:
        metrics["sensitivity"] = sum(s.found for s in scores) / metrics["lesions"]
        metrics["dice"] = _mean(s.dice for s in scores if s.dice is not None)
    return {name: round(value, 4) for name, value in metrics.items()}


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_").lower() or "unknown"
