"""Made-up studies on disk, as a hospital's export would leave them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from hounsfield.errors import ConfigError
from hounsfield.phantom.cases import HARD_CASES, Case, whole_case
from hounsfield.phantom.headers import Visit
from hounsfield.phantom.identity import draw_patient
from hounsfield.phantom.report import GROUND_TRUTH, PhantomReport
from hounsfield.phantom.studies import write_study

__all__ = ["FIRST_DATE", "Progress", "write_phantoms"]

#: Called with (studies written, studies in all, kind of the next study or "").
Progress = Callable[[int, int, str], None]

FIRST_DATE = date(2026, 3, 2)


def write_phantoms(
    destination: Path,
    *,
    seed: int = 0,
    studies: int = 6,
    hard_cases: bool = True,
    first_date: date = FIRST_DATE,
    days: int = 11,
    progress: Progress | None = None,
) -> PhantomReport:
    """Writes made-up studies, and `GROUND_TRUTH` beside them.

    The same arguments give the same bytes; another seed gives other patients. The folder
    appears when it is complete, so a run that was cut short leaves nothing behind; where the
    same arguments have filled it before, it is left as it is.

    The hard cases, each a study of its own patient:

    - ``missing-slice``: one slice was never written, so a PACS too holds all that exists.
    - ``truncated-file``: one file ends half-way through PixelData, whose length field still
      promises all of it. pydicom reads such a file and gives the short value; sent by
      pynetdicom it arrives as a well-formed data set whose PixelData are shorter than
      Rows x Columns x 2 bytes, which `qrscp` accepts. Other senders may refuse the file.
    - ``duplicate-instance``: one file is there twice, under two names.
    - ``dose-report``: a whole CT with a Secondary Capture that has the name in its pixels.
    - ``ultrasound``, ``radiograph``: nothing that a model for CT would want.

    Parameters
    ----------
    destination
        A new or empty folder, or one that the same arguments have filled before.
    seed
        Any whole number from 0.
    studies
        How many studies without a flaw.
    hard_cases
        Whether the six hard cases follow.
    first_date, days
        StudyDates are spread over `days` days from `first_date`.
    progress
        Told of each study before it is written, and once at the end.

    Raises
    ------
    ConfigError
        If the folder holds something else, or a number makes no sense.
    """
    if min(seed, studies, days - 1) < 0:
        raise ConfigError("a negative seed or count, or no day", remedy="give whole numbers")
    cases = [whole_case(number) for number in range(studies)]
    cases += HARD_CASES if hard_cases else ()
    visits = [
        _visit(case, seed, number, first_date + timedelta(days=_day(number, len(cases), days)))
        for number, case in enumerate(cases)
    ]
    before = _found(destination, visits)
    if before:
        return before

    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".phantom-") as draft:
        folder = Path(draft) / "studies"
        folder.mkdir()
        written = []
        for case, visit in zip(cases, visits, strict=True):
            if progress:
                progress(visit.number, len(cases), case.kind)
            written.append(write_study(folder, case, visit, seed * 1000 + visit.number))
        report = PhantomReport(
            destination=destination,
            seed=seed,
            first_date=f"{first_date:%Y%m%d}",
            last_date=f"{first_date + timedelta(days=days - 1):%Y%m%d}",
            studies=tuple(written),
        )
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
        (folder / GROUND_TRUTH).write_text(text + "\n", encoding="utf-8")
        folder.rename(destination)  # onto nothing, or onto an empty folder
    if progress:
        progress(len(cases), len(cases), "")
    return report


def _found(destination: Path, visits: list[Visit]) -> PhantomReport | None:
    """The report of a folder that holds just these visits; None where there is nothing."""
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return None
    if (destination / GROUND_TRUTH).is_file():
        report = PhantomReport.read(destination)
        there = [(study.study_instance_uid, study.study_date) for study in report.studies]
        wanted = [(visit.study_instance_uid, f"{visit.start:%Y%m%d}") for visit in visits]
        if there == wanted and all(path.is_file() for path in report.files):
            return report
    raise ConfigError(
        "the folder for the phantoms holds something else",
        remedy="name a new or an empty folder",
    )


def _visit(case: Case, seed: int, number: int, day: date) -> Visit:
    rng = np.random.default_rng([seed, number, 7])
    patient = draw_patient(rng, script=case.habit.script)
    start = datetime.combine(day, time(7, 30)) + timedelta(seconds=int(rng.integers(0, 36000)))
    # The kind enters the UIDs: studies=3 and studies=6 share no study by mistake.
    root = f"hounsfield.phantom/{seed}/{number}/{case.kind}"
    return Visit(root, patient, case.habit, start, number)


def _day(number: int, count: int, days: int) -> int:
    """Day of the `number`-th of `count` studies, the first on day 0 and the last on the last."""
    return number * (days - 1) // max(1, count - 1)
