"""What every PACS client can do, whatever it speaks: DIMSE or DICOMweb.

The records hold original UIDs and dates, which are PHI: they stay out of logs, so their
``repr`` shows none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pydicom.dataset import Dataset

from hounsfield.errors import ConfigError, DeliveryRefused, PacsUnavailable, PermanentError
from hounsfield.pacs.window import Window
from hounsfield.records import InstanceEntry

__all__ = [
    "NOT_DICOM",
    "NO_INSTANCE",
    "UNREADABLE",
    "Commitment",
    "CommitmentNotSupported",
    "EntrySink",
    "FetchReport",
    "InstanceRef",
    "OutcomeSink",
    "PacsClient",
    "SeriesEntry",
    "StoreOutcome",
    "StudyEntry",
    "StudyFilter",
    "Verdict",
]

EntrySink = Callable[[InstanceEntry], None]
OutcomeSink = Callable[["StoreOutcome"], None]
Verdict = Literal["stored", "warning", "refused", "busy"]

# Reasons of outcomes for files that could not even be offered.
NOT_DICOM = "not a DICOM file"
UNREADABLE = "a file that cannot be read"
NO_INSTANCE = "a DICOM file that names no SOP class or instance"


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """A study as the PACS lists it; what it does not tell is empty or None."""

    StudyInstanceUID: str = field(repr=False)
    StudyDate: str = field(default="", repr=False)
    StudyTime: str = field(default="", repr=False)
    StudyDescription: str = field(default="", repr=False)
    ModalitiesInStudy: tuple[str, ...] = ()
    NumberOfStudyRelatedInstances: int | None = None
    PatientID: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """A series as the PACS lists it."""

    SeriesInstanceUID: str = field(repr=False)
    Modality: str = ""
    NumberOfSeriesRelatedInstances: int | None = None


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """An instance as the PACS lists it. SOPClassUID is empty where the PACS does not tell."""

    SOPInstanceUID: str = field(repr=False)
    SeriesInstanceUID: str = field(repr=False)
    SOPClassUID: str = ""
    Modality: str = ""


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Which studies of a window are wanted.

    Attributes
    ----------
    modalities
        A study counts if it has a series of one of these; empty means any. In capitals, as codes
        are, however they were given.
    description
        A regular expression that the StudyDescription must match somewhere; empty means any.
        A study without one counts: many PACS do not tell it, and a study too many is better
        than one lost.
    """

    modalities: frozenset[str] = frozenset()
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", frozenset(map(str.upper, self.modalities)))
        try:
            re.compile(self.description)
        except re.error:
            raise ConfigError("not a regular expression", where="description") from None

    def describes(self, study_description: str) -> bool:
        """Whether a study with this StudyDescription counts."""
        return not study_description or bool(re.search(self.description, study_description))


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a retrieval brought.

    Attributes
    ----------
    entries
        Each whole file on disk, in order of arrival. ``path`` is relative to the folder.
    requested
        How many instances were asked for.
    missing
        SOPInstanceUIDs that were asked for and did not come.
    cut_short
        How many came without their end, and so are missing, where that is seen as they come.
    elsewhere
        How many a C-MOVE took, as the PACS says, and not to who called: to the receiver, where
        the PACS has that at the address of our AE title.
    """

    entries: tuple[InstanceEntry, ...] = field(repr=False)
    requested: int
    missing: tuple[str, ...] = field(repr=False)
    cut_short: int = 0
    elsewhere: int = 0

    @property
    def is_complete(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What the PACS said to one object.

    Attributes
    ----------
    verdict
        ``warning`` means stored as well; ``busy`` that the same object may pass later.
    status
        Of the C-STORE response (PS3.4 Table B.2-1), or the failure or warning reason of
        STOW-RS (PS3.18 Section 10.5.3); None where there was none.
    reason
        What the status means, and those words of the PACS's comment that cannot be PHI.
    comment
        The PACS's own words: (0000,0902) Error Comment, or the body of its answer. May quote a
        patient: for quarantine only.
    """

    SOPInstanceUID: str = field(repr=False)
    StudyInstanceUID: str = field(repr=False)
    verdict: Verdict
    status: int | None
    reason: str
    comment: str = field(default="", repr=False)

    @property
    def is_stored(self) -> bool:
        return self.verdict in ("stored", "warning")

    def raise_for_status(self, where: str = "") -> None:
        """Raises
        ------
        DeliveryRefused
            The object was refused for good.
        PacsUnavailable
            It may pass later.
        """
        if self.verdict == "refused":
            raise DeliveryRefused(
                f"the PACS refused an object: {self.reason}",
                where=where,
                remedy="see the quarantine entry for the PACS's own words",
            )
        if self.verdict == "busy":
            raise PacsUnavailable(
                f"the PACS could not take an object just now: {self.reason}",
                where=where,
                remedy="try again",
            )


class CommitmentNotSupported(PermanentError):
    """The PACS has no Storage Commitment: delivery must be proven in another way."""

    code = "commitment-not-supported"


@dataclass(frozen=True, slots=True)
class Commitment:
    """For which objects the PACS takes responsibility (PS3.4 Annex J).

    Attributes
    ----------
    committed
        SOPInstanceUIDs that it promises to keep.
    failed
        SOPInstanceUID → why not, in words without PHI. Each object that was asked about is in
        one of the two.
    """

    committed: frozenset[str] = field(repr=False)
    failed: Mapping[str, str] = field(repr=False)


class PacsClient(Protocol):
    """A PACS, asked and answered. Every call may raise
    `PacsUnavailable` (come back later) or `ConfigError` (the PACS does not want us).
    """

    def echo(self) -> None:
        """Returns if the PACS answers."""

    def find_studies(
        self, window: Window, filters: StudyFilter = StudyFilter()
    ) -> Iterator[StudyEntry]:
        """The studies of a time window, each once, by date."""

    def find_series(self, study_instance_uid: str) -> tuple[SeriesEntry, ...]:
        """The series of a study."""

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        """The instances of a study; empty if the PACS has no such study."""

    def count_instances(self, study_instance_uid: str) -> int:
        """How many instances the PACS says that a study has."""

    def fetch_study(
        self,
        study_instance_uid: str,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        sink: EntrySink | None = None,
    ) -> FetchReport:
        """Brings a study into `folder`, byte for byte.

        Parameters
        ----------
        only
            The SOPInstanceUIDs that are wanted; None means all.
        sink
            Called with each instance once its file is whole and on disk, so that what came
            before a broken connection need not come again.
        """

    def store(
        self, objects: Iterable[Path | Dataset], *, sink: OutcomeSink | None = None
    ) -> list[StoreOutcome]:
        """Sends files or datasets; one outcome each, in the order given.

        Every object is tried; if the PACS was too busy for some of them,
        `PacsUnavailable` is raised at the end. `sink` sees each outcome as it comes.
        """

    def commit(self, objects: Collection[tuple[str, str]]) -> Commitment:
        """Asks the PACS to take responsibility for objects (SOPClassUID, SOPInstanceUID).

        Raises
        ------
        CommitmentNotSupported
            It has no Storage Commitment.
        NotYet
            It has not reported in the time configured; asking again is safe.
        """
