"""The records that travel between stages: small, frozen, and free of PHI unless said.

Untrusted dictionaries are parsed into these once, at the edge (``from_dict``); everything
inside works with them. ``to_dict`` gives what XCom, manifests and ``--json`` carry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

__all__ = [
    "Code",
    "Completeness",
    "Finding",
    "InstanceEntry",
    "Measurement",
    "Prediction",
    "RunContext",
    "Segment",
    "SeriesManifest",
    "StudyManifest",
    "canonical_json",
    "counted",
    "digest_of",
]


#: How it is known that a study is whole: ``confirmed``, the source listed no more, asked twice
#: (by UID: what it corrects later under the same, no list tells);
#: ``quiet``, a source that cannot be asked sent no more for a while; ``incomplete``, it is not
#: whole, and the source's settings let it on all the same, or some of what was pushed was damaged
#: here and did not come again.
Completeness = Literal["confirmed", "quiet", "incomplete"]


def canonical_json(value: object) -> bytes:
    """One byte string per value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(value: object) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def counted(number: int, noun: str) -> str:
    """``1 study``, ``2 studies``, for a sentence that people read."""
    many = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else many}"


class _Record:
    """Dictionaries in and out for the frozen dataclasses below."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        known = {item.name for item in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True, slots=True)
class RunContext(_Record):
    """Who acts, and in which run: written beside every event, product and audit entry."""

    actor: str = "cli"
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    try_number: int = 1
    map_index: int = -1


@dataclass(frozen=True, slots=True)
class InstanceEntry(_Record):
    """One SOP instance as received. Holds original UIDs: raw zone only.

    Attributes
    ----------
    path
        Relative to the manifest.
    size
        Bytes of the file.
    sha256
        Of the file, byte for byte as received.
    """

    SOPInstanceUID: str
    SOPClassUID: str
    TransferSyntaxUID: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SeriesManifest(_Record):
    """The instances of one series, sorted by SOPInstanceUID."""

    SeriesInstanceUID: str
    Modality: str
    instances: tuple[InstanceEntry, ...]

    @property
    def digest(self) -> str:
        """A hash over the hashes of the instances: the middle of the tree."""
        return digest_of([[i.SOPInstanceUID, i.sha256] for i in self.instances])

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        entries = tuple(InstanceEntry.from_dict(item) for item in data["instances"])
        return cls(data["SeriesInstanceUID"], data["Modality"], _sorted(entries))


@dataclass(frozen=True, slots=True)
class StudyManifest(_Record):
    """What one revision of a study consists of.

    Used twice: in the raw zone with the original UIDs, and in ``deid`` with the new ones.
    Its digest is a hash over the series' digests, which are hashes over the instances':
    the tree that IDC uses, so that one changed byte shows at each level above it.
    """

    study_key: str
    StudyInstanceUID: str
    series: tuple[SeriesManifest, ...]
    completeness: Completeness = "confirmed"

    @property
    def digest(self) -> str:
        return digest_of([[s.SeriesInstanceUID, s.digest] for s in self.series])

    @property
    def instances(self) -> tuple[InstanceEntry, ...]:
        return tuple(entry for series in self.series for entry in series.instances)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        series = [SeriesManifest.from_dict(item) for item in data["series"]]
        return cls(
            study_key=data["study_key"],
            StudyInstanceUID=data["StudyInstanceUID"],
            series=tuple(sorted(series, key=lambda s: s.SeriesInstanceUID)),
            completeness=data.get("completeness", "confirmed"),
        )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "digest": self.digest}


def _sorted(entries: Sequence[InstanceEntry]) -> tuple[InstanceEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.SOPInstanceUID))


@dataclass(frozen=True, slots=True)
class Code(_Record):
    """A coded concept: (CodeValue, CodingSchemeDesignator, CodeMeaning), PS3.3 Section 8.8."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Segment(_Record):
    """One label value of a prediction's mask."""

    number: int
    label: str
    category: Code
    type: Code
    anatomic_region: Code | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        region = data.get("anatomic_region")
        return cls(
            number=int(data["number"]),
            label=data["label"],
            category=Code.from_dict(data["category"]),
            type=Code.from_dict(data["type"]),
            anatomic_region=Code.from_dict(region) if region else None,
        )


@dataclass(frozen=True, slots=True)
class Measurement(_Record):
    """A coded number with its UCUM unit."""

    name: Code
    value: float
    unit: Code

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(Code.from_dict(data["name"]), float(data["value"]), Code.from_dict(data["unit"]))


@dataclass(frozen=True, slots=True)
class Finding(_Record):
    """One thing that a model found.

    Attributes
    ----------
    segment
        The label value in the mask that outlines it, or None.
    centroid_lps
        Centre in patient coordinates (x, y, z), millimetres, LPS as in PS3.3 C.7.6.2; None
        for a finding of the whole volume.
    box_zyx
        Half-open voxel box ((z0, z1), (y0, y1), (x0, x1)), zero-based; None as above.
    confidence
        Between 0 and 1; None where the method gives none.
    """

    label: str
    type: Code
    measurements: tuple[Measurement, ...] = ()
    segment: int | None = None
    centroid_lps: tuple[float, float, float] | None = None
    box_zyx: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None
    confidence: float | None = None
    site: Code | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        box, centre, site = data.get("box_zyx"), data.get("centroid_lps"), data.get("site")
        return cls(
            label=data["label"],
            type=Code.from_dict(data["type"]),
            measurements=tuple(Measurement.from_dict(m) for m in data.get("measurements", ())),
            segment=data.get("segment"),
            centroid_lps=tuple(centre) if centre else None,
            box_zyx=tuple((a, b) for a, b in box) if box else None,  # type: ignore[arg-type]
            confidence=data.get("confidence"),
            site=Code.from_dict(site) if site else None,
        )


@dataclass(frozen=True, slots=True)
class Prediction(_Record):
    """What one model version said about one volume.

    Attributes
    ----------
    prediction_id
        Derived from (volume digest, model, version): the same question, the same answer.
    mask
        Path of the label array beside the record (axes z, y, x; uint8; the volume's grid),
        or None.
    disclaimer
        Goes into every result that is built from this.
    """

    prediction_id: str
    study_key: str
    series_key: str
    volume_digest: str
    model: str
    version: str
    algorithm: str
    disclaimer: str
    findings: tuple[Finding, ...]
    segments: tuple[Segment, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    mask: str | None = None
    device: str = "cpu"
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        plain = {k: data[k] for k in data if k not in ("findings", "segments", "measurements")}
        return cls(
            findings=tuple(Finding.from_dict(f) for f in data.get("findings", ())),
            segments=tuple(Segment.from_dict(s) for s in data.get("segments", ())),
            measurements=tuple(Measurement.from_dict(m) for m in data.get("measurements", ())),
            **plain,
        )
