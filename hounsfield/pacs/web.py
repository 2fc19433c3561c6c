"""A PACS by DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18 Chapter 10)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from hounsfield.errors import NotFound
from hounsfield.pacs import finding
from hounsfield.pacs.client import (
    Commitment,
    CommitmentNotSupported,
    EntrySink,
    FetchReport,
    InstanceRef,
    OutcomeSink,
    SeriesEntry,
    StoreOutcome,
    StudyEntry,
    StudyFilter,
)
from hounsfield.pacs.qido import Qido
from hounsfield.pacs.stow import store_objects
from hounsfield.pacs.wado import Arrivals, fetch_instances
from hounsfield.pacs.web_peer import WebPeer
from hounsfield.pacs.window import Window

__all__ = ["WebClient"]

_ANY = StudyFilter()


class WebClient:
    """A `PacsClient` that opens a session for each call and keeps none.

    Every method may raise `PacsUnavailable` (transient) or `ConfigError` (the PACS knows
    neither us nor what we ask for).

    Examples
    --------
    >>> client = WebClient(WebPeer("https://pacs.example/dicom-web"))
    >>> day = Window(datetime(2024, 5, 1), datetime(2024, 5, 2))
    >>> for study in client.find_studies(day):
    ...     report = client.fetch_study(study.StudyInstanceUID, Path("landing"))
    """

    def __init__(self, peer: WebPeer) -> None:
        self.peer = peer

    def echo(self) -> None:
        """A query for one study: DICOMweb has no C-ECHO."""
        with Qido.of(self.peer) as qido:
            qido.echo()

    def find_studies(self, window: Window, filters: StudyFilter = _ANY) -> Iterator[StudyEntry]:
        """The studies of a window, by date and time."""
        with Qido.of(self.peer) as qido:
            found = finding.ask_whole(
                window,
                lambda part, patient_id: qido.find_window(part, filters, patient_id),
                self.peer.where,
            )
            wanted = finding.select(found, filters, qido.find_series)
        yield from wanted

    def find_series(self, study_instance_uid: str) -> tuple[SeriesEntry, ...]:
        with Qido.of(self.peer) as qido:
            return qido.find_series(study_instance_uid)

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        with Qido.of(self.peer) as qido:
            return qido.find_instances(study_instance_uid)

    def count_instances(self, study_instance_uid: str) -> int:
        """NumberOfStudyRelatedInstances, or a count of the instances where it is not given."""
        with Qido.of(self.peer) as qido:
            study = qido.find_study(study_instance_uid)
            if study is None:
                return 0
            if study.NumberOfStudyRelatedInstances is not None:
                return study.NumberOfStudyRelatedInstances
            return len(qido.find_instances(study_instance_uid))

    def fetch_study(
        self,
        study_instance_uid: str,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        sink: EntrySink | None = None,
    ) -> FetchReport:
        """WADO-RS of a study or of some of its instances into `folder`.

        Each instance is written as ``<SHA-256>.dcm`` in the transfer syntax in which the PACS
        keeps it. What did not come is in the report; that is no error here.

        Raises
        ------
        NotFound
            The PACS lists no such study, or none of the instances in `only`.
        StoreUnavailable
            `folder` cannot be written.
        """
        every = self.find_instances(study_instance_uid)
        wanted = [ref for ref in every if only is None or ref.SOPInstanceUID in only]
        if not wanted:
            raise NotFound("the PACS lists no such instances", where=self.peer.where)
        arrivals = Arrivals(folder, frozenset(ref.SOPInstanceUID for ref in wanted), sink)
        fetch_instances(self.peer, study_instance_uid, wanted, every, arrivals)
        return FetchReport(arrivals.entries, len(wanted), arrivals.missing, arrivals.cut_short)

    def store(
        self, objects: Iterable[Path | Dataset], *, sink: OutcomeSink | None = None
    ) -> list[StoreOutcome]:
        outcomes = store_objects(self.peer, objects, sink)
        for outcome in outcomes:
            if outcome.verdict == "busy":
                outcome.raise_for_status(self.peer.where)
        return outcomes

    def commit(self, objects: Collection[tuple[str, str]]) -> Commitment:
        """Always raises `CommitmentNotSupported`: what arrived is proven by asking for it."""
        raise CommitmentNotSupported(
            "Storage Commitment is not spoken by DICOMweb", where=self.peer.where
        )
