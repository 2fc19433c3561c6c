"""The manifest of a snapshot: its members, and a digest over what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from hounsfield.datasets.cohort import Cohort
from hounsfield.datasets.split import SPLITS, Fractions
from hounsfield.records import digest_of

__all__ = ["Member", "SnapshotManifest"]


@dataclass(frozen=True, slots=True)
class Member:
    """One volume in a snapshot.

    Attributes
    ----------
    uri
        Where the volume lay when it was frozen; it may move between tiers, and is no part
        of the digest.
    label_digest, label_version
        Of the newest label of the cohort's kind; None without one.
    profile_digest
        Of the profile that the volume was de-identified by, which its own digest implies; empty
        of phantoms. No part of the snapshot's digest, so that older snapshots keep theirs.
    subgroup
        What an evaluation is broken down by, such as the manufacturer.
    """

    volume_digest: str
    patient_key: str
    study_key: str
    series_key: str
    split: str
    uri: str
    label_digest: str | None = None
    label_version: str | None = None
    subgroup: dict[str, str] = field(default_factory=dict)
    profile_digest: str = ""

    def identity(self) -> dict[str, Any]:
        """What the digest covers."""
        untold = ("uri", "profile_digest")
        return {key: value for key, value in asdict(self).items() if key not in untold}


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """A frozen training set. Its name is a label, and no part of the digest."""

    name: str
    cohort: Cohort
    seed: int
    fractions: Fractions
    members: tuple[Member, ...]

    @property
    def digest(self) -> str:
        return digest_of(
            {
                "cohort": self.cohort.to_dict(),
                "seed": self.seed,
                "fractions": self.fractions.to_dict(),
                "members": [member.identity() for member in self.members],
            }
        )

    def without(self, studies: Collection[str]) -> Self:
        """The same without some studies. Who stays keeps the split that was frozen."""
        kept = tuple(member for member in self.members if member.study_key not in studies)
        return replace(self, members=kept)

    @property
    def counts(self) -> dict[str, int]:
        """Volumes by split."""
        found = Counter(member.split for member in self.members)
        return {split: found[split] for split in SPLITS}

    @property
    def profile_digests(self) -> list[str]:
        """Of the profiles that its members were de-identified by: one, unless that changed."""
        return sorted({member.profile_digest for member in self.members} - {""})

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "digest": self.digest,
            "cohort": self.cohort.to_dict(),
            "seed": self.seed,
            "fractions": self.fractions.to_dict(),
            "counts": self.counts,
            "members": [asdict(member) for member in self.members],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            name=data["name"],
            cohort=Cohort.from_dict(data["cohort"]),
            seed=int(data["seed"]),
            fractions=Fractions.from_dict(data["fractions"]),
            members=tuple(Member(**member) for member in data["members"]),
        )
