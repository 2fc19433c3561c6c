"""MLflow in the terms of this field: snapshots, trainings, versions, predictions, reports.

Nothing here is written twice: a snapshot's digest, a prediction's id and a report's window
each name one run, however often a task is tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hounsfield.records import canonical_json
from hounsfield.tracking.client import translated
from hounsfield.tracking.registry import Registry
from hounsfield.tracking.training import TrainingRun
from hounsfield.tracking.tree import as_text

if TYPE_CHECKING:
    from hounsfield.tracking.evidence import Lineage

__all__ = ["Tracker"]


class Tracker(Registry):
    """All that the pipeline tells MLflow, and asks it."""

    def log_snapshot(
        self,
        name: str,
        digest: str,
        manifest: Path,
        *,
        members: int,
        cohort: Mapping[str, Any],
        counts: Mapping[str, int],
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """A frozen training set as an MLflow dataset with its digest; gives the run's id.

        Parameters
        ----------
        manifest
            The file with the members; becomes an artefact.
        members
            How many volumes there are.
        counts
            Volumes by split.
        """
        with translated(f"snapshot {digest[:12]}"):
            run, complete = self._once("snapshots", name, "snapshot_digest", digest)
            run_id = str(run.info.run_id)
            if not complete:
                self._fill(
                    run_id,
                    params={f"cohort.{key}": _plain(value) for key, value in cohort.items()},
                    metrics={"members": members, **{f"members_{k}": v for k, v in counts.items()}},
                    tags={"snapshot": name, **(tags or {})},
                )
                self._link_dataset(run_id, name, digest, members, counts)
                self._artifacts_of(run).delete_artifacts()  # what a kill left of an upload
                self._client.log_artifact(run_id, str(manifest))
                self._client.set_terminated(run_id)
            return run_id

    @contextmanager
    def training_run(
        self, name: str, snapshot_digest: str, params: Mapping[str, Any]
    ) -> Iterator[TrainingRun]:
        """A run for one training; ends FINISHED, or FAILED where the block raises.

        Parameters
        ----------
        name
            Of the model.
        snapshot_digest
            What it learns from; shown as the run's dataset where the snapshot is logged.
        """
        with translated(f"training of {name}"):
            run_id = str(
                self._start("training", name, {"snapshot_digest": snapshot_digest}).info.run_id
            )
            self._fill(run_id, params={key: _plain(value) for key, value in params.items()})
            self._inherit_dataset(run_id, snapshot_digest)
        try:
            yield TrainingRun(self, run_id)
        except BaseException:
            with translated(f"training run {run_id}"):
                self._client.set_terminated(run_id, "FAILED")
            raise
        with translated(f"training run {run_id}"):
            self._client.set_terminated(run_id)

    def log_prediction(self, lineage: Lineage) -> str:
        """A prediction with all it was made from; gives the run's id.

        Called again, once the results have been delivered, it adds them to the same run.
        """
        prediction = lineage.prediction
        with translated(f"prediction {prediction.prediction_id[:12]}"):
            name = f"{prediction.model} v{prediction.version} {prediction.study_key}"
            run, _ = self._once("predictions", name, "prediction_id", prediction.prediction_id)
            run_id = str(run.info.run_id)
            # The description is what a person sees first on MLflow's page.
            note = {"mlflow.note.content": f"```\n{as_text(lineage)}\n```"}
            self._fill(run_id, metrics=lineage.metrics(), tags={**lineage.tags(), **note})
            self._client.log_dict(run_id, lineage.to_dict(members=False), "lineage.json")
            self._client.set_terminated(run_id)
            return run_id

    def predictions_of(self, study_key: str) -> list[str]:
        """Ids of the runs that tell of predictions on a study."""
        with translated(f"predictions on {study_key}"):
            return [
                run.info.run_id for run in self._runs_with("predictions", "study_key", study_key)
            ]

    def forget_predictions(self, study_key: str) -> None:
        """Removes the runs of predictions on a study, with their artefacts.

        A database forgets them; a server keeps what it deletes, without artefacts, till
        ``mlflow gc`` is run there.
        """
        with translated(f"predictions on {study_key}"):
            runs = self._runs_with("predictions", "study_key", study_key, deleted=True)
            for run in runs:
                self._artifacts_of(run).delete_artifacts()
                if run.info.lifecycle_stage == "active":
                    self._client.delete_run(run.info.run_id)
            self._purge([run.info.run_id for run in runs])

    def retire_snapshot(self, digest: str, state: str, successor: str) -> None:
        """Takes a snapshot's manifest out of its run, and tells what is in its place."""
        with translated(f"snapshot {digest[:12]}"):
            run = self._run_with("snapshots", "snapshot_digest", digest)
            if run is not None:
                self._artifacts_of(run).delete_artifacts()
                self._fill(run.info.run_id, tags={"state": state, "successor": successor})

    def log_report(
        self,
        name: str,
        identity: str,
        folder: Path,
        *,
        experiment: str = "drift",
        metrics: Mapping[str, float | None] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """A report's numbers and files as one run; gives its id.

        Parameters
        ----------
        identity
            What the report is about, such as its window: the same again is the same run.
        folder
            Its files; all become artefacts.
        """
        with translated(f"{experiment} report {name}"):
            run, _ = self._once(experiment, name, "report", identity)
            run_id = str(run.info.run_id)
            self._fill(run_id, metrics=metrics, tags=tags)
            self._client.log_artifacts(run_id, str(folder))
            self._client.set_terminated(run_id)
            return run_id

    def _inherit_dataset(self, run_id: str, snapshot_digest: str) -> None:
        source = self._run_with("snapshots", "snapshot_digest", snapshot_digest)
        if source is not None and source.inputs is not None:
            self._client.log_inputs(run_id, source.inputs.dataset_inputs)
            self._fill(run_id, tags={"snapshot_run": source.info.run_id})


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()
