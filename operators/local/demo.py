"""The demonstration: the main job, end to end, on this machine, with nothing simulated."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from hounsfield.catalog.models import Study
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.errors import HounsfieldError, NotFound
from hounsfield.pacs import DimsePeer, send_folder
from hounsfield.site import Site
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.ingest import client_of
from hounsfield.stages.produce import open_product
from hounsfield.stages.reprocess import FINISHED
from operators.local.api import AirflowApi
from operators.local.installation import Installation

__all__ = ["Demonstration", "Outcome", "StudyOutcome"]

#: Seed of the generated input, so that every demonstration shows the same studies.
SEED = 20260302
DAGS = {"ingest", "prepare", "infer", "reprocess", "train_model"}
#: The PACS took none of a study's objects.
REFUSED = "refused"
_PATIENCE = timedelta(minutes=60)  # a slow machine without a GPU takes its time

Say = Callable[[str], None]


@dataclass
class StudyOutcome:
    """What became of one study."""

    study_key: str
    state: str = "waiting"
    reason: str = ""
    stages: dict[str, tuple[str, float]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    expected: str = ""
    results: int = 0
    in_pacs: int = 0

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.stages.values())

    @property
    def is_good(self) -> bool:
        """Done, or refused with a reason, and as the generator meant it.

        What the PACS itself refused never came to us; where nobody meant it to come, that is
        an end too.
        """
        if self.state not in {*FINISHED, REFUSED} or (
            self.expected and self.expected != self.state
        ):
            return False
        if self.state == "reported":
            return 0 < self.results == self.in_pacs
        return bool(self.reason)


@dataclass
class Outcome:
    """What the demonstration prints, and ``demo.json`` keeps."""

    studies: list[StudyOutcome]
    sent: int
    refused: dict[str, int]
    picture: Path | None
    seconds: float

    @property
    def is_good(self) -> bool:
        return bool(self.studies) and all(study.is_good for study in self.studies)


class Demonstration:
    """Runs the story on an installation whose services are up.

    Parameters
    ----------
    dicom
        The user's own folder; None for generated studies.
    say
        Called with each step, for the progress display.
    """

    def __init__(self, installation: Installation, *, dicom: Path | None, say: Say) -> None:
        self.installation = installation
        self.site = Site.open()
        self.api = AirflowApi(installation)
        self.dicom = dicom
        self.say = say

    def run(self) -> Outcome:
        started = time.monotonic()
        folder = self.dicom or self._generate()
        studies = _studies_in(folder)
        if not studies:
            raise RuntimeError("there is no DICOM study in the folder")
        peer = DimsePeer.from_dict(self.site.settings.sources["pacs"].peer)
        self.say("storing the input in the PACS")
        report = send_folder(peer, folder)
        self._wait_for_dags()
        self._train()
        keys = {self.site.pseudonyms.study_key(uid): uid for uid in studies}
        days = sorted({day for day in studies.values() if day is not None})
        for first, last in _windows(days):
            self._backfill(first, last)
        sent = {key for key, uid in keys.items() if uid not in report.unsent}
        self._wait_for_studies(sent)
        if days and any(state not in FINISHED for state in self._states(sent).values()):
            # An earlier demonstration was stopped in between: the sweep goes on from there.
            self._sweep(days)
            self._wait_for_studies(sent)
        expected = self._expected(folder)
        outcomes = [self._outcome(key, uid, expected.get(uid, "")) for key, uid in keys.items()]
        for item in (item for item in outcomes if item.state == "missing"):
            uid = keys[item.study_key]
            if uid in report.unsent:
                item.state, item.reason = REFUSED, report.unsent[uid]
            elif studies[uid] is None:
                item.reason = "it has no StudyDate, so no window of dates finds it"
        outcome = Outcome(
            studies=sorted(outcomes, key=lambda item: (item.state, item.study_key)),
            sent=report.sent,
            refused=dict(report.refused),
            picture=self._picture(keys),
            seconds=time.monotonic() - started,
        )
        self._keep(outcome)
        return outcome

    def _generate(self) -> Path:
        from hounsfield.phantom import write_phantoms

        folder = self.installation.home / "input"
        if not (folder / "ground_truth.json").exists():
            self.say("generating studies")
            write_phantoms(folder, seed=SEED)
        return folder

    def _wait_for_dags(self) -> None:
        self.say("waiting for the Dags")
        self._until(lambda: self.api.dag_ids() >= DAGS, "the Dags were not parsed")
        errors = self.api.import_errors()
        if errors:
            raise RuntimeError(f"a Dag does not import: {errors[0]}")

    def _train(self) -> None:
        """Trains the demonstration model through its Dag, unless there is a champion."""
        if tracker_of(self.site).resolve("lung_nodule", "champion") is not None:
            return
        self.say("training the demonstration model on phantoms")
        run_id = self.api.trigger("train_model", {"bundle": "lung_nodule", "snapshot": "phantoms"})
        ended = ("success", "failed")
        self._until(
            lambda: self.api.run_state("train_model", run_id) in ended, "the training did not end"
        )
        if self.api.run_state("train_model", run_id) != "success":
            raise RuntimeError("the training failed: see the Dag train_model in the Airflow UI")

    def _backfill(self, first: date, last: date) -> None:
        self.say(f"ingest: backfill from {first} to {last}")
        self.api.unpause("ingest")
        self._until(lambda: self.api.open_backfill("ingest") is None, "a backfill did not end")
        # While it is made, no run of it may begin: on a busy SQLite Airflow takes them back.
        self.api.pause("ingest")
        backfill = self._start_backfill(first, last)
        self.api.unpause("ingest")
        self._until(lambda: self.api.backfill_is_done(backfill), "the backfill did not end")

    def _start_backfill(self, first: date, last: date) -> int:
        try:
            return self.api.backfill("ingest", first.isoformat(), last.isoformat())
        except RuntimeError:
            # Where SQLite was busy, Airflow may refuse what it has begun all the same.
            begun = self.api.open_backfill("ingest")
            if begun is None:
                raise
            return begun

    def _sweep(self, days: list[date]) -> None:
        """Sends what never finished through once more, as ``reprocess`` does each night."""
        self.say("reprocess: studies that never finished")
        window = {"first": days[0].isoformat(), "last": days[-1].isoformat()}
        self.api.unpause("reprocess")
        run_id = self.api.trigger("reprocess", {**window, "only": "unfinished"})
        ended = ("success", "failed")
        self._until(
            lambda: self.api.run_state("reprocess", run_id) in ended, "the sweep did not end"
        )

    def _wait_for_studies(self, keys: set[str]) -> None:
        """Waits until no run is under way; a study that failed does not hold up the rest."""

        def settled() -> bool:
            states = self._states(keys)
            done = sum(state in FINISHED for state in states.values())
            self.say(f"{done} of {len(keys)} studies are through")
            return done == len(keys) or (self._is_idle() and self._is_idle_still())

        self._until(settled, "the studies did not get through")
        self._until(self._is_idle, "runs did not end")

    def _states(self, keys: set[str]) -> dict[str, str]:
        states = {}
        for key in keys:
            try:
                states[key] = self.site.catalog.study(key).state
            except NotFound:
                states[key] = "missing"
        return states

    def _is_idle(self) -> bool:
        runs = [run for dag_id in ("ingest", "prepare", "infer") for run in self.api.runs(dag_id)]
        keys = {run["partition_key"] for run in runs if run["state"] not in ("success", "failed")}
        # One that waits for a person goes on when that person answers.
        return {"review"} >= set(self._states(keys).values())

    def _is_idle_still(self) -> bool:
        time.sleep(8)  # An asset event takes some seconds to become a run.
        return self._is_idle()

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _PATIENCE.total_seconds()
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(2)
        raise TimeoutError(f"{otherwise} within {_PATIENCE}")

    def _expected(self, folder: Path) -> dict[str, str]:
        """The state that the generator meant for each StudyInstanceUID."""
        if self.dicom is not None:
            return {}
        from hounsfield.phantom import PhantomReport

        states = {"done": "reported", "quarantined": "quarantined", "no-model": "no-model"}
        truth = PhantomReport.read(folder)
        return {study.study_instance_uid: states[study.expected] for study in truth.studies}

    def _outcome(self, key: str, uid: str, expected: str) -> StudyOutcome:
        outcome = StudyOutcome(key, expected=expected)
        try:
            study: Study = self.site.catalog.study(key)
        except NotFound:
            outcome.state, outcome.reason = "missing", "the PACS did not give it"
            return outcome
        outcome.state, outcome.reason = study.state, study.reason
        for event in self.site.catalog.timeline(key):
            outcome.stages[event.stage] = (event.state, event.seconds)
        rows = self.site.catalog.predictions(key)
        outcome.findings = [f"{row.model} {row.version}: {row.summary}" for row in rows]
        listed = {ref.SOPInstanceUID for ref in self._client().find_instances(uid)}
        results = {row.SOPInstanceUID for row in self.site.catalog.deliveries(key)}
        outcome.results, outcome.in_pacs = len(results), len(results & listed)
        return outcome

    def _client(self) -> Any:
        return client_of(self.site.settings.sources["pacs"], "pacs")

    def _picture(self, keys: dict[str, str]) -> Path | None:
        """One rendered finding, copied to where a person finds it."""
        target = self.installation.home / "demo" / "finding.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        for key in sorted(keys):
            for row in self.site.catalog.predictions(key):
                product = self.site.catalog.product(row.product_id)
                if product is None or not row.findings or row.model != "lung_nodule":
                    continue
                with open_product(self.site, product) as folder:
                    if (folder / "finding.png").exists():
                        shutil.copyfile(folder / "finding.png", target)
                        return target
        return None

    def _keep(self, outcome: Outcome) -> None:
        body = {
            "good": outcome.is_good,
            "seconds": round(outcome.seconds, 1),
            "sent": outcome.sent,
            "refused": outcome.refused,
            "studies": [
                {**vars(study), "seconds": round(study.seconds, 1), "good": study.is_good}
                for study in outcome.studies
            ],
        }
        path = self.installation.home / "demo" / "demo.json"
        path.write_text(json.dumps(body, indent=1))


def _studies_in(folder: Path) -> dict[str, date | None]:
    """StudyInstanceUID → StudyDate of what a folder holds; files that do not read are passed."""
    studies: dict[str, date | None] = {}
    for path in find_files(folder):
        try:
            header = read_header(path)
            uid = str(header.StudyInstanceUID)
        except (HounsfieldError, AttributeError):
            continue
        studies[uid] = studies.get(uid) or _day(str(header.get("StudyDate") or ""))
    studies.pop("", None)
    return studies


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _windows(days: list[date]) -> list[tuple[date, date]]:
    """Few windows that cover all days: days less than a week apart share one."""
    windows: list[tuple[date, date]] = []
    for day in days:
        if windows and day - windows[-1][1] <= timedelta(days=7):
            windows[-1] = (windows[-1][0], day)
        else:
            windows.append((day, day))
    return windows
