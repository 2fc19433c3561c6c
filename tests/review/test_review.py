"""A study that the gate holds: Airflow asks, a person looks and decides, and that is done.

Nothing is simulated: an Airflow of its own, the page that its server shows, people who log in to
it, and studies in which the gate finds what the cleaner, which reads other frames, has left.
"""

from __future__ import annotations

import html
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundMultiFrameImageStorage
from sqlalchemy import select

import tests.airflow_home  # noqa: F401 - before Airflow
from hounsfield.catalog.models import Event, GateResult, QuarantineItem, Review
from hounsfield.dicom.reading import read_header
from hounsfield.errors import NotFound
from hounsfield.evidence import Certificate
from hounsfield.phantom import Canary
from hounsfield.settings import Settings, Zone
from hounsfield.site import Site
from hounsfield.stages.announce import Airflow
from hounsfield.stages.produce import open_product
from hounsfield.stages.review import REASONS
from operators.local.api import AirflowApi
from operators.local.installation import Installation
from operators.local.services import Services
from tests.e2e.conftest import wait_for
from tests.e2e.leaks import search, search_database
from tests.quality.conftest import CANARIES, ct_slice, save
from tests.stages.received import receive, screenshot

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

#: What is burned into each study.
BURNED_IN = {"word": "ARTERIAL PHASE", "name": f"{CANARIES[0]} 4711"}
A_WORD, LEFT = REASONS[1], REASONS[4]
LOOKED = ("reviewer", "review.view", "review before release")
#: Index of the frame with text, its grey, and that of the letters.
SHOWN, GROUND, LETTERS = 2, 100, 140
_PICTURE = re.compile(r'src="data:image/png;base64,([^"]+)"')
_ANSWER = re.compile(r'data-answer="([^"]+)"')


class Person:
    """Somebody who has logged in to Airflow: at its pages, and at its REST API."""

    def __init__(self, installation: Installation, user: str) -> None:
        self.api = AirflowApi(installation, user)
        self._browser = httpx.Client(base_url=self.api.base, timeout=180)
        credentials = {"username": user, "password": installation.passwords[user]}
        token = self._browser.post("/auth/token", json=credentials).json()["access_token"]
        self._browser.cookies.set("_token", token)

    def open_review(self, study_key: str) -> httpx.Response:
        """The page that shows what the gate is in doubt about."""
        return self._browser.get(f"/hounsfield/studies/{study_key}/review")


@dataclass
class Held:
    """A study, and the run of `prepare` that waits for a person because of it."""

    study_key: str
    run_id: str
    site: Site
    admin: AirflowApi
    scheduler_log: Path
    answers: int = 0

    def question(self) -> dict[str, Any]:
        """Waits until a person is asked, and can answer."""
        asked: list[dict[str, Any]] = []

        def asks() -> bool:
            assert self.state in ("queued", "running"), "nobody was asked"
            asked[:] = self.admin.required_actions("prepare", self.run_id)
            return bool(asked) and self._has_seen_it_wait()

        wait_for(asks, 600)
        (question,) = asked
        return question

    def _has_seen_it_wait(self) -> bool:
        """Whether the scheduler knows that the process which asked has ended.

        Airflow 3.3 loses an answer that comes before (apache/airflow#67287): it takes the task
        for a failed one, and the person is asked again. People need longer than that second.
        """
        signs = ("TaskInstance Finished", "task_id=review,", "state=awaiting_input", self.run_id)
        lines = self.scheduler_log.read_text(errors="replace").splitlines()
        return sum(all(sign in line for sign in signs) for line in lines) > self.answers

    def answer(self, person: Person, decision: str, **fields: str) -> None:
        """Looks at the page, and answers where the page says that the answer goes."""
        person.api.answer(look(person, self), decision, fields)
        self.answers += 1

    def end(self) -> str:
        """Waits until the run is at its end, and tells which."""
        wait_for(lambda: self.state in ("success", "failed"), 600)
        return self.state

    @property
    def state(self) -> str:
        return self.admin.run_state("prepare", self.run_id)

    @property
    def tasks(self) -> dict[str, tuple[str, int]]:
        """Task → its state and number of tries."""
        found = self.admin.task_instances("prepare", self.run_id)
        return {task["task_id"]: (task["state"], task["try_number"]) for task in found}

    def audited(self, *actions: str) -> list[tuple[str, str, str]]:
        """Who did which of these, and why, in order."""
        entries = self.site.audit.entries(self.study_key)
        return [(e.actor, e.action, e.purpose) for e in entries if e.action.startswith(actions)]

    def reviews(self) -> list[tuple[str, str, str]]:
        """State of each review of the study, and who decided it why."""
        rows: list[Review] = list(self.site.catalog.reviews(self.study_key))
        return [(row.state, row.reviewer, row.why) for row in rows]

    def files(self, *zones: Zone) -> list[Path]:
        """What lies in these zones of the study."""
        roots = (Path(self.site.settings.site.zones[zone]) for zone in zones)
        files = (path for root in roots for path in root.rglob("*") if path.is_file())
        return [path for path in files if self.study_key in path.parts]

    def certificate(self) -> Certificate:
        """That of what was released."""
        with open_product(self.site, self.site.catalog.latest(self.study_key, "deid")) as folder:
            return Certificate.read(folder)

    def greys(self) -> set[int]:
        """Values of the frame with text, in the film that was released."""
        objects = [path for path in self.files("deid") if path.suffix == ".dcm"]
        (released,) = [path for path in objects if "NumberOfFrames" in read_header(path)]
        return set(np.unique(dcmread(released).pixel_array[SHOWN]).tolist())


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Airflow as ``make up`` starts it, but for what `prepare` does not need."""
    installation = Installation(tmp_path_factory.mktemp("review"))
    services = Services(installation)
    try:
        services.set_up(print)
        services.start(print, without={"pacs", "mlflow", "triggerer"})
        yield installation
    finally:
        services.stop()


@pytest.fixture(scope="module")
def held(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Held]:
    """Studies that wait side by side, announced as the receiver does."""
    site, admin = Site(Settings.load(installation.environment)), AirflowApi(installation)
    wait_for(lambda: admin.dag_ids() >= {"prepare", "infer"}, 600)
    admin.pause("infer")  # what is released has reached its end here
    receiver = Airflow(admin.base, user="admin", password=installation.passwords["admin"])
    keys = {}
    for name, text in BURNED_IN.items():
        keys[name] = receive(site, write_study(tmp_path_factory.mktemp(name), text))
        receiver.announce(keys[name])

    def runs() -> dict[str, str]:
        return {run["partition_key"]: run["dag_run_id"] for run in admin.runs("prepare")}

    wait_for(lambda: runs().keys() >= set(keys.values()), 600)
    log = Services(installation).log("scheduler")
    return {name: Held(key, runs()[key], site, admin, log) for name, key in keys.items()}


@pytest.fixture(scope="module")
def reviewer(installation: Installation) -> Person:
    return Person(installation, "reviewer")


def write_study(folder: Path, text: str) -> list[Path]:
    """A small CT, and a cine with `text` in its pixels; a study of its own for each text."""
    number = list(BURNED_IN.values()).index(text)
    objects = [cine(text), *map(ct_slice, range(4))]
    for dataset in objects:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, keyword, f"{dataset[keyword].value}.{number}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return [save(dataset, folder / f"{index}.dcm") for index, dataset in enumerate(objects)]


def cine(text: str) -> Dataset:
    """A film of twelve frames, black and white by turns but for three greys, one with `text`.

    The first, the middle and the last frame do not show the text, nor do the extremes over all
    frames, nor those over its scene, in which the frame before is darker and the one behind
    brighter: that is what the cleaner reads. The gate reads this frame.
    """
    dataset = screenshot(text)
    bright = np.frombuffer(dataset.PixelData, np.uint8).reshape(240, 480) > 100
    frames = np.zeros((12, 240, 480), np.uint8)
    frames[1::2] = 255
    frames[SHOWN - 1], frames[SHOWN + 1] = GROUND - 10, LETTERS + 10
    frames[SHOWN] = np.where(bright, LETTERS, GROUND)
    kind = UltrasoundMultiFrameImageStorage
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = kind
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = frames.tobytes()
    return dataset


def look(person: Person, study: Held) -> str:
    """Sees the region before and after on the page; gives where the page sends an answer."""
    page = person.open_review(study.study_key)
    assert page.status_code == HTTPStatus.OK
    assert "as received" in page.text and "as de-identified" in page.text
    before, after = (b64decode(picture) for picture in _PICTURE.findall(page.text)[:2])
    assert before.startswith(b"\x89PNG") and after.startswith(b"\x89PNG")
    (address,) = _ANSWER.findall(page.text)
    return html.unescape(address)


@pytest.mark.parametrize("name", BURNED_IN)
def test_what_the_gate_holds_a_person_is_asked_about(held: dict[str, Held], name: str) -> None:
    study = held[name]
    question = study.question()
    assert question["task_instance"]["task_id"] == "review"
    assert study.study_key in question["subject"]
    assert question["options"] == ["Release", "Mask more", "Reject"]
    assert not [canary for canary in CANARIES if canary in str(question)]
    assert study.site.catalog.study(study.study_key).state == "review"
    assert study.files("quarantine") and study.files("review")
    assert not study.files("deid", "volumes")
    assert study.audited("raw.read")[-1][2] == "release gate"


def test_who_may_only_read_neither_sees_nor_decides(
    held: dict[str, Held], installation: Installation
) -> None:
    study, officer = held["name"], Person(installation, "officer")
    study.question()
    page = officer.open_review(study.study_key)
    assert page.status_code == HTTPStatus.FORBIDDEN and "data:image" not in page.text
    path = f"/api/v2/dags/prepare/dagRuns/{study.run_id}/taskInstances/review/-1/hitlDetails"
    with pytest.raises(RuntimeError, match="403"):
        officer.api.answer(path, "Release", {"why": A_WORD, "regions": ""})
    assert not study.audited("review.", "deid.release")


def test_a_release_is_done_and_names_who_and_why(held: dict[str, Held], reviewer: Person) -> None:
    study = held["word"]
    study.question()
    study.answer(reviewer, "Release")  # without a reason nothing is done, and it is asked again
    study.question()
    assert study.audited("review.", "deid.release") == [LOOKED]
    study.answer(reviewer, "Release", why=A_WORD, regions="")
    assert study.end() == "success"

    assert study.tasks["review"] == ("success", 1), "to be asked again is no failure"
    assert study.audited("review.", "deid.release") == [
        *(LOOKED, LOOKED),
        ("reviewer", "review.released", A_WORD),
        ("airflow", "deid.release", A_WORD),
    ]
    study.site.audit.verify()
    assert study.reviews() == [("released", "reviewer", A_WORD)]
    certificate = study.certificate()
    assert certificate.verdict == "doubtful" and len(certificate.findings) == 1
    assert certificate.decision["by"] == "reviewer" and certificate.decision["why"] == A_WORD
    page = study.site.settings.site.docs / "certificates" / f"{study.study_key}.html"
    assert "reviewer" in page.read_text() and A_WORD in page.read_text()
    assert study.site.catalog.study(study.study_key).state == "prepared"
    assert study.greys() == {GROUND, LETTERS}, "as it was"
    assert study.files("volumes") and not study.files("quarantine", "review")


def test_a_rejected_study_stays_in_and_says_why(held: dict[str, Held], reviewer: Person) -> None:
    study, catalog = held["name"], held["name"].site.catalog
    study.question()
    study.answer(reviewer, "Reject", why=LEFT, regions="")
    assert study.end() == "failed"

    tasks = study.tasks
    assert tasks["review"] == ("failed", 1), "what a person decided is not tried again"
    assert (tasks["release"][0], tasks["chunk"][0]) == ("upstream_failed",) * 2
    rejected = [LOOKED, ("reviewer", "review.rejected", LEFT)]
    assert study.audited("review.", "deid.release") == rejected
    assert study.reviews() == [("rejected", "reviewer", LEFT)]
    query = select(QuarantineItem.reason).where(QuarantineItem.study_key == study.study_key)
    (reason,) = catalog.all(query)
    assert LEFT in reason
    assert catalog.study(study.study_key).state == "quarantined"
    assert study.files("raw") and study.files("quarantine")
    assert not study.files("deid", "volumes", "review")
    with pytest.raises(NotFound):
        catalog.latest(study.study_key, "deid")
    closed = reviewer.open_review(study.study_key)
    assert closed.status_code == HTTPStatus.NOT_FOUND and "data:image" not in closed.text
    assert study.audited("review.", "deid.release") == rejected, "what is not shown is not seen"

    study.admin.clear("prepare", study.run_id, since="gate")  # to decide anew, as the runbook says
    study.question()
    assert not study.files("deid", "volumes")


def test_what_is_masked_is_looked_at_again(held: dict[str, Held], reviewer: Person) -> None:
    study, catalog = held["name"], held["name"].site.catalog
    study.question()
    before = len(study.audited("review."))
    study.answer(reviewer, "Mask more", why=LEFT, regions="1")
    assert study.end() == "success"

    assert study.audited("review.", "deid.release")[before:] == [
        LOOKED,
        ("reviewer", "review.masked", LEFT),
        ("airflow", "deid.release", "the release gate found nothing"),
    ]
    assert study.reviews() == [("masked", "reviewer", LEFT), ("rejected", "reviewer", LEFT)]
    looks = select(GateResult.verdict).where(GateResult.study_key == study.study_key)
    assert catalog.all(looks.order_by(GateResult.at)) == ["doubtful", "passed"]
    who = select(Event.actor).where(Event.study_key == study.study_key, Event.stage == "review")
    assert set(catalog.all(who)) == {"reviewer"}
    certificate = study.certificate()
    assert certificate.verdict == "passed" and certificate.masked["regions"] == 1
    answers = [(one["by"], one["decision"]) for one in certificate.reviews]
    assert answers == [("reviewer", "rejected"), ("reviewer", "masked")]
    assert study.greys() == {GROUND}, "no letter is left"
    assert study.files("volumes") and not study.files("quarantine", "review")


def test_no_review_leaves_a_name_outside(held: dict[str, Held], installation: Installation) -> None:
    """Neither the questions, nor the answers, nor what was logged while pages were shown."""
    names = [Canary("patient", value) for value in CANARIES]
    home = installation.home
    assert search([home / "zones" / "raw"], names), "else an empty list would prove nothing"
    assert search_database(home / "airflow" / "airflow.db", names) == []
    outside = ("airflow", "services", "docs", "zones/deid", "zones/volumes")
    assert search([home / place for place in outside], names) == []
