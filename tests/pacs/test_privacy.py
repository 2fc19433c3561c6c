"""Nothing that names a patient or an object reaches a log, an error or a repr."""

from __future__ import annotations

import logging
import warnings
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from hounsfield.errors import HounsfieldError
from hounsfield.pacs import Window, send_folder
from tests.pacs.fake import FakePacs
from tests.pacs.studies import CANARY, write_study


def refusing(event: object) -> Dataset:
    answer = Dataset()
    answer.Status = 0xC000
    answer.ErrorComment = f"bad {CANARY}"
    return answer


def test_no_phi_in_logs_errors_and_reprs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study, files = write_study(tmp_path / CANARY, 2)
    said: list[object] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with (
            caplog.at_level(logging.DEBUG),
            FakePacs(answer=refusing).running() as pacs,
        ):
            pacs.instances = [dcmread(path) for path in files]
            client = pacs.client(get="c-get")
            window = Window(datetime(2024, 3, 1), datetime(2024, 3, 2))
            said += client.find_studies(window)
            said += client.find_instances(study)
            said += [client.fetch_study(study, tmp_path / "out")]
            outcomes = client.store(files)
            said += outcomes
            said += [send_folder(client.peer, tmp_path / CANARY)]
            for attempt in (
                lambda: client.fetch_study("1.2.826.99", tmp_path / "out", only={"1.2.3"}),
                lambda: pacs.client(port=1).echo(),
                outcomes[0].raise_for_status,
            ):
                with pytest.raises(HounsfieldError) as failure:
                    attempt()
                said += [failure.value, repr(failure.value), failure.value.__cause__]
    text = "\n".join(map(str, [*said, *map(repr, said), caplog.text, *warned]))
    uids = {study} | {str(d.SOPInstanceUID) for d in pacs.instances}
    for secret in ("CANARY", *uids):
        assert secret not in text
