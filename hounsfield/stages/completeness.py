"""Completeness: what a source says that it has of a study, against what is here.

A source is asked twice over: for its list of instances, and for its count of them
(NumberOfStudyRelatedInstances, PS3.4 Table C.6-5). They differ while it is still taking the
study in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from hounsfield.pacs import InstanceRef, PacsClient, SeriesEntry
from hounsfield.records import digest_of

__all__ = ["Gap", "Listing", "Shortfall", "ask"]

_MOST_GAPS = 10  # that are told of


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing of one series, named by its place in the source's answer."""

    position: int
    modality: str
    missing: int
    total: int


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What is missing of a study. In words it names nobody: numbers and modalities.

    Attributes
    ----------
    counted, listed, here
        Instances that the source counts, those that it lists, and of these those that are here.
    gaps
        Where they are missing; nowhere if the source does not tell.
    series
        How many series the source lists.
    """

    counted: int
    listed: int
    here: int
    gaps: tuple[Gap, ...]
    series: int

    @property
    def missing(self) -> int:
        return self.counted - self.here

    def __str__(self) -> str:
        said = f"the PACS counts {self.counted} instances, lists {self.listed} and gave {self.here}"
        missing = [
            f"{gap.missing} of {gap.total} in series {gap.position} of {self.series}"
            f" ({gap.modality or 'no modality'})"
            for gap in self.gaps[:_MOST_GAPS]
        ]
        if len(self.gaps) > _MOST_GAPS:
            missing.append(f"more in {len(self.gaps) - _MOST_GAPS} other series")
        unplaced = self.missing - sum(gap.missing for gap in self.gaps)
        if unplaced > 0:
            missing.append(f"{unplaced} of no series that it names")
        return f"{said}; missing are {', '.join(missing)}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source says that it has of a study, without our own results.

    Attributes
    ----------
    uncounted
        How many more instances it counts than it lists.
    series
        As it lists them; asked for only where that explains something.
    """

    refs: tuple[InstanceRef, ...] = field(repr=False)
    uncounted: int = 0
    series: tuple[SeriesEntry, ...] = field(default=(), repr=False)

    @property
    def digest(self) -> str:
        """Changes when it lists something else."""
        return digest_of(sorted(self.uids))

    @property
    def uids(self) -> set[str]:
        return {ref.SOPInstanceUID for ref in self.refs}

    def shortfall(self, here: Collection[str]) -> Shortfall | None:
        """What is missing; None if all that it lists and counts is among the UIDs `here`."""
        listed, come = Counter[str](), Counter[str]()
        modality = {item.SeriesInstanceUID: item.Modality for item in self.series}
        for ref in self.refs:
            modality.setdefault(ref.SeriesInstanceUID, ref.Modality)
            listed[ref.SeriesInstanceUID] += 1
            come[ref.SeriesInstanceUID] += ref.SOPInstanceUID in here
        counted = len(self.refs) + self.uncounted
        if come.total() == counted:
            return None
        total = {
            item.SeriesInstanceUID: item.NumberOfSeriesRelatedInstances or 0 for item in self.series
        }
        gaps = []
        for position, (uid, of) in enumerate(modality.items(), start=1):
            expected = max(total.get(uid, 0), listed[uid])
            if expected > come[uid]:
                gaps.append(Gap(position, of, expected - come[uid], expected))
        return Shortfall(counted, len(self.refs), come.total(), tuple(gaps), len(modality))


def ask(client: PacsClient, study_instance_uid: str, ours: Collection[str]) -> Listing:
    """Asks a source what it has of a study.

    Parameters
    ----------
    ours
        SOPInstanceUIDs of the results that we stored there: it lists and counts them as well,
        and they are no images of the study.
    """
    every = client.find_instances(study_instance_uid)
    uncounted = max(client.count_instances(study_instance_uid) - len(every), 0)
    refs = tuple(ref for ref in every if ref.SOPInstanceUID not in ours)
    series: tuple[SeriesEntry, ...] = ()
    if uncounted:
        own = {ref.SeriesInstanceUID for ref in every} - {ref.SeriesInstanceUID for ref in refs}
        found = client.find_series(study_instance_uid)
        series = tuple(item for item in found if item.SeriesInstanceUID not in own)
    return Listing(refs, uncounted, series)
