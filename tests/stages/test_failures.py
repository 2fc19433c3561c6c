"""Every stage fails with PHI in its hands, in each way that it can, and tells nobody of it."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from blake3 import blake3
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage
from pynetdicom import evt
from sqlalchemy import select

from hounsfield.catalog.models import QuarantineItem
from hounsfield.errors import NotFound
from hounsfield.pacs.inbox import Inbox
from hounsfield.phantom import Canary
from hounsfield.records import RunContext
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.stages.erase import APPROVALS, decide_erasure, plan_erasure
from hounsfield.stages.gate import gate
from hounsfield.stages.receive import Receiver
from hounsfield.tracking import Tracker
from hounsfield.vault import Identity
from operators.datasets import ChooseSnapshotOperator, SnapshotDatasetOperator, TrainModelOperator
from operators.erasure import CertifyErasureOperator, EraseOperator, PlanErasureOperator
from operators.expiry import ExpireOperator, PlanExpiryOperator
from operators.infer import (
    BuildResultsOperator,
    ConfirmDeliveryOperator,
    JobOperator,
    ReportStudyOperator,
    RouteStudyOperator,
    RunModelOperator,
    WriteBackOperator,
)
from operators.ingest import FindStudiesOperator, RetrieveStudyOperator
from operators.lifecycle import (
    MoveProductOperator,
    PickDueOperator,
    PlanMigrationOperator,
    ScrubOperator,
    VerifyAuditOperator,
)
from operators.monitoring import EvaluateDriftOperator
from operators.prepare import (
    ChunkStudyOperator,
    DeidentifyStudyOperator,
    GateStudyOperator,
    ReleaseStudyOperator,
    ValidateStudyOperator,
)
from operators.reprocess import ReplayStudiesOperator, SelectStudiesOperator
from operators.review import REASONS, ReviewStudyOperator
from operators.stage import StageOperator, StudyOperator
from operators.storage import FindOrphansOperator, MeasureStorageOperator
from tests.operators.conftest import MakeContext, make_context
from tests.operators.test_stage import all_operators
from tests.pacs.fake import EXPLICIT, FakePacs
from tests.pacs.fake_web import FakeWeb, Reply
from tests.quality.conftest import CANARIES, ct_slice, save
from tests.stages.conftest import with_source
from tests.stages.outbox import kinds
from tests.stages.received import RUN, receive, screenshot, write_slices
from tests.stages.test_concurrency import STEPS, Life, run_bundle
from tests.stages.test_late_images import push
from tests.stages.watched import Watch

__all__ = ["make_context"]

OCR = "hounsfield.deid.pixels.ocr._engine"
NAME, UID = CANARIES[0], str(ct_slice(0).StudyInstanceUID)
DAY = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
PLANTED = tuple(
    Canary("birth_date" if value.isdigit() else "identity", value) for value in CANARIES
)
QUOTE = " ".join((*CANARIES, UID))


class Study(Life):
    """One study, received, and what was made of it; its model is a stand-in, MLflow is not.

    Each step is done once: what the site was like after it is put back.
    """

    def __init__(self, site: Site, saved: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(site.settings)
        self.saved, self.patch, self.stack = saved, patch, ExitStack()

    def until(self, name: str) -> None:
        home, saved = self.settings.home, self.saved / name
        if not saved.exists():
            self.until(STEPS[STEPS.index(name) - 1])
            self.step(STEPS[STEPS.index(name) - 1])
            shutil.copytree(home, saved)
        shutil.rmtree(home)
        shutil.copytree(saved, home)

    def ingest(self, site: Site, run: RunContext) -> None:
        folder = self.saved / "in"
        shot = save(screenshot(NAME), folder / "shot.dcm")
        receive(site, [*write_slices(folder, 6), shot])

    def validate(self, site: Site, run: RunContext) -> None:
        """Left out: it takes long, and changes nothing."""

    def deliver(self, site: Site, run: RunContext) -> None:
        reaches(Taking)(self)
        super().deliver(self.site(), run)

    def files(self, zone: str) -> list[Path]:
        root = self.settings.home / zone
        return sorted(path for path in root.rglob("*.dcm") if "objects" not in path.parts)

    def reached(self, **how: Any) -> None:
        """From here on the PACS of every source is this one."""
        self.settings = with_source(self.site(), **{"peer": None, "web": None, **how}).settings


# What is done, as Airflow does it.


def _volume(study: Study) -> dict[str, Any]:
    volume = study.site().catalog.latest(study.key, "volume")
    job = {"model": "lung_nodule", "version": "1", "role": "champion"}
    return {**job, "volume": volume.product_id, "series_key": volume.series_key}


def _prediction(study: Study) -> dict[str, Any]:
    (prediction,) = study.site().catalog.predictions(study.key)
    return {"prediction_id": prediction.prediction_id, "role": "champion"}


def _results(study: Study) -> dict[str, Any]:
    return {"product_id": study.site().catalog.latest(study.key, "objects").product_id}


def _move(study: Study) -> dict[str, Any]:
    raw = study.site().catalog.latest(study.key, "raw")
    place = {"source": "hot", "target": "warm", "kind": "raw", "bytes": 1}
    return {"product_id": raw.product_id, "study_key": study.key, **place}


def _products(study: Study) -> list[str]:
    return [study.site().catalog.latest(study.key, "raw").product_id]


def _erasure(study: Study) -> str:
    """One that a person approved."""
    site = study.site()
    patient = site.catalog.study(study.key).patient_key
    asked = plan_erasure(site, patient, why="consent withdrawn", requested_by="desk", run=RUN)
    identity = str(asked["erasure_id"])
    decide_erasure(
        site, identity, "Erase", APPROVALS[0], plan=asked["plan"], approver="officer", run=RUN
    )
    return identity


#: Task → the step of a study's life that it is due at.
DUE = {
    **dict.fromkeys(("find", "retrieve", "receive"), "ingest"),
    **dict.fromkeys(("validate", "plan", "move", "audit", "select", "choose", "train"), "validate"),
    **dict.fromkeys(("due", "scrub", "plan_expiry", "expire", "measure", "orphans"), "validate"),
    **dict.fromkeys(("plan_erasure", "erase", "certify"), "validate"),
    **dict.fromkeys(("deidentify", "gate", "release", "chunk", "confirm"), ""),
    **{"review": "gate", "build_results": "build", "write_back": "deliver", "report": "confirm"},
    **dict.fromkeys(("route", "run_model", "snapshot", "drift"), "infer"),
}
DUE = {task: step or task for task, step in DUE.items()}
#: Task → its operator, and what it is given besides the study.
OPERATORS: dict[str, tuple[type[StageOperator], dict[str, Callable[[Study], Any]]]] = {
    "find": (FindStudiesOperator, {"source": lambda _: "pacs"}),
    "retrieve": (RetrieveStudyOperator, {}),
    "validate": (ValidateStudyOperator, {}),
    "deidentify": (DeidentifyStudyOperator, {}),
    "gate": (GateStudyOperator, {}),
    "release": (ReleaseStudyOperator, {}),
    "chunk": (ChunkStudyOperator, {}),
    "route": (RouteStudyOperator, {}),
    "run_model": (RunModelOperator, {"job": _volume}),
    "build_results": (BuildResultsOperator, {"job": _prediction}),
    "write_back": (WriteBackOperator, {"job": _results}),
    "confirm": (ConfirmDeliveryOperator, {"job": _results}),
    "report": (ReportStudyOperator, {}),
    "plan": (PlanMigrationOperator, {}),
    "move": (MoveProductOperator, {"planned": _move}),
    "due": (PickDueOperator, {"share": lambda _: 1}),
    "scrub": (ScrubOperator, {"product_ids": _products}),
    "plan_expiry": (PlanExpiryOperator, {}),
    "expire": (ExpireOperator, {"plan": lambda _: {"planned": []}}),
    "plan_erasure": (PlanErasureOperator, {}),
    "erase": (EraseOperator, {"erasure_id": _erasure}),
    "certify": (CertifyErasureOperator, {"erasure_id": _erasure}),
    "measure": (MeasureStorageOperator, {}),
    "orphans": (FindOrphansOperator, {}),
    "audit": (VerifyAuditOperator, {}),
    "select": (SelectStudiesOperator, {}),
    "snapshot": (SnapshotDatasetOperator, {}),
    "choose": (ChooseSnapshotOperator, {}),
    "train": (TrainModelOperator, {"snapshot": lambda _: "d" * 64}),
    "drift": (EvaluateDriftOperator, {}),
}
FORMS: dict[str, dict[str, Any]] = {
    "plan": {"as_of": "2030-01-01", "dry_run": True},
    "plan_expiry": {"as_of": "2030-01-01", "dry_run": True},
    "plan_erasure": {"patient": "", "why": "consent withdrawn", "requested_by": "desk"},
    "expire": {"as_of": "2030-01-01", "dry_run": False},
    "select": {"first": "2024-01-01", "last": "", "only": "all", "through": "prepare"},
    "snapshot": {"name": "all", "seed": 0, "modality": "CT"},
    "choose": {"snapshot": "phantoms", "phantoms": 1, "seed": 0},
    "train": {"bundle": "lung_nodule", "seed": 0, "epochs": 1},
}


Doing = Callable[[Study, dict[str, Any]], Callable[[], Any]]


def by_operator(task: str) -> Doing:
    def doing(study: Study, context: dict[str, Any]) -> Callable[[], Any]:
        kind, given = OPERATORS[task]
        values = {key: value(study) for key, value in given.items()}
        if "study_key" in kind.template_fields:
            values["study_key"] = study.key
        if task == "plan_erasure":
            FORMS[task]["patient"] = study.site().catalog.study(study.key).patient_key
        context["task"], context["params"] = kind(task_id=task, **values), FORMS.get(task, {})
        return partial(context["task"].execute, context)

    return doing


def pushed(study: Study, _: dict[str, Any]) -> Callable[[], Any]:
    """What the receiver does, which is no task: it raises nothing, and logs."""
    inbox = study.stack.enter_context(Inbox(study.settings.home / "landing"))
    push(inbox, study.key, range(2))
    return lambda: Receiver(study.site(), inbox, "pacs", None, quiet_seconds=0).sweep()


def answered(study: Study, context: dict[str, Any]) -> Callable[[], Any]:
    """A person's decision on a candidate in which the gate read a name."""
    study.patch.setattr(OCR, reads(NAME))
    gate(study.site(), study.key, run=RUN)
    study.patch.setattr(OCR, reads())
    answer = {
        "chosen_options": ["Mask more"],
        "params_input": {"why": REASONS[0], "regions": "1"},
        "responded_by_user": {"id": "7", "name": "officer"},
        "responded_at": DAY[0],
        "timedout": False,
    }
    asked = "airflow.providers.standard.operators.hitl.upsert_hitl_detail"
    study.patch.setattr(asked, lambda **detail: context["ti"].xcom_push("asked", detail))
    operator = ReviewStudyOperator(task_id="review", study_key=study.key)
    return lambda: operator.execute_complete(context, answer)


DOING: dict[str, Doing] = {"receive": pushed, "review": answered}

# What goes wrong.

Break = Callable[[Study], None]


class Broken(Exception):
    """As libraries raise it: what they were given is in its text, and in all that led to it."""


def breaks(name: str) -> Break:
    """A call that raises something that nobody knows."""

    def fail(*_: Any, **__: Any) -> Any:
        try:
            raise ValueError(QUOTE)
        except ValueError as error:
            broken = Broken(QUOTE)
            broken.add_note(QUOTE)
            raise broken from error

    return lambda study: study.patch.setattr(f"hounsfield.{name}", fail)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def no_dicom(path: Path) -> None:
    path.write_text(QUOTE)


def wrong_vr(dataset: Dataset) -> None:
    """A name where numbers belong, so that whoever converts it quotes it."""
    for keyword in ("SliceThickness", "RescaleSlope", "KVP", "SeriesNumber"):
        _put(dataset, keyword, "DS", NAME)


def wrong_patient(dataset: Dataset) -> None:
    """The same in what tells the patient and the study."""
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientAge", "StudyDate"):
        _put(dataset, keyword, "FD", NAME)


def one_name(dataset: Dataset) -> None:
    """A name that highdicom takes for unlikely, and says so."""
    dataset.PatientName = NAME


def wrong_place(dataset: Dataset) -> None:
    """The same where the geometry is read."""
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        _put(dataset, keyword, "DS", f"{NAME}\\{NAME}\\1")


def _put(dataset: Dataset, keyword: str, vr: str, text: str) -> None:
    value = (text + " " * (len(text) % 2)).encode()
    tag = Tag(tag_for_keyword(keyword) or 0)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def spoils(folder: str, how: Callable[[Path], None]) -> Break:
    """The files below a folder of the site become what cannot be read."""

    def spoil(study: Study) -> None:
        for path in study.files(folder):
            content = path.read_bytes()
            path.unlink()  # It may be a link to a file of another product.
            path.write_bytes(content)
            how(path)

    return spoil


def edits(folder: str, edit: Callable[[Dataset], None]) -> Break:
    def save_edited(path: Path) -> None:
        dataset = dcmread(path)
        edit(dataset)
        dataset.save_as(path)
        if folder == LANDING:  # as if it had come so
            path.rename(path.with_stem(blake3(path.read_bytes()).hexdigest()))

    return spoils(folder, save_edited)


def reads(*texts: str) -> Callable[[], Any]:
    """An OCR engine that finds these texts in each picture."""
    corners = np.array([[[60, 90], [300, 90], [300, 130], [60, 130]]] * len(texts))
    found = SimpleNamespace(boxes=corners, txts=texts, scores=(0.9,) * len(texts))
    return lambda: lambda _, **__: found


def ocr_crashes(study: Study) -> None:
    def read(_: Any, **__: Any) -> Any:
        raise RuntimeError(f"cannot order the boxes of {QUOTE}")

    study.patch.setattr(OCR, lambda: read)


class Listing(FakePacs):
    """Lists the study, and refuses to send it."""

    def _get(self, event: evt.Event) -> Iterator[Any]:
        yield 1
        yield _refusal(), None


class Refusing(Listing):
    """Says no to everything, with the patient in its words."""

    def _find(self, event: evt.Event) -> Iterator[Any]:
        yield _refusal(), None


class Sending(FakePacs):
    """Sends what cannot be what it says."""

    def _get(self, event: evt.Event) -> Iterator[Any]:
        file = BytesIO()
        ct_slice(0).save_as(file, enforce_file_format=True)
        file.seek(0)
        dataset = dcmread(file)  # What was read is sent as it is.
        wrong_patient(dataset)
        yield 1
        yield 0xFF00, dataset


class Taking(FakePacs):
    """Takes what it is sent."""

    def _store(self, event: evt.Event) -> int:
        return 0x0000


def _refusal(_: object = None) -> Dataset:
    answer = Dataset()
    answer.Status, answer.ErrorComment = 0xC000, f"no {NAME} {CANARIES[2]}"
    return answer


def reaches(kind: type[FakePacs]) -> Break:
    """The PACS is of this kind."""

    def reach(study: Study) -> None:
        storage = {uid: [EXPLICIT] for uid in (*kinds(), CTImageStorage)}
        pacs = study.stack.enter_context(kind(answer=_refusal, storage=storage).running())
        pacs.instances = [ct_slice(0)]
        timeouts = dict.fromkeys(("connect", "associate", "message", "idle"), 30)
        address = {"ae_title": "FAKE", "host": "127.0.0.1", "port": pacs.port}
        study.reached(peer={**address, "get": "c-get", "timeouts": timeouts})

    return reach


def refuses_on_the_web(study: Study) -> None:
    quoting = {"Warning": f'299 dw "{NAME} {UID}"', "X-Bad": NAME}
    web = FakeWeb(lambda _: Reply(409, quoting, QUOTE.encode()))
    study.stack.enter_context(web.running())
    study.reached(web={"url": f"http://127.0.0.1:{web.port}/dw"})


RAW, CANDIDATE, DEID, LANDING = "zones/raw", "zones/quarantine", "zones/deid", "landing"
REFUSED, LISTED = reaches(Refusing), reaches(Listing)

#: Task, what goes wrong in the world, how, and what becomes of the task.
WORLD: list[tuple[str, str, Break, str]] = [
    ("find", "refused", REFUSED, "pacs-unavailable"),
    ("find", "refused on the web", refuses_on_the_web, "pacs-unavailable"),
    ("retrieve", "refused", REFUSED, "pacs-unavailable"),
    ("retrieve", "refused late", LISTED, "pacs-unavailable"),
    ("retrieve", "refused on the web", refuses_on_the_web, "pacs-unavailable"),
    ("retrieve", "wrong patient", reaches(Sending), "done"),
    ("receive", "no DICOM", spoils(LANDING, no_dicom), "withheld"),
    ("receive", "cut", spoils(LANDING, cut), "withheld"),
    ("receive", "wrong patient", edits(LANDING, wrong_patient), "done"),
    ("validate", "cut", spoils(RAW, cut), "invalid-study"),
    ("validate", "no DICOM", spoils(RAW, no_dicom), "invalid-study"),
    ("validate", "wrong VR", edits(RAW, wrong_vr), "invalid-study"),
    ("validate", "wrong place", edits(RAW, wrong_place), "invalid-study"),
    ("validate", "wrong patient", edits(RAW, wrong_patient), "done"),
    ("deidentify", "cut", spoils(RAW, cut), "deidentification"),
    ("deidentify", "no DICOM", spoils(RAW, no_dicom), "deidentification"),
    ("deidentify", "wrong VR", edits(RAW, wrong_vr), "done"),
    ("deidentify", "wrong patient", edits(RAW, wrong_patient), "done"),
    ("deidentify", "OCR crashes", ocr_crashes, "withheld"),
    ("gate", "cut", spoils(RAW, cut), "unreadable-file"),
    ("gate", "no DICOM", spoils(CANDIDATE, no_dicom), "unreadable-file"),
    ("gate", "wrong VR", edits(CANDIDATE, wrong_vr), "done"),
    ("gate", "OCR crashes", ocr_crashes, "deidentification"),
    ("review", "no DICOM", spoils(RAW, no_dicom), "deidentification"),
    ("review", "OCR crashes", ocr_crashes, "withheld"),
    ("release", "wrong VR", edits(CANDIDATE, wrong_vr), "integrity"),
    ("chunk", "cut", spoils(DEID, cut), "unreadable-file"),
    ("chunk", "no DICOM", spoils(DEID, no_dicom), "unreadable-file"),
    ("chunk", "wrong VR", edits(DEID, wrong_vr), "done"),
    ("chunk", "wrong place", edits(DEID, wrong_place), "done"),
    ("build_results", "cut", spoils(RAW, cut), "unreadable-file"),
    ("build_results", "wrong VR", edits(RAW, wrong_vr), "geometry"),
    ("build_results", "wrong place", edits(RAW, wrong_place), "geometry"),
    ("build_results", "wrong patient", edits(RAW, wrong_patient), "model"),
    ("build_results", "one name", edits(RAW, one_name), "done"),
    ("write_back", "refused", REFUSED, "delivery-refused"),
    ("write_back", "refused on the web", refuses_on_the_web, "delivery-refused"),
    ("confirm", "refused", REFUSED, "TaskDeferred"),
    ("confirm", "refused on the web", refuses_on_the_web, "TaskDeferred"),
    ("move", "no DICOM", spoils(RAW, no_dicom), "integrity"),
    ("scrub", "no DICOM", spoils(RAW, no_dicom), "integrity"),
]
#: Task, and the call beneath it that raises what nobody knows.
UNKNOWN: list[tuple[str, str]] = [
    ("find", "pacs.dimse.DimseClient.find_studies"),
    ("find", "vault.Vault.knows"),
    ("retrieve", "pacs.dimse.DimseClient.find_instances"),
    ("validate", "stages.validate.validate_study"),
    ("deidentify", "deid.Deidentifier.study"),
    ("gate", "stages.candidate.inspect"),
    ("review", "stages.review.open_review"),
    ("review", "stages.review.parse_regions"),
    ("release", "stages.release.describe"),
    ("chunk", "volume.build._write_slab"),
    ("route", "stages.infer.route"),
    ("run_model", "stages.infer.Volume.open"),
    ("run_model", "stages.infer.prediction_lineage"),
    ("build_results", "stages.objects.build_sr"),
    ("write_back", "pacs.dimse.DimseClient.store"),
    ("confirm", "stages.confirm.prove_sent"),
    ("report", "catalog.Catalog.deliveries"),
    ("plan", "stages.migrate.tier_of"),
    ("move", "stages.migrate.transfer"),
    ("due", "catalog.Catalog.read"),
    ("scrub", "catalog.Catalog.product"),
    ("plan_expiry", "stages.expire.Retention.load"),
    ("expire", "stages.expire.plan_expiry"),
    ("plan_erasure", "stages.erase.check_hold"),
    ("erase", "stages.remove.dispose"),
    ("certify", "stages.erase.traces"),
    ("measure", "catalog.Catalog.write"),
    ("orphans", "stages.orphans.find_orphans"),
    ("audit", "audit.AuditLog.entries"),
    ("select", "catalog.Catalog.all"),
    ("snapshot", "stages.snapshot.freeze"),
    ("choose", "stages.snapshot.make_phantoms"),
    ("train", "stages.train.datalist"),
    ("train", "stages.train.train_bundle"),
    ("drift", "stages.drift.drift_frames"),
]
CASES = [
    *(pytest.param(task, cause, then, id=f"{task}-{how}") for task, how, cause, then in WORLD),
    *(pytest.param(task, breaks(name), "internal", id=f"{task}-{name}") for task, name in UNKNOWN),
    pytest.param("deidentify", breaks("deid.walker.Walker.walk"), "deidentification"),
    pytest.param("receive", breaks("stages.receive.read_landed"), "failed"),
]


def _settings(folder: Path) -> Settings:
    home = {"HOUNSFIELD_HOME": str(folder / "home"), "HOUNSFIELD_CONFIRM_SECONDS": "0"}
    return Settings.load(home)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def tracker(mlflow: Path) -> Tracker:
    made = Tracker(f"sqlite:///{mlflow}/mlflow.db", str(mlflow / "artifacts"))
    (mlflow / "weights").mkdir()
    (mlflow / "weights" / "model.pt").write_bytes(b"weights")
    made.register("lung_nodule", mlflow / "weights")
    return made


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site after each step, and the site itself, which is where it was made."""
    folder = tmp_path_factory.mktemp("study")
    made = Site(_settings(folder))
    made.set_up()
    key = made.pseudonyms.study_key(UID)
    made.vault.put(key, "", Identity(UID, "", "", "20240101", "pacs"), run=RUN)
    shutil.copytree(folder / "home", folder / "ingest")
    return folder


@pytest.fixture
def study(saved: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    from airflow.sdk.bases.operator import ExecutorSafeguard

    made = Study(Site(_settings(saved)), saved, monkeypatch)
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    monkeypatch.setattr(Site, "open", made.site)
    for module in ("infer", "confirm", "snapshot", "train", "drift"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", lambda _: tracker)
    monkeypatch.setattr("hounsfield.stages.infer.run_bundle", run_bundle)
    monkeypatch.setattr(OCR, reads())
    monkeypatch.setattr("hounsfield.stages.train.datalist", lambda *_: nullcontext({}))
    monkeypatch.setattr("hounsfield.stages.train.load_snapshot", lambda *_: None)
    monkeypatch.setattr("hounsfield.stages.train.profile_tag", lambda _: {})
    monkeypatch.setattr("hounsfield.stages.train.Datalist.from_dict", lambda _: None)
    with made.stack:
        yield made


@pytest.fixture
def context(make_context: MakeContext) -> dict[str, Any]:
    interval = dict(zip(("data_interval_start", "data_interval_end"), DAY, strict=True))
    made = make_context(run={"logical_date": DAY[0], **interval})
    made["ti"].id = uuid4()
    return {**made, "task_instance": made["ti"]}


@pytest.fixture
def watch(
    saved: Path,
    mlflow: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Watch:
    return Watch((saved / "home", mlflow), tmp_path / "scratch", PLANTED, caplog, capfd)


@pytest.mark.parametrize(("task", "cause", "then"), CASES)
def test_a_task_that_fails_tells_nobody_whom_it_was_about(
    task: str, cause: Break, then: str, study: Study, watch: Watch, context: dict[str, Any]
) -> None:
    study.until(DUE[task])
    LISTED(study)
    doing = DOING.get(task, by_operator(task))(study, context)
    cause(study)
    if DUE[task] == "chunk":
        watch.phi += ("deid", "volumes")  # It is planted where it should not be.
    assert watch.run(doing, context["ti"].mock_calls, context["outlet_events"]) == []
    assert what_became(study, watch) == then


def what_became(study: Study, watch: Watch) -> str:
    """The error's code; where the task went on, what it did."""
    if watch.ended is not None:
        return getattr(watch.ended, "code", type(watch.ended).__name__)
    catalog = study.site().catalog
    if catalog.all(select(QuarantineItem)):
        return "withheld"
    return catalog.timeline(study.key)[-1].state


def _raise(study: Study) -> None:
    raise NotFound("a sentence of ours") from ValueError(QUOTE)


def _page(study: Study) -> None:
    docs = study.settings.site.docs
    docs.mkdir(exist_ok=True)
    (docs / "index.html").write_text(f"<p>{NAME}")


def _row(study: Study) -> None:
    study.site().catalog.set_state(study.key, "received", QUOTE)


#: What a product would do if it leaked.
LEAKS: dict[str, Callable[[Study], Any]] = {
    "XCom": lambda study: {"study": NAME},
    "cause": _raise,
    "log": lambda study: logging.getLogger("library").debug("no %s", NAME),
    "warning": lambda study: warnings.warn(f"an odd {NAME}", stacklevel=1),
    "terminal": lambda study: sys.__stderr__.write(NAME),
    "file name": lambda study: (study.settings.home / "zones" / "raw" / NAME).touch(),
    "temporary file": lambda study: Path(tempfile.mkdtemp(), "a").write_text(NAME),
    "page": _page,
    "catalog": _row,
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_the_search_finds_what_is_planted(
    leak: Callable[[Study], Any], study: Study, watch: Watch
) -> None:
    """Else an empty list would prove nothing."""
    study.until("validate")
    assert watch.run(lambda: None) == []
    assert watch.run(lambda: leak(study)) != []


def test_mlflow_is_searched(study: Study, watch: Watch, tracker: Tracker, tmp_path: Path) -> None:
    study.until("validate")
    (tmp_path / "report").mkdir()
    assert watch.run(lambda: None) == []
    run = tracker.log_report("a report", "key", tmp_path / "report", metrics={}, tags={"a": NAME})
    assert watch.run(lambda: None) != []
    tracker._client.delete_tag(run, "a")
    assert watch.run(lambda: None) == []


def test_every_operator_is_tried() -> None:
    """But for the one that only announces keys."""
    tried = {kind for kind, _ in OPERATORS.values()}
    bases = {StageOperator, StudyOperator, JobOperator, ReplayStudiesOperator}
    ours = {kind for kind in all_operators() if kind.__module__.startswith("operators.")}
    assert ours - bases == tried
    assert {task for task, *_ in (*WORLD, *UNKNOWN)} == DUE.keys()
