"""Noticing that the studies, or what the models say of them, are no longer what they were."""

from hounsfield.monitoring.drift import evaluate
from hounsfield.monitoring.frames import drift_frames
from hounsfield.monitoring.outcome import ColumnDrift, DriftOutcome, GroupDrift

__all__ = ["ColumnDrift", "DriftOutcome", "GroupDrift", "drift_frames", "evaluate"]
