"""Training sets: chosen by a cohort, split by patient, frozen under a digest."""

from hounsfield.datasets.cohort import Cohort
from hounsfield.datasets.datalist import datalist
from hounsfield.datasets.freeze import freeze, keep_snapshot, load_snapshot
from hounsfield.datasets.manifest import Member, SnapshotManifest
from hounsfield.datasets.split import SPLITS, Fractions, split_patients

__all__ = [
    "SPLITS",
    "Cohort",
    "Fractions",
    "Member",
    "SnapshotManifest",
    "datalist",
    "freeze",
    "keep_snapshot",
    "load_snapshot",
    "split_patients",
]
