"""What qrscp does beside the contract: each of these is in its docstring."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, generate_uid

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs import DimseClient, Window, send_folder
from hounsfield.pacs.client import StoreOutcome
from hounsfield.pacs.folder import _report
from hounsfield.pacs.qrscp import QrscpServer
from tests.pacs.studies import ct_instance, write_study
from tests.ports import free_port

LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QrscpServer]:
    with QrscpServer(tmp_path_factory.mktemp("qrscp"), free_port()) as running:
        yield running


def test_what_it_does_not_index_is_counted(server: QrscpServer, tmp_path: Path) -> None:
    write_study(tmp_path, 1)
    lost = ct_instance(generate_uid(), generate_uid(), 1)
    lost.AccessionNumber = "X" * 17
    lost.save_as(tmp_path / "lost.dcm", enforce_file_format=True)
    report = send_folder(server.peer(), tmp_path)
    assert (report.sent, report.unlisted) == (2, 1)


def test_it_takes_a_truncated_file(server: QrscpServer, tmp_path: Path) -> None:
    study, (path,) = write_study(tmp_path / "in", 1)
    path.write_bytes(path.read_bytes()[:-3000])
    report = send_folder(server.peer(), path)
    assert (report.sent, report.unlisted) == (1, 0)
    (entry,) = DimseClient(server.peer()).fetch_study(study, tmp_path / "out").entries
    received = dcmread(tmp_path / "out" / entry.path)
    assert len(received.PixelData) < received.Rows * received.Columns * 2


def test_a_study_that_it_refuses_as_a_whole_is_named_with_the_reason(
    server: QrscpServer, tmp_path: Path
) -> None:
    known, _ = write_study(tmp_path, 1)
    lost = ct_instance(generate_uid(), generate_uid(), 1)
    lost.file_meta.TransferSyntaxUID = JPEG2000Lossless
    lost.PixelData = encapsulate([b"0123"])
    lost["PixelData"].is_undefined_length = True
    lost.save_as(tmp_path / "lost.dcm", enforce_file_format=True)
    content = (tmp_path / "lost.dcm").read_bytes()
    (tmp_path / "lost.dcm").write_bytes(content[:-12])
    report = send_folder(server.peer(), tmp_path)
    assert (report.sent, report.studies) == (1, {known})
    assert report.unsent == {lost.StudyInstanceUID: next(iter(report.refused))}


def test_a_study_of_which_something_may_come_later_is_not_called_refused(
    server: QrscpServer,
) -> None:
    outcomes = [
        StoreOutcome("1.1", "1", "refused", 0xC000, "cannot understand"),
        StoreOutcome("1.2", "1", "busy", 0xA700, "out of resources"),
        StoreOutcome("2.1", "2", "refused", 0xC000, "cannot understand"),
        StoreOutcome("3.1", "", "refused", None, "no study"),
    ]
    report = _report(DimseClient(server.peer()), outcomes)
    assert report.unsent == {"2": "cannot understand"}


def test_it_takes_a_labelmap(server: QrscpServer, tmp_path: Path) -> None:
    dataset = ct_instance(generate_uid(), generate_uid(), 1)
    dataset.SOPClassUID = LABELMAP
    dataset.Modality = "SEG"
    dataset.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert send_folder(server.peer(), tmp_path).unlisted == 0


def test_what_it_stored_outlives_it(tmp_path: Path) -> None:
    uid, files = write_study(tmp_path / "in", 2)
    server = QrscpServer(tmp_path / "pacs", free_port())
    window = Window(datetime(2024, 3, 1), datetime(2024, 3, 2))
    with server:
        DimseClient(server.peer()).store(files)
    with pytest.raises(PacsUnavailable):
        DimseClient(server.peer()).echo()
    with server:
        assert [s.StudyInstanceUID for s in DimseClient(server.peer()).find_studies(window)] == [
            uid
        ]


def test_a_port_that_is_taken(server: QrscpServer, tmp_path: Path) -> None:
    """It ends at once: that is told, and not taken for the one that runs there."""
    second = QrscpServer(tmp_path, server.port, ae_title="SECOND")
    with pytest.raises(PacsUnavailable):
        second.start()
