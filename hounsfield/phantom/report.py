"""What was written, and what should become of it: the ground truth as records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from hounsfield.errors import NotFound
from hounsfield.phantom.identity import Canary
from hounsfield.phantom.lesions import Lesion

__all__ = ["GROUND_TRUTH", "PhantomReport", "PhantomSeries", "PhantomStudy"]

#: Name of the file that holds a report beside the studies. It holds every canary.
GROUND_TRUTH = "ground_truth.json"


@dataclass(frozen=True)
class PhantomSeries:
    """One series: how many instances it has, and the files that hold them.

    Attributes
    ----------
    instances
        Distinct SOP instances: fewer than `files` where one came twice.
    files
        Paths relative to the report's folder, with ``/``.
    """

    series_instance_uid: str
    modality: str
    sop_class_uid: str
    instances: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class PhantomStudy:
    """One study with the truth about it.

    Attributes
    ----------
    kind
        ``whole``, or the name of its hard case.
    expected
        ``done``, ``quarantined`` or ``no-model``.
    why
        The reason of `expected`, as a sentence.
    lesions
        Nodules of its CT series.
    emphysema_share
        Of its CT series, 0 to 1; None without one.
    """

    kind: str
    study_instance_uid: str
    study_date: str
    manufacturer: str
    expected: str
    why: str
    series: tuple[PhantomSeries, ...]
    lesions: tuple[Lesion, ...] = ()
    emphysema_share: float | None = None
    canaries: tuple[Canary, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The files of all series."""
        return tuple(name for series in self.series for name in series.files)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The study that `to_dict` of its report wrote."""
        return cls(
            **{
                **data,
                "series": tuple(
                    PhantomSeries(**{**item, "files": tuple(item["files"])})
                    for item in data["series"]
                ),
                "lesions": tuple(
                    Lesion(
                        **{
                            **item,
                            "centre_lps": tuple(item["centre_lps"]),
                            "centre_zyx": tuple(item["centre_zyx"]),
                        }
                    )
                    for item in data["lesions"]
                ),
                "canaries": tuple(Canary(**item) for item in data["canaries"]),
            }
        )


@dataclass(frozen=True)
class PhantomReport:
    """What `write_phantoms` wrote.

    Attributes
    ----------
    destination
        The folder; not part of the written ground truth.
    """

    destination: Path
    seed: int
    first_date: str
    last_date: str
    studies: tuple[PhantomStudy, ...]

    @property
    def canaries(self) -> tuple[Canary, ...]:
        """Everything planted in any study, each value once."""
        return tuple(dict.fromkeys(canary for study in self.studies for canary in study.canaries))

    @property
    def files(self) -> tuple[Path, ...]:
        """Every DICOM file."""
        return tuple(self.destination / name for study in self.studies for name in study.files)

    def to_dict(self) -> dict[str, Any]:
        """What `GROUND_TRUTH` holds: the same wherever the folder lies."""
        data = asdict(self)
        del data["destination"]
        return {**data, "canaries": [asdict(canary) for canary in self.canaries]}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The report of the studies in `folder`.

        Raises
        ------
        NotFound
            If the folder holds no ground truth.
        """
        path = folder / GROUND_TRUTH
        if not path.is_file():
            raise NotFound(
                "a folder without ground truth", remedy="write studies with: hounsfield phantom"
            )
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            destination=folder,
            seed=data["seed"],
            first_date=data["first_date"],
            last_date=data["last_date"],
            studies=tuple(PhantomStudy.from_dict(item) for item in data["studies"]),
        )
