"""A PACS by DIMSE: C-ECHO, C-FIND, C-GET, C-MOVE, C-STORE and Storage Commitment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import Association
from pynetdicom.sop_class import Verification

from hounsfield.errors import ConfigError, NotFound
from hounsfield.pacs import finding, query
from hounsfield.pacs.association import associate, context, lost
from hounsfield.pacs.client import (
    Commitment,
    EntrySink,
    FetchReport,
    InstanceRef,
    OutcomeSink,
    SeriesEntry,
    StoreOutcome,
    StudyEntry,
    StudyFilter,
)
from hounsfield.pacs.commit import commit_objects
from hounsfield.pacs.landing import Landing
from hounsfield.pacs.peer import DimsePeer
from hounsfield.pacs.retrieve import GetNotSupported, get_instances, move_instances
from hounsfield.pacs.send import store_objects
from hounsfield.pacs.status import query_error
from hounsfield.pacs.window import Window

__all__ = ["DimseClient"]

_ANY = StudyFilter()
_Retrieve = Callable[[DimsePeer, str, Sequence[InstanceRef], Sequence[InstanceRef], Landing], None]


class DimseClient:
    """A `PacsClient` that opens an association for each call and keeps none.

    Every method may raise `PacsUnavailable` (transient) or `ConfigError` (the PACS knows
    neither us nor what we ask for).

    Examples
    --------
    >>> client = DimseClient(DimsePeer("QRSCP", "127.0.0.1", 11112))
    >>> day = Window(datetime(2024, 5, 1), datetime(2024, 5, 2))
    >>> for study in client.find_studies(day):
    ...     report = client.fetch_study(study.StudyInstanceUID, Path("landing"))
    """

    def __init__(self, peer: DimsePeer) -> None:
        self.peer = peer

    def echo(self) -> None:
        """C-ECHO (PS3.4 Annex A)."""
        with associate(self.peer, [context(Verification)]) as association:
            status = association.send_c_echo()
            if "Status" not in status:
                raise lost(self.peer)
            if status.Status != 0:
                raise query_error(self.peer, int(status.Status))

    def find_studies(self, window: Window, filters: StudyFilter = _ANY) -> Iterator[StudyEntry]:
        """The studies of a window, by date and time.

        All answers are read before the first is given: a PACS does not wait while a study
        is fetched.
        """
        with self._querying() as association:
            found = finding.ask_whole(
                window,
                lambda part, patient_id: query.find_window(
                    self.peer, association, part, filters, patient_id
                ),
                self.peer.where,
            )
            wanted = finding.select(
                found, filters, lambda uid: query.find_series(self.peer, association, uid)
            )
        yield from wanted

    def find_series(self, study_instance_uid: str) -> tuple[SeriesEntry, ...]:
        with self._querying() as association:
            return query.find_series(self.peer, association, study_instance_uid)

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        with self._querying() as association:
            return query.find_instances(self.peer, association, study_instance_uid)

    def count_instances(self, study_instance_uid: str) -> int:
        """NumberOfStudyRelatedInstances, or a count at image level where it is not given."""
        with self._querying() as association:
            study = query.find_study(self.peer, association, study_instance_uid)
            if study is None:
                return 0
            if study.NumberOfStudyRelatedInstances is not None:
                return study.NumberOfStudyRelatedInstances
            return len(query.find_instances(self.peer, association, study_instance_uid))

    def fetch_study(
        self,
        study_instance_uid: str,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        sink: EntrySink | None = None,
    ) -> FetchReport:
        """C-GET, or C-MOVE, of a study or of some of its instances into `folder`.

        Each instance is written as ``<SHA-256>.dcm`` in the transfer syntax in which the
        PACS sends it. What did not come is in the report; that is no error here.

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
        landing = Landing(
            folder,
            frozenset(ref.SOPInstanceUID for ref in wanted),
            sink,
            longest=self.peer.max_instance,
        )
        self._retrieve(study_instance_uid, wanted, every, landing)
        missing = landing.wanted - landing.arrived
        return FetchReport(
            landing.entries, len(wanted), tuple(sorted(missing)), elsewhere=landing.elsewhere
        )

    def store(
        self, objects: Iterable[Path | Dataset], *, sink: OutcomeSink | None = None
    ) -> list[StoreOutcome]:
        outcomes = store_objects(self.peer, objects, sink)
        for outcome in outcomes:
            if outcome.verdict == "busy":
                outcome.raise_for_status(self.peer.where)
        return outcomes

    def commit(self, objects: Collection[tuple[str, str]]) -> Commitment:
        """Storage Commitment (PS3.4 Annex J); see `commit_objects`."""
        return commit_objects(self.peer, objects)

    @contextmanager
    def _querying(self) -> Iterator[Association]:
        with associate(self.peer, [context(query.FIND)]) as association:
            yield association

    def _retrieve(
        self,
        study_instance_uid: str,
        wanted: Sequence[InstanceRef],
        every: Sequence[InstanceRef],
        landing: Landing,
    ) -> None:
        ways: dict[str, tuple[_Retrieve, ...]] = {
            "c-get": (get_instances,),
            "c-move": (move_instances,),
            "auto": (get_instances, move_instances),
        }
        for retrieve in ways[self.peer.get]:
            try:
                return retrieve(self.peer, study_instance_uid, wanted, every, landing)
            except GetNotSupported:
                continue
        raise ConfigError(
            "the PACS has no C-GET", where=f"{self.peer.where}, get", remedy="use c-move or auto"
        )
