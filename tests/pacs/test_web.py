"""Queries and retrievals by DICOMweb: what real servers do too rarely."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import CTImageStorage, RLELossless, generate_uid

from hounsfield.errors import (
    ConfigError,
    HounsfieldError,
    IntegrityError,
    NotFound,
    PacsUnavailable,
    PermanentError,
)
from hounsfield.pacs import Secret, StudyFilter, Window
from hounsfield.records import InstanceEntry
from tests.pacs.fake_web import FakeWeb, Reply, Request
from tests.pacs.studies import dataset_bytes, write_study

START = datetime(2024, 3, 1)
DAY = Window(START, START + timedelta(days=1))
MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


def value(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def study(uid: str, time: str = "101500", modality: str = "CT") -> dict[str, Any]:
    return {
        "0020000D": value("UI", uid),
        "00080020": value("DA", "20240301"),
        "00080030": value("TM", time),
        "00080061": value("CS", modality),
    }


def instance(path: Path) -> dict[str, Any]:
    dataset = dcmread(path)
    return {
        "00080018": value("UI", dataset.SOPInstanceUID),
        "0020000E": value("UI", dataset.SeriesInstanceUID),
        "00080016": value("UI", CTImageStorage),
    }


def multipart(*contents: bytes) -> bytes:
    parts = (b"--b\r\nContent-Type: application/dicom\r\n\r\n" + c + b"\r\n" for c in contents)
    return b"".join(parts) + b"--b--"


def query(request: Request) -> dict[str, str]:
    return {key: values[-1] for key, values in parse_qs(urlsplit(request.path).query).items()}


def window_of(studies: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    """Those of `studies` that the StudyTime of the request lets through."""
    first, _, last = query(request).get("StudyTime", "000000-235959").partition("-")
    return [s for s in studies if first <= s["00080030"]["Value"][0] <= last]


def serving(files: list[Path], body: bytes, **reply: Any) -> FakeWeb:
    """Lists `files`, and answers a retrieval with `body`."""

    def answer(request: Request) -> Reply:
        if "/instances?" in request.path:
            is_first = query(request)["offset"] == "0"
            return Reply.json([instance(path) for path in files] if is_first else [])
        return Reply(headers=reply.pop("headers", MULTIPART), body=body, **reply)

    return FakeWeb(answer)


def test_pages_are_read_till_one_brings_nothing_new() -> None:
    """The server gives two at a time, whatever is asked for."""
    studies = [study(f"1.2.{n}") for n in range(5)]

    def answer(request: Request) -> Reply:
        offset = int(query(request)["offset"])
        return Reply.json(studies[offset : offset + 2])

    with FakeWeb(answer).running() as web:
        assert len(list(web.client().find_studies(DAY))) == 5


@pytest.mark.parametrize("warns", [True, False])
def test_a_server_that_cuts_and_knows_no_offset(warns: bool) -> None:
    """Either it warns (HTTP Warning 299), or our own limit is reached."""
    studies = [study(f"1.2.{n}", time=f"{n:02}1500") for n in range(20)]

    def answer(request: Request) -> Reply:
        found = window_of(studies, request)
        headers = {"Warning": '299 dw "There are more"'} if warns and len(found) > 3 else {}
        return Reply.json(found[:3], **headers)

    with FakeWeb(answer).running() as web:
        client = web.client(max_results=500 if warns else 3)
        assert [s.StudyInstanceUID for s in client.find_studies(DAY)] == [
            f"1.2.{n}" for n in range(20)
        ]


def test_a_list_of_instances_that_is_cut_is_no_list() -> None:
    def answer(request: Request) -> Reply:
        return Reply.json([{"00080018": value("UI", "1.2")}], Warning='299 dw "more"')

    with FakeWeb(answer).running() as web, pytest.raises(ConfigError, match="only some"):
        web.client().find_instances("1.2.3")


def test_what_is_listed_without_a_uid(caplog: pytest.LogCaptureFixture) -> None:
    """A study is passed by, and told of; instances that are not all named are no list."""
    unnamed = study("")

    def answer(request: Request) -> Reply:
        return Reply.json([unnamed, study("1.2")])

    with FakeWeb(answer).running() as web:
        assert [s.StudyInstanceUID for s in web.client().find_studies(DAY)] == ["1.2"]
        assert "lists a study without StudyInstanceUID" in caplog.text
        with pytest.raises(PermanentError, match="cannot be read"):
            web.client().find_instances("1.2")


def test_filters_that_the_server_ignores() -> None:
    studies = [study("1.2.1"), study("1.2.2", modality="MR"), study("1.2.3")]
    del studies[2]["00080061"]  # its series are asked for

    def answer(request: Request) -> Reply:
        if "/series" in request.path:
            offset = query(request)["offset"]
            series = {"0020000E": value("UI", "1.9"), "00080060": value("CS", "CT")}
            return Reply.json([series] if offset == "0" else [])
        return Reply.json(studies)

    with FakeWeb(answer).running() as web:
        found = web.client().find_studies(DAY, StudyFilter(frozenset({"CT"})))
        assert [s.StudyInstanceUID for s in found] == ["1.2.1", "1.2.3"]
        assert query(web.requests[0])["ModalitiesInStudy"] == "CT"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ConfigError),
        (401, ConfigError),
        (403, ConfigError),
        (404, ConfigError),
        (302, ConfigError),
        (408, PacsUnavailable),
        (429, PacsUnavailable),
        (500, PacsUnavailable),
        (502, PacsUnavailable),
        (503, PacsUnavailable),
        (504, PacsUnavailable),
    ],
)
def test_statuses_of_a_query(status: int, error: type[HounsfieldError]) -> None:
    reply = Reply(status, {"Location": "http://elsewhere.example/"} if status == 302 else {})
    with FakeWeb(lambda request: reply).running() as web:
        with pytest.raises(error):
            web.client().echo()
        assert len(web.requests) == 1, "who calls decides whether to try again"


def test_an_unknown_study_may_be_404() -> None:
    with FakeWeb(lambda request: Reply(404)).running() as web:
        assert web.client().find_instances("1.2.3") == ()
        with pytest.raises(NotFound):
            web.client().fetch_study("1.2.3", Path("nowhere"))


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_an_answer_that_is_no_json(body: bytes) -> None:
    reply = Reply(headers={"Content-Type": "text/html"}, body=body)
    with FakeWeb(lambda request: reply).running() as web, pytest.raises(PermanentError):
        web.client().echo()


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["0020000D", "00080020", "00080030"]),
            st.none()
            | st.fixed_dictionaries(
                {"Value": st.lists(st.none() | st.text(max_size=9), max_size=2)}
            ),
        )
    )
)
@settings(max_examples=25)
def test_odd_answers_are_studies_or_none(answers: list[dict[str, Any]]) -> None:
    with FakeWeb(lambda request: Reply.json(answers)).running() as web:
        assert all(s.StudyInstanceUID for s in web.client().find_studies(DAY))


@pytest.mark.parametrize("uid", ["../1.2", "..", "1.2/3", "1.2?x=1", "", "1" * 65])
def test_a_uid_that_leads_elsewhere(uid: str) -> None:
    with FakeWeb(lambda request: Reply.json([])).running() as web:
        with pytest.raises(PermanentError):
            web.client().find_instances(uid)
        assert web.requests == []


def test_a_body_that_ends_when_the_server_hangs_up(tmp_path: Path) -> None:
    """The last instance is cut in its middle: it does not count, and the first does."""
    uid, files = write_study(tmp_path / "in", 2)
    whole = multipart(*(path.read_bytes() for path in files))
    came: list[InstanceEntry] = []
    web = serving(files, whole[:-3000], tells_length=False)
    with web.running(), pytest.raises(PacsUnavailable):
        web.client().fetch_study(uid, tmp_path / "out", sink=came.append)
    assert [entry.SOPInstanceUID for entry in came] == [dcmread(files[0]).SOPInstanceUID]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [came[0].path]


@pytest.mark.parametrize("is_encapsulated", [False, True])
def test_a_half_that_a_gateway_ends_in_form_is_still_missing(
    tmp_path: Path, is_encapsulated: bool
) -> None:
    """The other half is fetched later, and is not kept out by the first."""
    uid, files = write_study(tmp_path / "in", 2)
    if is_encapsulated:
        dataset = dcmread(files[0])
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(files[0])
    whole = [path.read_bytes() for path in files]
    half = dcmread(files[0]).SOPInstanceUID
    bodies = [multipart(whole[0][:-200], whole[1]), multipart(whole[0])]
    with serving(files, bodies[0]).running() as web:
        report = web.client().fetch_study(uid, tmp_path / "out")
    assert (report.missing, report.cut_short) == ((half,), 1)
    assert len(list((tmp_path / "out").iterdir())) == 1
    with serving(files, bodies[1]).running() as web:
        again = web.client().fetch_study(uid, tmp_path / "out", only={half})
    assert (again.is_complete, again.cut_short) == (True, 0)


@pytest.mark.parametrize("syntax", ["1.2.826.0.1.3680043.9.7", "1.2.840.10008.1.2.4.95"])
def test_of_an_unknown_encoding_nothing_is_called_half(tmp_path: Path, syntax: str) -> None:
    """A private one, and one whose data sets are deflated for JPIP: both are, here."""
    uid, (path,) = write_study(tmp_path / "in", 1)
    meta = dcmread(path).file_meta
    meta.TransferSyntaxUID = syntax
    packed = zlib.compress(dataset_bytes(path), wbits=-zlib.MAX_WBITS)
    with (tmp_path / "packed.dcm").open("wb") as file:
        file.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(file, meta)
        file.write(packed)
    with serving([path], multipart((tmp_path / "packed.dcm").read_bytes())).running() as web:
        report = web.client().fetch_study(uid, tmp_path / "out")
    assert report.is_complete
    assert dataset_bytes(tmp_path / "out" / report.entries[0].path) == packed


def test_what_is_asked_for_and_how(tmp_path: Path) -> None:
    uid, files = write_study(tmp_path / "in", 3)
    wanted = dcmread(files[1])
    with serving(files, multipart(files[1].read_bytes())).running() as web:
        report = web.client(wado_prefix="wado").fetch_study(
            uid, tmp_path / "out", only={wanted.SOPInstanceUID}
        )
    assert report.is_complete
    request = web.requests[-1]
    assert request.path == (
        f"/dw/wado/studies/{uid}/series/{wanted.SeriesInstanceUID}"
        f"/instances/{wanted.SOPInstanceUID}"
    )
    assert request.headers["Accept"] == (
        'multipart/related; type="application/dicom"; transfer-syntax=*'
    )
    assert dataset_bytes(tmp_path / "out" / report.entries[0].path) == dataset_bytes(files[1])


def test_parts_that_are_not_wanted_or_no_dicom(tmp_path: Path) -> None:
    uid, files = write_study(tmp_path / "in", 2)
    body = multipart(b"junk", b"", files[0].read_bytes(), files[1].read_bytes()[:140])
    with serving(files, body).running() as web:
        report = web.client().fetch_study(uid, tmp_path / "out")
    assert [e.SOPInstanceUID for e in report.entries] == [dcmread(files[0]).SOPInstanceUID]
    assert report.missing == (dcmread(files[1]).SOPInstanceUID,)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_the_data_set_tells_its_uid_where_the_meta_information_is_wrong(tmp_path: Path) -> None:
    uid, (path,) = write_study(tmp_path / "in", 1)
    dataset = dcmread(path)
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.save_as(tmp_path / "wrong.dcm")
    body = multipart((tmp_path / "wrong.dcm").read_bytes())
    with serving([path], body).running() as web:
        report = web.client().fetch_study(uid, tmp_path / "out")
    (entry,) = report.entries
    assert entry.SOPInstanceUID == dataset.SOPInstanceUID
    meta = dcmread(tmp_path / "out" / entry.path).file_meta
    assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


@pytest.mark.parametrize(("tells_length", "count"), [(True, 1), (False, 0)])
def test_one_instance_without_multipart(tmp_path: Path, tells_length: bool, count: int) -> None:
    """Whole only if its length says so."""
    uid, (path,) = write_study(tmp_path / "in", 1)
    web = serving(
        [path],
        path.read_bytes(),
        headers={"Content-Type": "application/dicom"},
        tells_length=tells_length,
    )
    came: list[InstanceEntry] = []
    with web.running():
        if tells_length:
            web.client().fetch_study(uid, tmp_path / "out", sink=came.append)
        else:
            with pytest.raises(PacsUnavailable):
                web.client().fetch_study(uid, tmp_path / "out", sink=came.append)
    assert len(came) == count


@pytest.mark.parametrize("headers", [MULTIPART, {"Content-Type": "application/dicom"}])
def test_an_instance_without_end_is_given_up(tmp_path: Path, headers: dict[str, str]) -> None:
    uid, files = write_study(tmp_path / "in", 2)
    endless = files[0].read_bytes() + bytes(3 << 20)
    is_multipart = headers is MULTIPART
    body = multipart(files[1].read_bytes(), endless)[:-20] if is_multipart else endless
    web = serving(files, body, headers=headers)
    came: list[InstanceEntry] = []
    with web.running(), pytest.raises(PermanentError, match="max_instance"):
        web.client(max_instance=1 << 20).fetch_study(uid, tmp_path / "out", sink=came.append)
    assert len(came) == is_multipart


def test_an_error_of_the_sink_ends_the_retrieval(tmp_path: Path) -> None:
    def sink(entry: InstanceEntry) -> None:
        raise IntegrityError("no")

    uid, files = write_study(tmp_path / "in", 2)
    body = multipart(*(path.read_bytes() for path in files))
    with serving(files, body).running() as web, pytest.raises(IntegrityError):
        web.client().fetch_study(uid, tmp_path / "out", sink=sink)


def test_one_uid_with_two_contents_keeps_both(tmp_path: Path) -> None:
    uid, (path,) = write_study(tmp_path / "in", 1)
    dataset = dcmread(path)
    dataset.ImageComments = "another"
    dataset.save_as(tmp_path / "other.dcm")
    body = multipart(path.read_bytes(), (tmp_path / "other.dcm").read_bytes())
    with serving([path], body).running() as web:
        report = web.client().fetch_study(uid, tmp_path / "out")
    assert len(report.entries) == len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        (
            {"user": "reader", "password": Secret(variable="PACS_SECRET")},
            "Basic cmVhZGVyOnMzIGPDqQ==",
        ),
        ({"token": Secret(variable="PACS_SECRET")}, "Bearer s3 cé"),
        ({}, None),
    ],
)
def test_credentials(
    monkeypatch: pytest.MonkeyPatch, credentials: dict[str, Any], header: str | None
) -> None:
    monkeypatch.setenv("PACS_SECRET", "s3 cé")
    with FakeWeb(lambda request: Reply.json([])).running() as web:
        web.client(**credentials).echo()
        sent = web.requests[0].headers.get("Authorization")
    assert sent == header or (sent is not None and sent.encode("latin-1").decode() == header)
