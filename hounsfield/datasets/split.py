"""Splits by patient: nobody is learned from and tested on.

Each patient draws a number from the seed and the patient's own pseudonym alone, so a
patient stays in a split when others come or go: what a later snapshot trains on was never
in an earlier one's test set.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from hounsfield.errors import ConfigError

__all__ = ["SPLITS", "Fractions", "split_patients"]

#: The names that MONAI's data lists use.
SPLITS = ("training", "validation", "testing")


@dataclass(frozen=True, slots=True)
class Fractions:
    """Shares of the patients; they sum to 1."""

    training: float = 0.7
    validation: float = 0.15
    testing: float = 0.15

    def __post_init__(self) -> None:
        shares = tuple(asdict(self).values())
        if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise ConfigError("the fractions do not sum to 1", where="fractions")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Parses fractions by split.

        Raises
        ------
        ConfigError
            If a split is unknown or left out, or a share is no number.
        """
        if set(data) != set(SPLITS):
            raise ConfigError(f"give exactly {', '.join(SPLITS)}", where="fractions")
        try:
            return cls(**{name: float(data[name]) for name in SPLITS})
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError("a share is not a number", where="fractions") from None

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def split_patients(patients: Iterable[str], seed: int, fractions: Fractions) -> dict[str, str]:
    """Patient → split.

    Where chance leaves a wanted split of a small cohort empty, the patient whose draw lies
    nearest to it goes there; only then may a patient's split depend on the others.

    Parameters
    ----------
    patients
        Pseudonyms, in any order, repeats allowed.
    """
    draws = {patient: _draw(patient, seed) for patient in sorted(set(patients))}
    spans = _spans(fractions)
    split = {patient: _where(draw, spans) for patient, draw in draws.items()}
    for name, (low, high) in spans.items():
        if name in split.values():
            continue
        members = list(split.values())
        spare = [patient for patient in draws if members.count(split[patient]) > 1]
        if spare:
            middle = (low + high) / 2
            split[min(spare, key=lambda p: (abs(draws[p] - middle), p))] = name
    return split


def _draw(patient: str, seed: int) -> float:
    """Uniform in [0, 1)."""
    raw = hashlib.sha256(f"{seed}\0{patient}".encode()).digest()
    return int.from_bytes(raw[:6], "big") / 2**48


def _spans(fractions: Fractions) -> dict[str, tuple[float, float]]:
    """The half-open interval of each split that is wanted at all."""
    spans, low = {}, 0.0
    for name, share in fractions.to_dict().items():
        if share > 0:
            spans[name] = (low, low + share)
            low += share
    return spans


def _where(draw: float, spans: Mapping[str, tuple[float, float]]) -> str:
    for name, (_, high) in spans.items():
        if draw < high:
            return name
    return list(spans)[-1]  # the shares' sum may fall short of 1 by rounding
