"""One study, and each task done to it as Airflow does it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.uid import CTImageStorage

from hounsfield.pacs.inbox import Inbox
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.erase import APPROVALS, decide_erasure, plan_erasure
from hounsfield.stages.gate import gate
from hounsfield.stages.receive import Receiver
from operators.datasets import ChooseSnapshotOperator, SnapshotDatasetOperator, TrainModelOperator
from operators.erasure import CertifyErasureOperator, EraseOperator, PlanErasureOperator
from operators.expiry import ExpireOperator, PlanExpiryOperator
from operators.infer import (
    BuildResultsOperator,
    ConfirmDeliveryOperator,
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
from operators.reprocess import SelectStudiesOperator
from operators.review import REASONS, ReviewStudyOperator
from operators.stage import StageOperator
from operators.storage import FindOrphansOperator, MeasureStorageOperator
from tests.pacs.fake import EXPLICIT, FakePacs
from tests.quality.conftest import CANARIES, ct_slice, save
from tests.stages.conftest import with_source
from tests.stages.outbox import kinds
from tests.stages.received import RUN, receive, screenshot, write_slices
from tests.stages.test_concurrency import STEPS, Life
from tests.stages.test_late_images import push

OCR = "hounsfield.deid.pixels.ocr._engine"
NAME, UID = CANARIES[0], str(ct_slice(0).StudyInstanceUID)
DAY = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)


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
        self.reaches(FakePacs())
        super().deliver(self.site(), run)

    def files(self, zone: str) -> list[Path]:
        root = self.settings.home / zone
        return sorted(path for path in root.rglob("*.dcm") if "objects" not in path.parts)

    def reads(self, *texts: str) -> None:
        """From here on OCR finds these texts in each picture."""
        corners = np.array([[[60, 90], [300, 90], [300, 130], [60, 130]]] * len(texts))
        found = SimpleNamespace(boxes=corners, txts=texts, scores=(0.9,) * len(texts))
        self.patch.setattr(OCR, lambda: lambda _, **__: found)

    def reaches(self, pacs: FakePacs) -> None:
        """From here on the PACS of every source is this one, with an instance of the study."""
        pacs.instances = [ct_slice(0)]
        pacs.storage = {uid: [EXPLICIT] for uid in (*kinds(), CTImageStorage)}
        self.stack.enter_context(pacs.running())
        timeouts = dict.fromkeys(("connect", "associate", "message", "idle"), 30)
        address = {"ae_title": "FAKE", "host": "127.0.0.1", "port": pacs.port}
        self.reached(peer={**address, "get": "c-get", "timeouts": timeouts})

    def reached(self, **how: Any) -> None:
        """From here on every source is reached so."""
        self.settings = with_source(self.site(), **{"peer": None, "web": None, **how}).settings


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
    study.reads(NAME)
    gate(study.site(), study.key, run=RUN)
    study.reads()
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
