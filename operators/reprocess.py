"""Studies once more: by a window of study dates, or those that never finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.assets import PREPARED, RECEIVED
from operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = ["ASSETS", "ReplayStudiesOperator", "SelectStudiesOperator"]

#: Dag → the asset that starts it.
ASSETS = {"prepare": RECEIVED, "infer": PREPARED}


class SelectStudiesOperator(StageOperator):
    """Gives the keys of the studies to replay.

    A scheduled run sweeps up those that never finished, and those of any day that nobody heard
    of; a run by hand or of a backfill takes all of its window, or those alone if its ``only``
    says so.
    """

    def run_stage(self, site: Site, run: RunContext, context: Context) -> list[str]:
        from hounsfield.stages.reprocess import select_studies, unheard_studies

        params = context["params"]
        scheduled = context["dag_run"].run_type == "scheduled"
        first = params["first"] or _first_day(context)
        last = params["last"] or params["first"] or first
        only = "unfinished" if scheduled else params["only"]
        chosen = select_studies(
            site, first=first, last=last, only=only, through=params["through"], run=run
        )
        unheard = unheard_studies(site, hours=params["unheard_hours"]) if scheduled else ()
        return sorted({*chosen, *unheard})


def _first_day(context: Context) -> str:
    from hounsfield.errors import ConfigError

    start = context.get("data_interval_start")
    if start is None:
        raise ConfigError(
            "a run by hand has no data interval", where="first", remedy="fill in the first date"
        )
    return start.strftime("%Y-%m-%d")


class ReplayStudiesOperator(StageOperator):
    """Announces studies again, as partitions of the asset that starts a Dag.

    Parameters
    ----------
    through
        The Dag to send them through: ``prepare`` (and then ``infer``) or ``infer`` alone.
    study_keys
        The keys, as ``SelectStudiesOperator`` gives them.
    """

    template_fields = ("study_keys",)

    def __init__(self, *, through: str, study_keys: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.through = through
        self.study_keys = study_keys

    def run_stage(self, site: Site, run: RunContext, context: Context) -> list[str]:
        if context["params"]["through"] != self.through or not self.study_keys:
            raise AirflowSkipException("Nothing to announce here.")
        keys = list(self.study_keys)
        context["outlet_events"][ASSETS[self.through]].add_partitions(keys)
        self.log.info("Announced %d studies to %s.", len(keys), self.through)
        return keys
