"""What a validation says: problems that a person can act on, without PHI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

__all__ = ["Problem", "ValidationReport"]

Outcome = Literal["passed", "warned", "refused"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in one series or in the study as a whole.

    Attributes
    ----------
    code
        Stays the same when the words change: ``missing-slice``.
    reason
        What is wrong.
    where
        Series by its number, modality, slices by their numbers and positions in mm.
    remedy
        What a person can do.
    series
        Number of the series in the study, from 1; None for the study as a whole.
    modality
        Of that series.
    count
        Instances that are affected.
    """

    code: str
    reason: str
    where: str
    remedy: str
    series: int | None = None
    modality: str | None = None
    count: int = 0

    def __str__(self) -> str:
        return f"{self.where}: {self.reason} ({self.remedy})"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The outcome of validating one study.

    Attributes
    ----------
    outcome
        ``refused`` with at least one error, ``warned`` with warnings only, else ``passed``.
    instances, series, checks
        How many were looked at, and how many checks were made.
    suites_digest
        Of all suites, so that the rules of that day can be told later.
    docs
        Path of the study's Data Docs page, or None.
    """

    study_key: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    instances: int
    series: int
    checks: int
    suites_digest: str
    docs: str | None = None

    @property
    def outcome(self) -> Outcome:
        if self.errors:
            return "refused"
        return "warned" if self.warnings else "passed"

    @property
    def reason(self) -> str:
        """Why the study was refused, on one line; empty where it was not."""
        if not self.errors:
            return ""
        more = len(self.errors) - 1
        return f"{self.errors[0]}" + (f"; and {more} more" if more else "")

    def to_dict(self) -> dict[str, Any]:
        return {"outcome": self.outcome, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        plain = {name: data[name] for name in cls.__slots__ if name in data}
        plain["errors"] = tuple(Problem(**problem) for problem in data["errors"])
        plain["warnings"] = tuple(Problem(**problem) for problem in data["warnings"])
        return cls(**plain)
