"""configs/drift.yaml: when data have drifted away from what they were."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hounsfield.settings.files import Frozen

__all__ = ["DriftSettings"]


class DriftSettings(Frozen):
    """configs/drift.yaml"""

    window_days: Annotated[int, Field(ge=1)] = 1
    reference_days: Annotated[int, Field(ge=1)] = 28
    minimum_studies: Annotated[int, Field(ge=2)] = 5
    drift_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    columns: tuple[str, ...]
