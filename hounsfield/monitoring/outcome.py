"""What an evaluation of drift says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["ColumnDrift", "DriftOutcome", "GroupDrift"]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column.

    Attributes
    ----------
    judged
        False where there was nothing to compare; `reason` then says what is missing.
    method
        The test that Evidently chose for the column's kind and the number of studies.
    score
        Its p-value or distance, as `method` says; compared with `threshold`.
    """

    name: str
    judged: bool
    drifted: bool = False
    method: str = ""
    score: float | None = None
    threshold: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupDrift:
    """The same for a part of the studies, such as one manufacturer's."""

    group: str
    reference: int
    current: int
    judged: bool
    drifted: bool
    share: float
    sentence: str
    columns: tuple[ColumnDrift, ...] = ()


@dataclass(frozen=True, slots=True)
class DriftOutcome:
    """The evaluation of one window.

    Attributes
    ----------
    judged
        False where either window has too few studies: no drift is then claimed, nor denied.
    share
        Of the judged columns, how many drifted: 0 to 1.
    reference, current
        Studies in each window.
    sentence
        For the log and the page.
    report
        Evidently's page, one HTML file that loads nothing; None where nothing was judged.
    """

    judged: bool
    drifted: bool
    share: float
    reference: int
    current: int
    sentence: str
    columns: tuple[ColumnDrift, ...] = ()
    subgroups: tuple[GroupDrift, ...] = ()
    report: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the report by its file name."""
        return {**asdict(self), "report": self.report.name if self.report else None}

    def metrics(self) -> dict[str, float]:
        """Numbers for MLflow; the share only where there was a judgement."""
        counts = {"reference_studies": float(self.reference), "studies": float(self.current)}
        if not self.judged:
            return counts
        scores = {f"score.{c.name}": c.score for c in self.columns if c.score is not None}
        return {**counts, "share": self.share, "drifted": float(self.drifted), **scores}
