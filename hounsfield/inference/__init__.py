"""Models: which of them want a series, running them, training them, judging them.

Nothing heavy is imported before a model is run: MONAI alone takes ten seconds.
"""

from __future__ import annotations

from hounsfield.inference.bundle import Bundle
from hounsfield.inference.datalist import Datalist, TrainingItem
from hounsfield.inference.routing import Decision, Route, Routes, load_routes, route
from hounsfield.inference.run import MASK_FILE, prediction_id, run_bundle
from hounsfield.inference.scoring import Evaluation, Score
from hounsfield.inference.seams import Outcome, Report, VolumeLike
from hounsfield.inference.training import TrainingOutcome, evaluate_bundle, train_bundle

__all__ = [
    "MASK_FILE",
    "Bundle",
    "Datalist",
    "Decision",
    "Evaluation",
    "Outcome",
    "Report",
    "Route",
    "Routes",
    "Score",
    "TrainingItem",
    "TrainingOutcome",
    "VolumeLike",
    "evaluate_bundle",
    "load_routes",
    "prediction_id",
    "route",
    "run_bundle",
    "train_bundle",
]
