"""What is known of one prediction, from the pixels it read to the objects it became."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "Lineage",
    "MemberNode",
    "ModelNode",
    "PredictionNode",
    "ProductNode",
    "ResultNode",
    "SnapshotNode",
]


@dataclass(frozen=True, slots=True)
class ResultNode:
    """An object made of the prediction, at one destination."""

    SOPInstanceUID: str
    kind: str
    destination: str
    state: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PredictionNode:
    """The answer: which version said it about which series."""

    prediction_id: str
    study_key: str
    series_key: str
    model: str
    version: str
    role: str
    findings: int
    numbers: dict[str, Any]
    created_at: str


@dataclass(frozen=True, slots=True)
class ProductNode:
    """A product of the pipeline.

    Attributes
    ----------
    known
        False where the catalog no longer has it: its digest is all that its successor noted.
    detail
        For ``deid`` the profile and its digest; for ``volume`` shape and spacing.
    """

    kind: str
    digest: str
    code: str = ""
    known: bool = True
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberNode:
    """A volume that the training saw, or was tested on."""

    volume_digest: str
    study_key: str
    series_key: str
    split: str


@dataclass(frozen=True, slots=True)
class SnapshotNode:
    """The training set."""

    digest: str
    name: str = ""
    members: tuple[MemberNode, ...] = ()
    known: bool = True

    @property
    def counts(self) -> dict[str, int]:
        """Members by split."""
        return dict(sorted(Counter(member.split for member in self.members).items()))


@dataclass(frozen=True, slots=True)
class ModelNode:
    """The version as the registry has it; `training_run` is an MLflow run."""

    name: str
    version: str
    training_run: str = ""
    weights_digest: str = ""
    bundle_digest: str = ""
    code_version: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Lineage:
    """The way back from a result to the pixels, and to what the model learned from.

    Attributes
    ----------
    asked
        The SOPInstanceUID that the question was about; empty where it was the prediction.
    snapshot
        None for a model that needed no training.
    """

    prediction: PredictionNode
    volume: ProductNode
    deid: ProductNode
    raw: ProductNode
    model: ModelNode
    snapshot: SnapshotNode | None = None
    results: tuple[ResultNode, ...] = ()
    asked: str = ""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is named but no longer on record: a whole lineage has none."""
        nodes: dict[str, ProductNode | ModelNode | SnapshotNode | None] = {
            "volume": self.volume,
            "de-identified study": self.deid,
            "raw study": self.raw,
            "model version": self.model,
            "training snapshot": self.snapshot,
        }
        return tuple(name for name, node in nodes.items() if node is not None and not node.known)

    def to_dict(self, *, members: bool = True) -> dict[str, Any]:
        """JSON-ready.

        Parameters
        ----------
        members
            Whether to list the snapshot's members, or to count them only.
        """
        data = {**asdict(self), "gaps": list(self.gaps)}
        if self.snapshot is not None:
            data["snapshot"]["counts"] = self.snapshot.counts
            if not members:
                del data["snapshot"]["members"]
        return data

    def tags(self) -> dict[str, str]:
        """The digests and names of all nodes, flat: what MLflow can be searched by."""
        profile = self.deid.detail
        tags = {
            "study_key": self.prediction.study_key,
            "series_key": self.prediction.series_key,
            "model": self.prediction.model,
            "model_version": self.prediction.version,
            "role": self.prediction.role,
            "volume_digest": self.volume.digest,
            "deid_digest": self.deid.digest,
            "deid_profile": str(profile.get("profile", "")),
            "deid_profile_digest": str(profile.get("profile_digest", "")),
            "raw_manifest_digest": self.raw.digest,
            "training_run": self.model.training_run,
            "weights_digest": self.model.weights_digest,
            "bundle_digest": self.model.bundle_digest,
            "snapshot_digest": self.snapshot.digest if self.snapshot else "",
            "results": " ".join(sorted({result.SOPInstanceUID for result in self.results})),
        }
        return {name: value for name, value in tags.items() if value}

    def metrics(self) -> dict[str, float]:
        """The prediction's numbers, for MLflow's charts."""
        numbers = {
            name: float(value)
            for name, value in self.prediction.numbers.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return {"findings": float(self.prediction.findings), **numbers}
