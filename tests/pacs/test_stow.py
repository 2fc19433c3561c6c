from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from hounsfield.errors import ConfigError, PacsUnavailable
from hounsfield.pacs import StoreOutcome
from hounsfield.pacs.stow import store_objects
from tests.pacs.fake_web import FakeWeb, Reply, Request
from tests.pacs.studies import CANARY, write_study
from tests.pacs.test_web import value


def answer(uid: str, sequence: str, **more: Any) -> dict[str, Any]:
    item = {"00081155": value("UI", uid), **more}
    return {sequence: value("SQ", item)}


def stored(uid: str, warning: int | None = None) -> dict[str, Any]:
    more = {} if warning is None else {"00081196": value("US", warning)}
    return answer(uid, "00081199", **more)


def failed(uid: str, reason: int | None) -> dict[str, Any]:
    more = {} if reason is None else {"00081197": value("US", reason)}
    return answer(uid, "00081198", **more)


def one_outcome(tmp_path: Path, reply: Reply | None, **about: Any) -> StoreOutcome:
    """What we make of `reply`, or of JSON about the one object sent."""
    _, (path,) = write_study(tmp_path, 1)
    uid = str(dcmread(path).SOPInstanceUID)
    if reply is None:
        make = about.pop("make")
        reply = Reply.json(make(uid, about.pop("reason")), **about)
    with FakeWeb(lambda request: reply).running() as web:
        (outcome,) = store_objects(web.client().peer, [path])
    assert outcome.SOPInstanceUID == uid
    return outcome


@pytest.mark.parametrize(
    ("make", "reason", "http", "verdict"),
    [
        (stored, None, 200, "stored"),
        (stored, 0xB000, 202, "warning"),
        (stored, 0xFFFF, 200, "warning"),  # a reason that the Standard does not know
        (failed, 0xA700, 409, "busy"),
        (failed, 0x0110, 409, "busy"),
        (failed, 0x0122, 409, "refused"),
        (failed, 0xA900, 202, "refused"),
        (failed, 0xC122, 409, "refused"),
        (failed, None, 409, "refused"),
        (failed, None, 503, "busy"),
    ],
)
def test_what_the_answer_says_of_the_object(
    tmp_path: Path, make: Any, reason: int | None, http: int, verdict: str
) -> None:
    outcome = one_outcome(tmp_path, None, make=make, reason=reason, status=http)
    assert outcome.verdict == verdict


@pytest.mark.parametrize(
    ("http", "verdict"),
    [
        (200, "stored"),
        (202, "warning"),
        (204, "warning"),
        (400, "refused"),
        (409, "refused"),
        (413, "refused"),
        (415, "refused"),
        (408, "busy"),
        (429, "busy"),
        (500, "busy"),
        (503, "busy"),
        (507, "busy"),
    ],
)
def test_a_status_where_the_answer_says_nothing(tmp_path: Path, http: int, verdict: str) -> None:
    reply = Reply(http, {"Content-Type": "text/plain"}, b"" if http == 204 else b"Who knows?")
    assert one_outcome(tmp_path, reply).verdict == verdict


@pytest.mark.parametrize("http", [401, 403, 404, 405])
def test_a_server_that_lets_nobody_store(tmp_path: Path, http: int) -> None:
    _, files = write_study(tmp_path, 3)
    with FakeWeb(lambda request: Reply(http)).running() as web:
        with pytest.raises(ConfigError):
            web.client().store(files)
        assert len(web.requests) == 1


def test_a_refusal_has_the_words_of_the_pacs_and_says_no_phi(tmp_path: Path) -> None:
    reply = Reply(409, {"Content-Type": "text/plain"}, f"{CANARY} is dead".encode())
    outcome = one_outcome(tmp_path, reply)
    assert outcome.comment == f"{CANARY} is dead"
    assert CANARY not in repr(outcome)
    assert CANARY not in outcome.reason


def test_a_file_is_sent_as_it_is_and_each_has_a_request(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 3)
    with FakeWeb(lambda request: Reply(200)).running() as web:
        outcomes = web.client(stow_prefix="stow").store(files)
    assert [outcome.verdict for outcome in outcomes] == ["stored"] * 3
    assert [request.path for request in web.requests] == ["/dw/stow/studies"] * 3
    for request, path in zip(web.requests, files, strict=True):
        boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
        head, _, rest = request.body.partition(b"\r\n\r\n")
        assert head == b"--" + boundary + b"\r\nContent-Type: application/dicom"
        assert rest == path.read_bytes() + b"\r\n--" + boundary + b"--\r\n"


def test_all_are_tried_when_one_is_not_taken_just_now(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 3)
    replies = iter([Reply(200), Reply(503), Reply(200)])
    seen: list[StoreOutcome] = []
    with FakeWeb(lambda request: next(replies)).running() as web, pytest.raises(PacsUnavailable):
        web.client().store(files, sink=seen.append)
    assert [outcome.verdict for outcome in seen] == ["stored", "busy", "stored"]


def test_three_breaks_in_a_row_are_the_server(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 5)

    def hang_up(request: Request) -> Reply:
        raise ConnectionAbortedError

    seen: list[StoreOutcome] = []
    with FakeWeb(hang_up).running() as web, pytest.raises(PacsUnavailable):
        web.client().store(files, sink=seen.append)
    assert [outcome.verdict for outcome in seen] == ["busy"] * 3


def test_a_file_whose_meta_information_is_wrong(tmp_path: Path) -> None:
    """The PACS gets the UIDs of the data set, not those that the meta information claims."""
    _, (path,) = write_study(tmp_path, 1)
    dataset = dcmread(path)
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.save_as(path)
    with FakeWeb(lambda request: Reply(200)).running() as web:
        web.client().store([path])
    body = web.requests[0].body.partition(b"\r\n\r\n")[2]
    (tmp_path / "sent.dcm").write_bytes(body)
    sent = dcmread(tmp_path / "sent.dcm", stop_before_pixels=True)
    assert sent.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
