"""A folder of files into a PACS: the person's own input, whatever lies in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hounsfield.dicom.reading import find_files
from hounsfield.pacs.client import NOT_DICOM, StoreOutcome
from hounsfield.pacs.dimse import DimseClient
from hounsfield.pacs.peer import DimsePeer
from hounsfield.pacs.send import store_objects

__all__ = ["SendReport", "send_folder"]


@dataclass(frozen=True, slots=True)
class SendReport:
    """What became of the files of a folder.

    Attributes
    ----------
    sent
        Files that the PACS said it stored. The same instance twice counts twice.
    refused
        Reason → number of files. What the PACS was too busy for, or broke off at, was
        tried twice.
    not_dicom
        Files that are no DICOM instance.
    unlisted
        Instances that the PACS said it stored, and does not list when asked.
    studies
        StudyInstanceUIDs of what was sent. PHI.
    unsent
        StudyInstanceUID → reason, of studies of which the PACS refused every instance. PHI.
    """

    sent: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    not_dicom: int = 0
    unlisted: int = 0
    studies: frozenset[str] = field(default=frozenset(), repr=False)
    unsent: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def files(self) -> int:
        return self.sent + sum(self.refused.values()) + self.not_dicom


def send_folder(
    peer: DimsePeer, root: Path, progress: Callable[[StoreOutcome], None] | None = None
) -> SendReport:
    """Stores every instance under `root`, and asks afterwards whether the PACS has them.

    Parameters
    ----------
    root
        Any nesting, any mix of files; DICOMDIR file-sets too.
    progress
        Called once a file.

    Raises
    ------
    NotFound
        There is nothing at `root`.
    PacsUnavailable
        The PACS is not there, or went away. Sending again is safe.
    """
    paths = list(find_files(root))
    outcomes = store_objects(peer, paths, progress)
    for number, outcome in enumerate(outcomes):
        if outcome.verdict == "busy":
            # One at a time: several in a row would be taken for a PACS that went away.
            (outcomes[number],) = store_objects(peer, [paths[number]])
    return _report(DimseClient(peer), outcomes)


def _report(client: DimseClient, outcomes: Sequence[StoreOutcome]) -> SendReport:
    stored = {o.SOPInstanceUID: o.StudyInstanceUID for o in outcomes if o.is_stored}
    studies = frozenset(stored.values()) - {""}
    listed = {ref.SOPInstanceUID for uid in studies for ref in client.find_instances(uid)}
    reasons = Counter(outcome.reason for outcome in outcomes if not outcome.is_stored)
    refused = {o.StudyInstanceUID: o.reason for o in outcomes if o.verdict == "refused"}
    others = {o.StudyInstanceUID for o in outcomes if o.verdict != "refused"} | {""}
    return SendReport(
        sent=sum(outcome.is_stored for outcome in outcomes),
        not_dicom=reasons.pop(NOT_DICOM, 0),
        refused=dict(reasons),
        unlisted=len(stored.keys() - listed),
        studies=studies,
        unsent={uid: reason for uid, reason in refused.items() if uid not in others},
    )
