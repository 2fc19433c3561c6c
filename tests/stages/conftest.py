"""A site of its own for each test, and a PACS that does what the test says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.pacs import (
    Commitment,
    CommitmentNotSupported,
    InstanceRef,
    StudyEntry,
    StudyFilter,
    Window,
)
from hounsfield.pacs.client import EntrySink, FetchReport, OutcomeSink, SeriesEntry, StoreOutcome
from hounsfield.pacs.landing import write_instance
from hounsfield.records import RunContext
from hounsfield.settings import Settings
from hounsfield.site import Site
from tests.stages.outbox import Outbox

RUN = RunContext(actor="officer", dag_id="ingest", run_id="r1", task_id="retrieve")
STUDY = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Set up with the repository's configs, under a folder of its own."""
    made = Site(Settings.load({"HOUNSFIELD_HOME": str(tmp_path / "home")}))
    made.set_up()
    return made


@dataclass
class FakePacs:
    """A PacsClient with one study in memory.

    Attributes
    ----------
    listed
        SOPInstanceUID → SeriesInstanceUID, as the PACS answers to C-FIND.
    sent
        What it sends when asked for all: (SOPInstanceUID, content), maybe one twice.
    asked
        Each request for instances: which ones.
    """

    listed: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    asked: list[set[str]] = field(default_factory=list)
    study_date: str = "20260301"

    def give(self, uid: str, content: str = "one", series: str = "1.2.3") -> None:
        """Puts an instance in, as if a modality had stored it."""
        self.listed[uid] = series
        self.sent.append((uid, content))

    def echo(self) -> None: ...

    def find_studies(
        self, window: Window, filters: StudyFilter | None = None
    ) -> Iterator[StudyEntry]:
        yield StudyEntry(STUDY, StudyDate=self.study_date)

    def find_series(self, study_instance_uid: str) -> tuple[SeriesEntry, ...]:
        return tuple(SeriesEntry(uid, "CT") for uid in sorted(set(self.listed.values())))

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        return tuple(InstanceRef(uid, series, "", "CT") for uid, series in self.listed.items())

    def count_instances(self, study_instance_uid: str) -> int:
        return len(self.listed)

    def fetch_study(
        self,
        study_instance_uid: str,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        sink: EntrySink | None = None,
    ) -> FetchReport:
        wanted = set(self.listed if only is None else only)
        self.asked.append(wanted)
        entries = tuple(
            write_instance(
                folder,
                encoded(uid, content),
                sop_class_uid=CTImageStorage,
                sop_instance_uid=uid,
                transfer_syntax_uid=ExplicitVRLittleEndian,
            )
            for uid, content in self.sent
            if uid in wanted
        )
        missing = wanted - {entry.SOPInstanceUID for entry in entries}
        return FetchReport(entries, len(wanted), tuple(sorted(missing)))

    def store(
        self, objects: Iterable[Path | Dataset], *, sink: OutcomeSink | None = None
    ) -> list[StoreOutcome]:
        raise NotImplementedError

    def commit(self, objects: Collection[tuple[str, str]]) -> Commitment:
        raise CommitmentNotSupported("it has none")


def encoded(uid: str, content: str) -> BytesIO:
    """A data set of a made-up patient, as it comes over the network."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, uid
    dataset.StudyInstanceUID = STUDY
    dataset.PatientID, dataset.IssuerOfPatientID = "LOVELACE-1815", "SWITHIN"
    dataset.ImageComments = content
    buffer = BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    return buffer


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> FakePacs:
    """What every source of the site is."""
    fake = FakePacs()
    monkeypatch.setattr("hounsfield.stages.ingest.client_of", lambda _: fake)
    return fake


class _NoTracker:
    def log_prediction(self, _: object) -> None: ...


@pytest.fixture
def outbox(site: Site, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """Results that wait to be delivered; MLflow is left out."""
    monkeypatch.setattr("hounsfield.stages.confirm.tracker_of", lambda _: _NoTracker())
    monkeypatch.setattr("hounsfield.stages.confirm.prediction_lineage", lambda *_, **__: None)
    return Outbox.of(site)
