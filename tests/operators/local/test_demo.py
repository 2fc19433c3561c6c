"""What the demonstration makes of a person's own folder before anything is sent."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from operators.local.demo import REFUSED, StudyOutcome, _studies_in, _windows


def _write(path: Path, study: str, day: str | None) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
    dataset.StudyInstanceUID = study
    if day is not None:
        dataset.StudyDate = day
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def test_every_study_of_a_folder_is_listed(tmp_path: Path) -> None:
    """Also one without a date, which no window will find: it must not vanish from the table."""
    _write(tmp_path / "a" / "b" / "1.dcm", "1.2.1", "20260302")
    _write(tmp_path / "2", "1.2.2", None)
    _write(tmp_path / "3", "1.2.3", "")
    (tmp_path / "readme.txt").write_text("no DICOM")
    assert _studies_in(tmp_path) == {"1.2.1": date(2026, 3, 2), "1.2.2": None, "1.2.3": None}


@pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
def test_a_date_in_any_file_is_the_studys(tmp_path: Path, order: tuple[str, str]) -> None:
    _write(tmp_path / order[0], "1.2.1", "")
    _write(tmp_path / order[1], "1.2.1", "20260302")
    assert _studies_in(tmp_path) == {"1.2.1": date(2026, 3, 2)}


def test_days_that_are_near_share_a_backfill() -> None:
    days = [date(2026, 3, 2), date(2026, 3, 9), date(2026, 3, 30)]
    assert _windows(days) == [(days[0], days[1]), (days[2], days[2])]


def test_what_the_pacs_refused_is_an_end_with_its_reason_and_not_one_that_was_meant() -> None:
    assert StudyOutcome("st-1", state=REFUSED, reason="cannot understand").is_good
    assert not StudyOutcome("st-1", state=REFUSED).is_good
    assert not StudyOutcome("st-1", state=REFUSED, reason="full", expected="reported").is_good
