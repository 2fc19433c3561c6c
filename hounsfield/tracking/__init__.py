"""MLflow in the field's terms, and the way back from a result to the pixels."""

from hounsfield.tracking.registry import CHAMPION, SHADOW, ModelVersion, folder_digest
from hounsfield.tracking.tracker import Tracker
from hounsfield.tracking.training import TrainingRun

__all__ = ["CHAMPION", "SHADOW", "ModelVersion", "Tracker", "TrainingRun", "folder_digest"]
