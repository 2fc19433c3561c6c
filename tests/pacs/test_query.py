"""C-FIND with a scripted PACS."""

from __future__ import annotations

import pytest
from pydicom.uid import generate_uid

from hounsfield.errors import PermanentError
from hounsfield.pacs import query
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
