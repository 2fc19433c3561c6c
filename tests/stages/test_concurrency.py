"""Two runs of one study at once, and runs that are killed: nothing doubled, nothing half."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import func, select

from hounsfield.catalog.models import Delivery, Event, Prediction, Product, QuarantineItem
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import StudyLocked
from hounsfield.inference.run import prediction_id
from hounsfield.pacs import DimseClient, InstanceRef
from hounsfield.pacs.client import EntrySink, FetchReport, OutcomeSink, StoreOutcome
from hounsfield.pacs.qrscp import QrscpServer
from hounsfield.records import Finding, InstanceEntry, RunContext
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.stages.build_results import build_results
from hounsfield.stages.chunk import chunk
from hounsfield.stages.confirm import confirm
from hounsfield.stages.deidentify import deidentify
from hounsfield.stages.deliver import deliver
from hounsfield.stages.gate import gate
from hounsfield.stages.infer import run_model
from hounsfield.stages.ingest import client_of, retrieve_study
from hounsfield.stages.release import release
from hounsfield.stages.validate import validate
from hounsfield.store.product import MANIFEST, file_digest, verify
from hounsfield.vault import Identity
from tests.killing import in_a_process
from tests.processes import together
from tests.quality.conftest import ct_slice
from tests.results.made_up import SCT, SEGMENTS, VOLUME, predict
from tests.stages.conftest import FakePacs, on_both

FORK = multiprocessing.get_context("fork")
SLICES = 6
UID = ct_slice(0).StudyInstanceUID


# The model and MLflow are stand-ins: what is tried here is the pipeline around them.


def run_bundle(bundle: Path, volume: Any, **ids: Any) -> tuple[Any, np.ndarray]:
    mask = np.zeros(volume.shape, np.uint8)
    mask[2:4, 4:8, 4:8] = 1
    nodule = Finding(
        "Nodule", SCT["nodule"], (VOLUME,), segment=1, box_zyx=((2, 4), (4, 8), (4, 8))
    )
    made = predict((nodule,), SEGMENTS[:1])
    facts = {name: getattr(made, name) for name in made.__slots__}
    names = ("study_key", "series_key", "volume_digest", "version")
    facts |= {name: ids[name] for name in names}
    facts["prediction_id"] = prediction_id(ids["volume_digest"], bundle.name, ids["version"])
    return type(made)(**facts | {"model": bundle.name, "mask": "mask.npz"}), mask


def tracker_of(_: Site) -> Any:
    return SimpleNamespace(
        version=lambda model, version: SimpleNamespace(digest="w" * 64, version=version),
        weights=lambda version, cache: cache,
        log_prediction=lambda _: "",
    )


class DiskPacs(FakePacs):
    """A PACS whose memory is a folder, so that it outlives the process that asks it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        return tuple(
            InstanceRef(header.SOPInstanceUID, header.SeriesInstanceUID, "", header.Modality)
            for header in map(read_header, sorted(self.folder.iterdir()))
        )

    def fetch_study(
        self,
        study_instance_uid: str,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        sink: EntrySink | None = None,
    ) -> FetchReport:
        entries = []
        for path in sorted(self.folder.iterdir()):
            header, digest = read_header(path), file_digest(path)
            shutil.copyfile(path, folder / digest)
            uids = (header.SOPInstanceUID, header.SOPClassUID, "")
            entries.append(InstanceEntry(*uids, digest, path.stat().st_size, digest))
            if sink is not None:
                sink(entries[-1])
        return FetchReport(tuple(entries), len(entries), ())

    def store(
        self, objects: Iterable[Path | Dataset], *, sink: OutcomeSink | None = None
    ) -> list[StoreOutcome]:
        outcomes = []
        for path in objects:
            assert isinstance(path, Path)
            uid = read_header(path).SOPInstanceUID
            shutil.copyfile(path, self.folder / f"{uid}.dcm")
            outcomes.append(StoreOutcome(uid, "", "stored", 0, ""))
            if sink is not None:
                sink(outcomes[-1])
        return outcomes


def write_study(folder: Path) -> list[Path]:
    paths = [folder / f"{ct_slice(index).SOPInstanceUID}.dcm" for index in range(SLICES)]
    for index, path in enumerate(paths):
        write_dataset(ct_slice(index), path)
    return paths


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Forked processes take over what is imported."""
    for name in ("great_expectations", "highdicom", "matplotlib.pyplot"):
        importlib.import_module(name)


class Life:
    """One study on a site of its own, and its steps, each in a run that is named."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = self.site().pseudonyms.study_key(UID)

    def site(self) -> Site:
        """Opened anew: connections do not survive a fork."""
        return Site(self.settings)

    def step(self, name: str, run_id: str = "r1") -> None:
        run = RunContext(actor="tester", dag_id="life", run_id=run_id, task_id=name)
        getattr(self, name)(self.site(), run)

    def until(self, name: str) -> None:
        """Every step before `name`."""
        for before in STEPS[: STEPS.index(name)]:
            self.step(before)

    def ingest(self, site: Site, run: RunContext) -> None:
        retrieve_study(site, self.key, run=run)

    def validate(self, site: Site, run: RunContext) -> None:
        validate(site, self.key, run=run)

    def deidentify(self, site: Site, run: RunContext) -> None:
        deidentify(site, self.key, run=run)

    def gate(self, site: Site, run: RunContext) -> None:
        assert gate(site, self.key, run=run)["verdict"] == "passed"

    def release(self, site: Site, run: RunContext) -> None:
        release(site, self.key, run=run)

    def chunk(self, site: Site, run: RunContext) -> None:
        chunk(site, self.key, run=run)

    def infer(self, site: Site, run: RunContext) -> None:
        volume = site.catalog.latest(self.key, "volume")
        job = {"model": "lung_nodule", "version": "1", "role": "champion"}
        job |= {"volume": volume.product_id, "series_key": volume.series_key}
        run_model(site, self.key, job, run=run)

    def build(self, site: Site, run: RunContext) -> None:
        (prediction,) = site.catalog.predictions(self.key)
        build_results(site, self.key, prediction.prediction_id, run=run)

    def deliver(self, site: Site, run: RunContext) -> None:
        deliver(site, self.key, site.catalog.latest(self.key, "objects").product_id, run=run)

    def confirm(self, site: Site, run: RunContext) -> None:
        confirm(site, self.key, site.catalog.latest(self.key, "objects").product_id, run=run)

    def contents(self) -> dict[str, dict[str, str]]:
        """What there is of each kind of product: folder → digest. Nothing lies beside them."""
        site = self.site()
        found: dict[str, dict[str, str]] = {}
        for root in self.settings.site.zones.values():
            folders = {path.parent for path in Path(root).rglob(MANIFEST)}
            for path in Path(root).rglob("*"):
                if path.is_file() and ".drafts" not in path.parts:
                    assert any(folder in path.parents for folder in folders), path
            for folder in folders:
                sealed = verify(folder)
                place = found.setdefault(sealed.kind, {})
                place[str(folder.relative_to(self.settings.home))] = sealed.digest
        rows = site.catalog.all(select(Product))
        assert {row.uri for row in rows} == {
            str(self.settings.home / place) for places in found.values() for place in places
        }
        return found


STEPS = (
    *("ingest", "validate", "deidentify", "gate", "release"),
    *("chunk", "infer", "build", "deliver", "confirm"),
)
#: The product that a step makes.
KINDS = {
    "ingest": "raw",
    "deidentify": "candidate",
    "release": "deid",
    "chunk": "volume",
    "infer": "prediction",
    "build": "objects",
}
#: What is there at the end: a candidate that is released is no more.
LASTING = set(KINDS.values()) - {"candidate"}


@pytest.fixture
def life(
    tmp_path: Path,
    free_port: Callable[[], int],
    databases: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Life:
    """With a PACS on disk; a test may start the one that the settings name instead."""
    pacs = DiskPacs(tmp_path / "pacs")
    write_study(pacs.folder)
    for module in ("ingest", "deliver", "confirm"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.client_of", lambda *_: pacs)
    for module in ("infer", "confirm"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", tracker_of)
        monkeypatch.setattr(f"hounsfield.stages.{module}.prediction_lineage", lambda *_, **__: None)
    monkeypatch.setattr("hounsfield.stages.infer.run_bundle", run_bundle)
    variables = {"HOUNSFIELD_HOME": str(tmp_path / "home"), "HOUNSFIELD_PACS_AE": "QRSCP"}
    variables |= databases
    variables["HOUNSFIELD_CONFIRM_SECONDS"] = "0"
    settings = Settings.load({**variables, "HOUNSFIELD_PACS_PORT": str(free_port())})
    site = Site(settings)
    site.set_up()
    made = Life(settings)
    identity = Identity(UID, "", "", "20240101", "pacs")
    site.vault.put(made.key, "", identity, run=RunContext())
    return made


@on_both
def test_two_runs_at_once_make_each_thing_once(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ingest", "deliver", "confirm"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.client_of", client_of)
    port = life.settings.sources["pacs"].peer["port"]
    with QrscpServer(tmp_path / "qrscp", int(port)) as server:
        client = DimseClient(server.peer())
        assert all(outcome.is_stored for outcome in client.store(write_study(tmp_path / "new")))
        race(life)
        assert len(client.find_instances(UID)) == SLICES + 2


def race(life: Life) -> None:
    for name in STEPS:
        together(_patiently, (life, name, "r1"), (life, name, "r2"))
        kind = KINDS.get(name)
        if kind is not None:
            assert len(life.contents()[kind]) == 1, name
    site = life.site()
    assert site.catalog.study(life.key).state == "prepared"
    counted = {
        table.__tablename__: site.catalog.all(select(func.count()).select_from(table))[0]
        for table in (Product, Prediction, Delivery, QuarantineItem)
    }
    assert counted == {"products": 5, "predictions": 1, "deliveries": 2, "quarantine": 0}
    assert {row.state for row in site.catalog.deliveries(life.key)} == {"confirmed"}
    events = site.catalog.all(select(Event).where(Event.state == "done"))
    told = {(event.stage, event.run_id) for event in events}
    assert len(told) == 2 * len(STEPS)
    site.audit.verify()


def _patiently(life: Life, name: str, run_id: str) -> None:
    """Tries again while another run holds the study, as Airflow does."""
    for _ in range(200):
        try:
            return life.step(name, run_id)
        except StudyLocked:
            continue


#: Step → where in it the process dies.
DEATHS = [
    ("ingest", "hounsfield.stages.revision.seal"),
    ("ingest", "hounsfield.vault.Vault.put"),
    ("ingest", "hounsfield.catalog.Catalog.put"),
    ("deidentify", "hounsfield.stages.produce.seal"),
    ("deidentify", "hounsfield.store.Zone.commit"),
    ("deidentify", "hounsfield.catalog.Catalog.put"),
    ("gate", "hounsfield.catalog.Catalog.put"),
    ("release", "hounsfield.evidence.Certificate.write"),
    ("release", "hounsfield.catalog.Catalog.put"),
    ("chunk", "hounsfield.volume.build._publish"),
    ("chunk", "hounsfield.stages.produce.seal"),
    ("chunk", "hounsfield.catalog.Catalog.put"),
    ("infer", "hounsfield.stages.predictions.render_finding"),
    ("infer", "hounsfield.catalog.Catalog.put"),
    ("build", "hounsfield.stages.objects.build_sr"),
    ("build", "hounsfield.catalog.Catalog.put"),
    ("deliver", "tests.stages.test_concurrency.DiskPacs.store"),
    ("deliver", "hounsfield.catalog.Catalog.put"),
    ("deliver", "hounsfield.catalog.Catalog.resolve"),  # one is stored and written down
    ("confirm", "hounsfield.stages.prove.prove"),
    ("confirm", "hounsfield.stages.confirm.prediction_lineage"),
]


@pytest.mark.parametrize(("name", "place"), DEATHS, ids=lambda part: part.rsplit(".", 1)[-1])
def test_a_killed_run_leaves_nothing_half(name: str, place: str, life: Life) -> None:
    life.until(name)
    products = life.site().catalog.all(select(func.count()).select_from(Product))[0]
    process = FORK.Process(target=_die_at, args=(life, name, place))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert life.site().catalog.all(select(func.count()).select_from(Product))[0] == products
    drafts = [path for path in life.settings.home.glob("zones/*/.drafts/*")]
    for draft in drafts:
        os.utime(draft, (0, 0))  # as if the run had died long ago

    for step in STEPS[STEPS.index(name) :]:
        life.step(step)  # Airflow's next try of the same task
    assert not any(draft.exists() for draft in drafts)
    kinds = {kind: len(places) for kind, places in life.contents().items()}
    assert kinds == dict.fromkeys(LASTING, 1)
    site = life.site()
    assert {row.state for row in site.catalog.deliveries(life.key)} == {"confirmed"}
    assert len(site.catalog.deliveries(life.key)) == 2
    site.audit.verify()


def _die_at(life: Life, name: str, place: str) -> None:
    module, _, attribute = place.rpartition(".")
    try:
        owner: Any = importlib.import_module(module)
    except ModuleNotFoundError:
        module, _, kind = module.rpartition(".")
        owner = getattr(importlib.import_module(module), kind)
    real: Callable[..., Any] = getattr(owner, attribute)
    assert callable(real)
    setattr(owner, attribute, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    life.step(name)


def test_a_chunking_killed_at_any_point_is_made_once(life: Life, tmp_path: Path) -> None:
    life.until("chunk")
    home, kept, draw = life.settings.home, tmp_path / "kept", random.Random(1)
    shutil.copytree(home, kept)
    code, events = in_a_process(FORK, life.step, "chunk")
    assert code == 0
    for point in sorted(draw.sample(range(1, events), 10)):
        print(f"killed at event {point} of {events}")
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        code, _ = in_a_process(FORK, life.step, "chunk", kill_at=point)
        assert code == -signal.SIGKILL
        for draft in home.glob("zones/*/.drafts/*"):
            os.utime(draft, (0, 0))  # as if the run had died long ago
        code, _ = in_a_process(FORK, life.step, "chunk")  # Airflow's next try of the same task
        assert code == 0
        assert len(life.contents()["volume"]) == 1
        assert not list(home.glob("zones/*/.drafts/*"))


def test_what_a_killed_run_had_published_is_found(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died between the zone and the catalog: the next run need not make it again."""
    life.until("chunk")
    process = FORK.Process(target=_die_at, args=(life, "chunk", "hounsfield.catalog.Catalog.put"))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    monkeypatch.setattr("hounsfield.stages.chunk.build_volume", None)
    life.step("chunk")
    assert len(life.contents()["volume"]) == 1
    assert life.site().catalog.latest(life.key, "volume").detail["shape"] == [SLICES, 16, 16]


def test_a_candidate_that_a_killed_run_left_is_taken_away(life: Life) -> None:
    """It died after publishing what it had released."""
    life.until("release")
    place = "hounsfield.stages.release.discard"
    process = FORK.Process(target=_die_at, args=(life, "release", place))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    life.step("gate")
    life.step("release")
    assert life.contents().keys() == {"raw", "deid"}
