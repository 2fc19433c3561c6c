"""The way to MLflow: one store, opened quietly, its failures named as ours.

MLflow's client is used, never its fluent interface: that one keeps a run per thread in the
background, and writes the name of the account and of the machine's files into each.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hounsfield.errors import HounsfieldError, ModelError, NotFound, StoreUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["EXPERIMENTS", "Store", "translated"]

#: What each kind of run is for; the names are those that the MLflow page shows.
EXPERIMENTS = {
    "snapshots": "Frozen training sets: one run a snapshot, its manifest as artefact.",
    "training": "One run a training, with the snapshot it learned from.",
    "models": "Model versions that needed no training.",
    "predictions": "One run a prediction, with all it was made from.",
    "drift": "The nightly comparison of inputs and outputs with the reference window.",
}

#: Set where the environment says nothing, before MLflow is imported.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a hospital's pipeline does not call home
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # the task is tried again, with its own backoff
}

#: Instead of the account's name and the program's path.
_NEUTRAL_TAGS = {"mlflow.user": "hounsfield", "mlflow.source.name": "hounsfield"}

#: Without it MLflow's page takes each experiment for one with a language model.
_TRAINING_VIEW = {"mlflow.experimentKind": "custom_model_development"}

_ERRORS: dict[str, tuple[type[HounsfieldError], str]] = {
    "RESOURCE_DOES_NOT_EXIST": (NotFound, "MLflow knows no such record"),
    "TEMPORARILY_UNAVAILABLE": (StoreUnavailable, "MLflow's database is busy"),
    "INTERNAL_ERROR": (StoreUnavailable, "MLflow does not answer"),
    "REQUEST_LIMIT_EXCEEDED": (StoreUnavailable, "MLflow asks for fewer requests"),
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns MLflow's exceptions into ours, without the values that they quote.

    Every way to MLflow leads through here, so here it is told how to behave.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException

    try:
        yield
    except HounsfieldError:
        raise
    except MlflowException as error:
        kind, what = _ERRORS.get(
            error.error_code, (ModelError, f"MLflow refused: {error.error_code}")
        )
        raise kind(what, where=where) from None
    except OSError:
        raise StoreUnavailable("an artefact could not be read or written", where=where) from None


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Lets one process at a time open a SQLite store.

    MLflow's tracking store makes its tables without a lock: of two processes that come
    first, one fails in the middle of the migrations.
    """
    if not uri.startswith("sqlite:///"):
        yield
        return
    path = Path(f"{uri.removeprefix('sqlite:///')}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed
        yield


class Store:
    """One MLflow tracking store and registry.

    Parameters
    ----------
    uri
        ``sqlite:///…`` or another database, or the address of an MLflow server.
    artifacts
        Root of the artefacts, a folder or a URL. Used where `uri` is a database; a server
        decides by itself.
    """

    def __init__(self, uri: str, artifacts: str = "") -> None:
        self.uri = uri
        self._artifacts = artifacts.rstrip("/")

    @cached_property
    def _client(self) -> MlflowClient:
        with translated("MLflow"), _alone(self.uri):
            from mlflow import MlflowClient

            client = MlflowClient(self.uri, registry_uri=self.uri)
            # Both halves open their tables at first use, and make them where there are none.
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
        return client

    def prepare(self) -> None:
        """Makes the tables and the experiments where they are missing; safe to call again."""
        for name in EXPERIMENTS:
            self._experiment(name)

    def _experiment(self, name: str) -> str:
        with translated(f"MLflow experiment {name}"):
            found = self._client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            return self._new_experiment(name)

    def _new_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        # A server keeps artefacts itself; beside a bare database they need a place.
        is_server = self.uri.startswith(("http://", "https://"))
        location = None if is_server or not self._artifacts else f"{self._artifacts}/{name}"
        tags = {"mlflow.note.content": EXPERIMENTS.get(name, ""), **_TRAINING_VIEW}
        try:
            return str(self._client.create_experiment(name, location, tags))
        except MlflowException as error:
            found = self._client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                raise
            return str(found.experiment_id)  # another process was first

    def _run_with(self, experiment: str, tag: str, value: str) -> Any | None:
        """The run that bears this tag; of several the oldest, so that all readers agree."""
        runs = self._runs_with(experiment, tag, value)
        return runs[0] if runs else None

    def _runs_with(
        self, experiment: str, tag: str, value: str, *, deleted: bool = False
    ) -> list[Any]:
        """Runs that bear this tag, the oldest first; with those that were deleted, if asked."""
        from mlflow.entities import ViewType

        if "'" in value:
            raise ValueError("a quotation mark has no place in an identity")
        found = self._client.search_runs(
            [self._experiment(experiment)],
            filter_string=f"tags.`{tag}` = '{value}'",
            run_view_type=ViewType.ALL if deleted else ViewType.ACTIVE_ONLY,
        )
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    def _artifacts_of(self, run: Any) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(run.info.artifact_uri, tracking_uri=self.uri)

    def _purge(self, run_ids: Sequence[str]) -> None:
        """Makes a database forget runs that were deleted; of a server that cannot be asked."""
        from mlflow.cli import gc

        if not run_ids or self.uri.startswith(("http://", "https://")):
            return
        wanted = ["--backend-store-uri", self.uri, "--tracking-uri", self.uri]
        with redirect_stdout(io.StringIO()):  # It tells run ids.
            gc.main([*wanted, "--run-ids", ",".join(run_ids)], standalone_mode=False)

    def _start(self, experiment: str, name: str, tags: Mapping[str, str]) -> Any:
        return self._client.create_run(
            self._experiment(experiment), tags={**_NEUTRAL_TAGS, **tags}, run_name=name
        )

    def _once(self, experiment: str, name: str, tag: str, value: str) -> tuple[Any, bool]:
        """The one run of an identity, and whether it is complete already.

        MLflow has no unique key to lean on. Two processes that come at once both make a
        run; each then looks again, and all but the oldest are withdrawn.
        """
        run = self._run_with(experiment, tag, value)
        if run is None:
            self._start(experiment, name, {tag: value})
            run, *later = self._runs_with(experiment, tag, value)
            for other in later:
                self._client.delete_run(other.info.run_id)
        # A run that a crash left half written is still RUNNING: it is written again.
        return run, run.info.status == "FINISHED"

    def _fill(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float | None] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        numbers = {k: float(v) for k, v in (metrics or {}).items() if v is not None}
        pairs = [Param(key, str(value)) for key, value in (params or {}).items()]
        self._client.log_batch(
            run_id,
            metrics=[Metric(key, value, now, step) for key, value in numbers.items()],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )
        for first in range(0, len(pairs), 100):  # MLflow's limit a batch
            self._client.log_batch(run_id, params=pairs[first : first + 100])

    def _link_dataset(
        self, run_id: str, name: str, digest: str, rows: int, counts: Mapping[str, int]
    ) -> None:
        """Names a snapshot as the run's input, in MLflow's own terms."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        from hounsfield.records import canonical_json

        dataset = Dataset(
            name=name,
            digest=digest[:36],  # MLflow's limit; the whole digest is a tag of the run
            source_type="snapshot",
            source=canonical_json({"uri": f"snapshot:{digest}"}).decode(),
            profile=canonical_json({"num_rows": rows, **counts}).decode(),
        )
        context = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [DatasetInput(dataset, [context])])
