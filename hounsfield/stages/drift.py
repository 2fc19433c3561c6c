"""drift: the last window against the days before it, told to MLflow."""

from __future__ import annotations

import logging
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from hounsfield.monitoring import drift_frames, evaluate
from hounsfield.site import Site
from hounsfield.stages.infer import tracker_of

__all__ = ["evaluate_drift"]

log = logging.getLogger(__name__)


def evaluate_drift(site: Site, *, until: datetime) -> dict[str, Any]:
    """Compares inputs and outputs of the window that ends at `until` with its reference.

    Returns
    -------
    dict
        ``judged``, ``drifted``, ``sentence``, and MLflow's ``run_id`` with the report.
    """
    settings = site.settings.drift
    reference, current = drift_frames(site, until, settings)
    with tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
        folder = Path(scratch)
        outcome = evaluate(reference, current, settings, folder)
        run_id = tracker_of(site).log_report(
            f"drift {until:%Y-%m-%d}",
            f"{until.isoformat()}/{settings.window_days}d",
            folder,
            metrics=outcome.metrics(),
            tags={"judged": str(outcome.judged), "drifted": str(outcome.drifted)},
        )
    log.log(logging.WARNING if outcome.drifted else logging.INFO, outcome.sentence)
    return {
        "judged": outcome.judged,
        "drifted": outcome.drifted,
        "sentence": outcome.sentence,
        "run_id": run_id,
    }
