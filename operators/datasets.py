"""Training sets and trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from hounsfield.errors import WrongRegion
from operators.assets import SNAPSHOTS
from operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hounsfield.records import RunContext
    from hounsfield.site import Site

__all__ = [
    "ChooseSnapshotOperator",
    "SnapshotDatasetOperator",
    "TrainModelOperator",
    "trainable_bundles",
]

PHANTOMS = "phantoms"


def trainable_bundles() -> list[str]:
    """The bundles that can be trained, so that a Dag can offer them."""
    from hounsfield.settings import Settings

    return Settings.load().bundles(trained=True)


class SnapshotDatasetOperator(StageOperator):
    """Freezes the cohort of the run's form, and announces it on ``snapshots``, its outlet."""

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.snapshot import snapshot

        form = dict(context["params"])
        name, seed = form.pop("name"), form.pop("seed")
        cohort = {key: value for key, value in form.items() if value not in ("", None)}
        result = snapshot(site, name=name, cohort=cohort, seed=seed, run=run)
        context["outlet_events"][SNAPSHOTS].extra = {"digest": result["digest"], "name": name}
        return result


class ChooseSnapshotOperator(StageOperator):
    """Gives the digest to train on: the form's, the event's, or that of generated phantoms.

    Skipped where an event announced a snapshot without labels.
    """

    def run_stage(self, site: Site, run: RunContext, context: Context) -> str:
        from hounsfield.stages.snapshot import phantom_snapshot
        from hounsfield.stages.train import find_snapshot, is_labelled, region_of_snapshot

        params = context["params"]
        if params["snapshot"] == PHANTOMS:
            made = phantom_snapshot(site, count=params["phantoms"], seed=params["seed"], run=run)
            return str(made["digest"])
        events = context["triggering_asset_events"][SNAPSHOTS] or []
        announced = [event.extra.get("digest", "") for event in events]
        digest = find_snapshot(site, params["snapshot"] or (announced[-1] if announced else ""))
        if not params["snapshot"]:  # The queue was chosen before anybody knew which it is.
            _check_home(site, region_of_snapshot(site, digest))
        if announced and not is_labelled(site, digest):
            raise AirflowSkipException("The snapshot holds no labels: nothing to learn from.")
        return digest


def _check_home(site: Site, region: str) -> None:
    if region != site.regions[0]:
        raise WrongRegion(
            f"the snapshot is of the region {region}, and this task is on a worker at home",
            where="train_model",
            remedy="trigger it with the snapshot named: then workers of that region train",
        )


class TrainModelOperator(StageOperator):
    """Trains a bundle on a snapshot and registers the version, on the GPU where there is one."""

    template_fields = ("snapshot",)

    def __init__(self, *, snapshot: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.snapshot = snapshot

    def run_stage(self, site: Site, run: RunContext, context: Context) -> dict[str, Any]:
        from hounsfield.stages.train import train

        params = context["params"]
        return train(
            site,
            bundle=params["bundle"],
            snapshot=self.snapshot,
            seed=params["seed"],
            epochs=params["epochs"] or None,
            run=run,
        )
