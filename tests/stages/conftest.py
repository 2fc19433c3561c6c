"""A site of its own for each test, and a PACS that does what the test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.catalog.models import Study
from hounsfield.errors import PacsUnavailable
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
from hounsfield.stages.revision import raw_manifest
from hounsfield.store.product import verify
from hounsfield.tracking import Tracker
from tests.postgres import new_database
from tests.stages.kept import ERASING, keep_two_patients
from tests.stages.outbox import Outbox

RUN = RunContext(actor="officer", dag_id="ingest", run_id="r1", task_id="retrieve")
STUDY = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture
def databases(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the catalog and the vault are: SQLite, unless a test asks for ``on_both``."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return {}
    server = request.getfixturevalue("postgres_server")
    return {f"HOUNSFIELD_{name}_URL": new_database(server) for name in ("CATALOG", "VAULT")}


#: Runs a test on SQLite and on PostgreSQL.
on_both = pytest.mark.parametrize(
    "databases", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)], indirect=True
)


@pytest.fixture
def site(tmp_path: Path, databases: dict[str, str]) -> Site:
    """Set up with the repository's configs, under a folder of its own; nothing is waited for."""
    home = {"HOUNSFIELD_HOME": str(tmp_path / "home"), "HOUNSFIELD_CONFIRM_SECONDS": "0"}
    made = Site(Settings.load(home | databases))
    made.set_up()
    return made


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    root = tmp_path_factory.mktemp("mlflow")
    return Tracker(f"sqlite:///{root}/mlflow.db", str(root / "artifacts"))


@pytest.fixture
def patients(
    site: Site, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> tuple[Study, Study, str]:
    for module in (*ERASING, "snapshot"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", lambda _: tracker)
    return keep_two_patients(site, tracker, RUN)


def with_source(site: Site, **changes: Any) -> Site:
    """The site as it is when its source has other settings; after a restart, so to say."""
    sources = {name: one.model_copy(update=changes) for name, one in site.settings.sources.items()}
    return Site(site.settings.model_copy(update={"sources": sources}))


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
    uncounted
        How many instances more it counts than it lists.
    breaks_after
        How many instances a retrieval brings before it breaks; None: all.
    cut_short
        How many of those that do not come are told to have come without their end.
    """

    listed: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    asked: list[set[str]] = field(default_factory=list)
    study_date: str = "20260301"
    description: str = ""
    uncounted: int = 0
    breaks_after: int | None = None
    cut_short: int = 0

    def give(self, uid: str, content: str = "one", series: str = "1.2.3") -> None:
        """Puts an instance in, as if a modality had stored it."""
        self.listed[uid] = series
        self.sent.append((uid, content))

    def echo(self) -> None: ...

    def find_studies(
        self, window: Window, filters: StudyFilter | None = None
    ) -> Iterator[StudyEntry]:
        study = StudyEntry(STUDY, StudyDate=self.study_date, StudyDescription=self.description)
        if filters is None or filters.describes(study.StudyDescription):
            yield study

    def find_series(self, study_instance_uid: str) -> tuple[SeriesEntry, ...]:
        counts = Counter(self.listed.values())
        return tuple(SeriesEntry(uid, "CT", count) for uid, count in sorted(counts.items()))

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        return tuple(InstanceRef(uid, series, "", "CT") for uid, series in self.listed.items())

    def count_instances(self, study_instance_uid: str) -> int:
        return len(self.listed) + self.uncounted

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
        entries = []
        for uid, content in [(uid, content) for uid, content in self.sent if uid in wanted]:
            if len(entries) == self.breaks_after:
                raise PacsUnavailable("the association broke")
            entry = write_instance(
                folder,
                encoded(uid, content),
                sop_class_uid=CTImageStorage,
                sop_instance_uid=uid,
                transfer_syntax_uid=ExplicitVRLittleEndian,
            )
            entries.append(entry)
            if sink is not None:
                sink(entry)
        missing = wanted - {entry.SOPInstanceUID for entry in entries}
        return FetchReport(tuple(entries), len(wanted), tuple(sorted(missing)), self.cut_short)

    def store(
        self, objects: Iterable[Path | Dataset], *, sink: OutcomeSink | None = None
    ) -> list[StoreOutcome]:
        raise NotImplementedError

    def commit(self, objects: Collection[tuple[str, str]]) -> Commitment:
        raise CommitmentNotSupported("it has none")


def encoded(uid: str, content: str, **attributes: str) -> BytesIO:
    """A data set of a made-up patient, or with other `attributes`, as it comes over the network."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, uid
    dataset.StudyInstanceUID = STUDY
    dataset.PatientID, dataset.IssuerOfPatientID = "LOVELACE-1815", "SWITHIN"
    dataset.ImageComments = content
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    return buffer


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> FakePacs:
    """What every source of the site is."""
    fake = FakePacs()
    monkeypatch.setattr("hounsfield.stages.ingest.client_of", lambda *_: fake)
    return fake


class _NoTracker:
    def log_prediction(self, _: object) -> None: ...


@pytest.fixture
def outbox(site: Site, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """Results that wait to be delivered; MLflow is left out."""
    monkeypatch.setattr("hounsfield.stages.confirm.tracker_of", lambda _: _NoTracker())
    monkeypatch.setattr("hounsfield.stages.confirm.prediction_lineage", lambda *_, **__: None)
    return Outbox.of(site)


def instances(site: Site, study_key: str) -> dict[str, bytes]:
    """Content by SOPInstanceUID of the newest revision, checked."""
    product = site.catalog.latest(study_key, "raw")
    zone, relative = site.locate(product.uri)
    with zone.open(relative) as folder:
        verify(folder)
        manifest = raw_manifest(folder)
        assert manifest.digest == product.digest
        listed = {item.SOPInstanceUID: item.path for item in manifest.instances}
        on_disk = {path.name for path in (folder / "instances").iterdir()}
        assert on_disk == set(listed.values()), "what lies there is what the manifest lists"
        return {uid: (folder / "instances" / path).read_bytes() for uid, path in listed.items()}
