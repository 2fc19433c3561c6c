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
from tests.pacs.fake_web import FakeWeb, Reply, Request
from tests.pacs.studies import CANARY, write_study
from tests.pacs.test_web import MULTIPART, instance, multipart, study, value


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


def test_no_phi_by_dicomweb(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """URLs bear UIDs, and the server quotes a name wherever it can."""
    uid, files = write_study(tmp_path / CANARY, 2)
    quoting = {"Warning": f'299 dw "{CANARY} {uid}"', "X-Bad": CANARY}
    entry = {**study(uid), "00081030": value("LO", CANARY)}

    def answer(request: Request) -> Reply:
        is_first = "offset=0" in request.path
        if "/instances?" in request.path:
            return Reply.json([instance(path) for path in files] if is_first else [])
        if request.method == "POST":
            return Reply(409, quoting, f"no {CANARY} {uid}".encode())
        if f"/studies/{uid}" in request.path:
            return Reply(headers=MULTIPART | quoting, body=multipart(files[0].read_bytes()))
        if "/studies/" in request.path:
            return Reply(500, quoting, f"no {CANARY} {uid}".encode())
        return Reply.json([entry] if is_first else [], **({} if is_first else {"X-Bad": CANARY}))

    said: list[object] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with caplog.at_level(logging.DEBUG), FakeWeb(answer).running() as web:
            client = web.client()
            said += client.find_studies(Window(datetime(2024, 3, 1), datetime(2024, 3, 2)))
            said += client.find_instances(uid)
            said += [client.fetch_study(uid, tmp_path / "out")]
            outcomes = client.store(files)
            said += [*outcomes, client.peer]
            cut = multipart(files[0].read_bytes())[:-4000]
            web.answer = lambda request: (
                answer(request)
                if "/instances?" in request.path
                else Reply(headers=MULTIPART | quoting, body=cut, tells_length=False)
            )
            for attempt in (
                lambda: client.fetch_study(uid, tmp_path / "out"),
                lambda: client.find_series(f"{uid}/.."),
                lambda: client.find_series(uid),  # multipart is no JSON
                lambda: web.client(url="http://127.0.0.1:1/dw").find_series(uid),
                lambda: web.client(url="http://127.0.0.1:1/dw").store(files),
                outcomes[0].raise_for_status,
            ):
                with pytest.raises(HounsfieldError) as failure:
                    attempt()
                said += [failure.value, repr(failure.value), failure.value.__cause__]
            web.answer = lambda request: Reply(500, quoting, f"{CANARY} {uid}".encode())
            with pytest.raises(HounsfieldError) as failure:
                client.find_instances(uid)
            said += [failure.value, repr(failure.value)]
    text = "\n".join(map(str, [*said, *map(repr, said), caplog.text, *warned]))
    for secret in ("CANARY", uid, *(str(dcmread(path).SOPInstanceUID) for path in files)):
        assert secret not in text
    assert "urllib3" in caplog.text, "the log was listened to"
