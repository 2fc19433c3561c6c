"""C-FIND with a scripted PACS."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydicom.uid import generate_uid

from hounsfield.errors import ConfigError, PermanentError
from hounsfield.pacs import Window, query
from tests.pacs.fake import FakePacs
from tests.pacs.studies import ct_instance


def test_a_pacs_that_repeats_itself_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "_MOST_REPEATS", 10)
    study, series = generate_uid(), generate_uid()
    few = [ct_instance(study, series, number) for number in range(2)] * 5
    with FakePacs(few).running() as pacs:
        found = pacs.client().find_instances(study)
        assert len(found) == 2, "some PACS say things twice"
    with FakePacs(few * 100).running() as pacs, pytest.raises(PermanentError, match="repeats"):
        pacs.client().find_instances(study)


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "SOPInstanceUID"])
def test_a_list_that_names_not_all_is_no_list(keyword: str) -> None:
    """What it does not name cannot be asked for, and would be missed by nobody."""
    study, series = generate_uid(), generate_uid()
    slices = [ct_instance(study, series, number) for number in range(2)]
    slices[1][keyword].value = ""
    with FakePacs(slices).running() as pacs, pytest.raises(PermanentError, match="cannot be read"):
        pacs.client().find_instances(study)


def test_a_study_without_a_uid_keeps_no_other_from_being_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not asked for: with an empty key a PACS gives all that it has."""
    slices = [ct_instance(uid, generate_uid(), 1, date="20260301") for uid in ("1.2.9", "1.2.8")]
    slices[0].StudyInstanceUID = ""
    day = Window(datetime(2026, 3, 1), datetime(2026, 3, 2))
    with FakePacs(slices).running() as pacs:
        found = list(pacs.client().find_studies(day))
    assert [study.StudyInstanceUID for study in found] == ["1.2.8"]
    assert "PACS FAKE lists a study without StudyInstanceUID" in caplog.text


def test_a_study_without_a_uid_counts_towards_the_cap() -> None:
    """As long as the cap, the answer may have been cut: others may be behind it."""
    slices = [ct_instance(uid, generate_uid(), 1, date="20260301") for uid in ("1.2.9", "1.2.8")]
    slices[0].StudyInstanceUID = ""
    day = Window(datetime(2026, 3, 1), datetime(2026, 3, 2))
    with FakePacs(slices).running() as pacs, pytest.raises(ConfigError, match="max_results"):
        list(pacs.client(max_results=2).find_studies(day))
