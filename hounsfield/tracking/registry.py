"""Model versions: registered once per content, found by alias, fetched whole."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hounsfield.errors import IntegrityError, ModelError, NotFound
from hounsfield.records import digest_of
from hounsfield.store.product import file_digest
from hounsfield.tracking.client import Store, translated

__all__ = ["CHAMPION", "SHADOW", "ModelVersion", "Registry", "folder_digest"]

logger = logging.getLogger(__name__)

#: The version whose results go to the radiologist.
CHAMPION = "champion"
#: A version that runs beside it on every study, and is only watched.
SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version in the registry.

    Attributes
    ----------
    run_id
        The MLflow run that made it: a training, or the registration of a model without one.
    snapshot_digest
        Of the training set; empty for a model that needs no training.
    weights_uri
        Where MLflow keeps the folder.
    digest
        Of the weights: over the folder's files, names and contents.
    """

    name: str
    version: str
    run_id: str
    snapshot_digest: str
    weights_uri: str
    digest: str
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        return bool(self.snapshot_digest)

    @property
    def label(self) -> str:
        return f"{self.name} v{self.version}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files of `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of([[p.relative_to(folder).as_posix(), file_digest(p)] for p in files])


class Registry(Store):
    """The part of MLflow that knows models."""

    def register(
        self,
        model_name: str,
        weights_dir: Path,
        run_id: str = "",
        *,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> ModelVersion:
        """Makes a version of a folder of weights, or finds the one that has these already.

        Parameters
        ----------
        weights_dir
            The bundle's weights; for a model without training, the bundle itself.
        run_id
            The training run, whose artefacts the weights become; empty without training.
        tags
            ``snapshot_digest``, ``code_version``, ``bundle_digest`` and what else tells
            where the version comes from. A version is the same when its weights and its
            ``bundle_digest`` are.

        Raises
        ------
        ModelError
            If the folder holds no file.
        """
        if not any(path.is_file() for path in weights_dir.rglob("*")):
            raise ModelError("there are no weights to register", where=model_name)
        labels = {**(tags or {}), "weights_digest": folder_digest(weights_dir)}
        with translated(model_name):
            self._ensure_model(model_name, description)
            found = self._same(model_name, labels)
            if found is None:
                self._create(model_name, weights_dir, run_id, labels, description)
                found, *later = self._all_same(model_name, labels)
                for other in later:  # made by a second process at the same moment
                    self._client.delete_model_version(model_name, other.version)
            return found

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Points an alias at a version; rolling back is pointing it at an older one."""
        with translated(f"{model} v{version}"):
            self._client.set_registered_model_alias(model, alias, version)

    def aliases(self, model: str) -> dict[str, str]:
        """Alias → version of one model; empty where none is registered."""
        try:
            with translated(model):
                found = self._client.get_registered_model(model).aliases
        except NotFound:
            return {}
        return {alias: str(version) for alias, version in found.items()}

    def resolve(self, model: str, alias: str = CHAMPION) -> ModelVersion | None:
        """The version that an alias points at; None where it points at none."""
        version = self.aliases(model).get(alias)
        return None if version is None else self.version(model, version)

    def version(self, model: str, version: str) -> ModelVersion:
        """One version by its number.

        Raises
        ------
        NotFound
            If the registry has no such version.
        """
        with translated(f"{model} v{version}"):
            return _record(self._client.get_model_version(model, version))

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, oldest first."""
        with translated(model):
            found = self._client.search_model_versions(f"name = '{model}'")
        return tuple(sorted(map(_record, found), key=lambda v: int(v.version)))

    def trained_on(self, snapshot_digest: str) -> tuple[ModelVersion, ...]:
        """All versions that learned from a snapshot, of whatever model."""
        with translated(f"snapshot {snapshot_digest[:12]}"):
            found = self._client.search_model_versions(
                f"tags.snapshot_digest = '{snapshot_digest}'"
            )
        return tuple(sorted(map(_record, found), key=lambda v: (v.name, int(v.version))))

    def weights(self, version: ModelVersion, *, cache: Path) -> Path:
        """The folder with a version's weights, fetched once and checked.

        Parameters
        ----------
        cache
            Folder that keeps them, by version and digest; several processes may share it.

        Raises
        ------
        IntegrityError
            If what came is not what was registered.
        """
        target = cache / version.name / f"{version.version}-{version.digest[:16]}"
        if target.is_dir():
            return target
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        draft.mkdir(parents=True)
        try:
            fetched = self._fetch(version, draft)
            if folder_digest(fetched) != version.digest:
                raise IntegrityError(
                    "the weights differ from those that were registered",
                    where=version.label,
                    remedy="register the model again, or restore MLflow's artefacts",
                )
            _move(fetched, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        logger.info("Fetched the weights of %s from the registry.", version.label)
        return target

    def _fetch(self, version: ModelVersion, draft: Path) -> Path:
        path = version.weights_uri.rstrip("/").rpartition("/artifacts/")[2]
        with translated(version.label):
            return Path(self._client.download_artifacts(version.run_id, path, str(draft)))

    def _ensure_model(self, name: str, description: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name, description=description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _create(
        self, name: str, weights: Path, run_id: str, tags: Mapping[str, str], description: str
    ) -> None:
        if not run_id:
            run, _ = self._once("models", name, "weights_digest", tags["weights_digest"])
            run_id = run.info.run_id
            self._fill(run_id, tags={"model": name, **tags})
            self._client.set_terminated(run_id)
        # A path of its own, so that one run may bring several sets of weights.
        folder = f"weights/{tags['weights_digest'][:16]}"
        self._client.log_artifacts(run_id, str(weights), folder)
        root = self._client.get_run(run_id).info.artifact_uri
        self._client.create_model_version(
            name, f"{root}/{folder}", run_id, tags=dict(tags), description=description
        )

    def _same(self, name: str, tags: Mapping[str, str]) -> ModelVersion | None:
        same = self._all_same(name, tags)
        return same[0] if same else None

    def _all_same(self, name: str, tags: Mapping[str, str]) -> list[ModelVersion]:
        identity = ("weights_digest", "bundle_digest")
        wanted = [tags.get(key, "") for key in identity]
        return [v for v in self.versions(name) if [v.tags.get(k, "") for k in identity] == wanted]


def _record(found: Any) -> ModelVersion:
    tags = {str(key): str(value) for key, value in found.tags.items()}
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or "",
        snapshot_digest=tags.get("snapshot_digest", ""),
        weights_uri=found.source,
        digest=tags.get("weights_digest", ""),
        tags=tags,
    )


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():  # Else another process was faster, with the same weights.
            raise
