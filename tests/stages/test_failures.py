"""Every stage fails with PHI in its hands, in each way that it can, and tells nobody of it."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import QuarantineItem
from hounsfield.errors import NotFound
from hounsfield.phantom import Canary
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.tracking import Tracker
from hounsfield.vault import Identity
from operators.infer import JobOperator
from operators.reprocess import ReplayStudiesOperator
from operators.stage import StageOperator, StudyOperator
from tests.operators.conftest import MakeContext, make_context
from tests.operators.test_stage import all_operators
from tests.quality.conftest import CANARIES
from tests.stages.breaks import LISTED, QUOTE, UNKNOWN, WORLD, Break, breaks
from tests.stages.received import RUN
from tests.stages.tasks import DAY, DOING, DUE, NAME, OPERATORS, UID, Study, by_operator
from tests.stages.test_concurrency import run_bundle
from tests.stages.watched import Watch

__all__ = ["make_context"]

PLANTED = tuple(
    Canary("birth_date" if value.isdigit() else "identity", value) for value in CANARIES
)
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
    made.reads()
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
