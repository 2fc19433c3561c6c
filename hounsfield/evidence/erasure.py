"""The certificate of an erasure: what was deleted, what was looked at again, and what stays.

It names no identity: a patient is its pseudonyms, which only who holds the project key can tie
to a number. The same erasure gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import jinja2

from hounsfield.catalog.models import Erasure, Tombstone

__all__ = ["ErasureCertificate"]

_NAME: Final = "certificate"
_TEMPLATES = Path(__file__).parent / "templates"

#: What no erasure reaches, and why.
_KEPT: Final = (
    "The audit trail keeps its events: they name pseudonyms, and a row that is taken out would "
    "break the proof that the trail is whole.",
    "Airflow's database and logs name the studies by pseudonym, and are kept as long as Airflow "
    "is set to keep them.",
    "Backups are not reached. They hold the patient till they are overwritten; after one is "
    "restored, erase_patient has to be run again for the pseudonyms of this certificate.",
    "Buckets that keep versions of deleted objects keep these too, till their own rule removes "
    "them. Deleted rows of catalog and vault are overwritten by SQLite at once, by PostgreSQL "
    "after its next vacuum.",
    "Models keep what they learned. The list tells which learned from this patient; whether "
    "they are retired or trained anew, a person decides.",
    "Numbers over many patients, such as drift reports and metrics of trainings, stay.",
    "What a PACS still holds of these studies is not fetched again by ingest. Who pushes one to "
    "the receiver brings it in again, and so does ingest a study of the patient that never was "
    "here. Of one that is listed and not begun, the vault has UID and date, and not yet whose.",
    "A study belongs to the patient of its first file that can be read, and is a patient of its "
    "own where none names one. Validation refuses a study of several patients, or of nobody. The "
    "patient's instances went out of such a study by their headers, and what had been made of them "
    "with them; files that name nobody stayed with the others.",
    "A draft that was killed before it was sealed, and a half that came to the receiver, name "
    "no study; they go within two days, when the next is made. What a killed task left in the "
    "temporary folder of a worker that works on an object store, or of an upload there, goes by "
    "the rules of that machine and that store.",
    "A request for Storage Commitment that is not answered yet names instances for a few days.",
)
_UNREAD: Final = (
    "Studies wait to be admitted of which some instances name no patient, or cannot be read. "
    "Nobody can tell from them whose they are, so look at these: {}."
)
_NO_LANDING: Final = (
    "The landing folder of a receiver is not within reach of the machine that erased: look there."
)
_KEEPS_RUNS: Final = (
    "The MLflow server keeps the deleted runs, without their artefacts, till mlflow gc is run."
)


@dataclass(frozen=True, slots=True)
class ErasureCertificate:
    """What happened to what was here of one patient.

    Attributes
    ----------
    patient_keys
        The patient's pseudonyms under each version of the project key.
    requested_by
        By role.
    deleted
        One entry a tombstone: kind, digest, tier, bytes and times.
    snapshots
        Digest, name, how many members there were, successor's digest, models trained on it.
    results
        What the PACS has of ours: the hospital's record, which stays.
    looked
        Place → how much of the patient was found there afterwards.
    kept
        What no erasure reaches, as sentences.
    """

    project: str
    erasure_id: str
    patient_keys: tuple[str, ...]
    studies: tuple[str, ...]
    why: str
    requested_by: str
    asked_at: str
    decision: dict[str, str]
    deleted: tuple[dict[str, Any], ...]
    snapshots: tuple[dict[str, Any], ...]
    models: tuple[str, ...]
    results: tuple[dict[str, Any], ...]
    looked: dict[str, int]
    kept: tuple[str, ...]

    @classmethod
    def of(
        cls,
        project: str,
        case: Erasure,
        stones: Iterable[Tombstone],
        *,
        successors: Mapping[str, str],
        looked: dict[str, int],
        unread: Sequence[str],
        has_landing: bool,
        keeps_runs: bool,
    ) -> Self:
        """From what was planned, decided and deleted.

        Parameters
        ----------
        successors
            Digest of a snapshot → of what takes its place.
        unread
            Studies that wait, and nothing says whose they are.
        has_landing
            Whether the receiver's landing folder was within reach.
        keeps_runs
            Whether MLflow is a server, which forgets by itself only.
        """
        plan = case.plan
        snapshots = [
            {**row, "successor": successors.get(row["digest"], "")} for row in plan["snapshots"]
        ]
        return cls(
            project=project,
            erasure_id=case.erasure_id,
            patient_keys=tuple(plan["patient_keys"]),
            studies=tuple(plan["studies"]),
            why=case.why,
            requested_by=case.requested_by,
            asked_at=case.asked_at.isoformat(timespec="seconds"),
            decision={
                "by": case.approved_by,
                "why": case.approved_why,
                "at": case.decided_at.isoformat(timespec="seconds") if case.decided_at else "",
            },
            deleted=tuple(map(_told, stones)),
            snapshots=tuple(snapshots),
            models=tuple(sorted({label for row in snapshots for label in row["models"]})),
            results=tuple(plan["results"]),
            looked=looked,
            kept=(
                *_KEPT,
                *(_UNREAD.format(", ".join(unread)),) * bool(unread),
                *(_NO_LANDING,) * (not has_landing),
                *(_KEEPS_RUNS,) * keeps_runs,
            ),
        )

    @property
    def sums(self) -> dict[str, tuple[int, int]]:
        """Kind → how many were deleted, and their bytes."""
        found: dict[str, tuple[int, int]] = {}
        for entry in self.deleted:
            count, size = found.get(entry["kind"], (0, 0))
            found[entry["kind"]] = (count + 1, size + entry["bytes"])
        return dict(sorted(found.items()))

    def write(self, folder: Path) -> None:
        """As JSON and as a page."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        (folder / f"{_NAME}.json").write_text(text + "\n")
        (folder / f"{_NAME}.html").write_text(self.to_html())

    def to_html(self) -> str:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True
        )
        return environment.get_template("erasure.html").render(told=self)


def _told(stone: Tombstone) -> dict[str, Any]:
    return {
        "study_key": stone.study_key,
        "kind": stone.kind,
        "digest": stone.digest,
        "tier": stone.tier,
        "bytes": stone.bytes,
        "deleted_at": stone.deleted_at.isoformat(timespec="seconds") if stone.deleted_at else "",
    }
