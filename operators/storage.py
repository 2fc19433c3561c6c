"""What lies where, what it costs, and what nobody names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = ["FindOrphansOperator", "MeasureStorageOperator"]


class MeasureStorageOperator(StageOperator):
    """Writes down how much lies in each tier today."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.costs import measure_storage

        day = datetime.now(UTC).date()
        return {"day": day.isoformat(), "bytes": measure_storage(site, day)}


class FindOrphansOperator(StageOperator):
    """Looks through all places for what no row names, and the other way round."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.orphans import note_orphans

        return {"orphans": note_orphans(site)}
