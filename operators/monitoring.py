"""Noticing when a model goes bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = ["EvaluateDriftOperator"]


class EvaluateDriftOperator(StageOperator):
    """Compares the window that ends with the data interval with the days before it."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.drift import evaluate_drift

        until = context.get("data_interval_end") or context["dag_run"].run_after
        return evaluate_drift(site, until=until)
