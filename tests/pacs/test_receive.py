"""The receiver's SCP: every class and syntax, bytes as they come, on disk before success."""

from __future__ import annotations

import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    AllTransferSyntaxes,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom import AE, Association, build_context
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification

from hounsfield.errors import ConfigError, StoreUnavailable, UnreadableFile
from hounsfield.pacs.contexts import STORAGE_CLASSES
from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.receive import listening, place_of, read_landed
from tests.pacs.studies import CANARY, dataset_bytes, write_study

DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path / "landing") as made:
        yield made


@pytest.fixture
def port(inbox: Inbox, free_port: Callable[[], int]) -> Iterator[int]:
    number = free_port()
    with listening(
        inbox,
        port=number,
        ae_title="HOUNSFIELD",
        study_key=lambda uid: f"st-{zlib.crc32(uid.encode())}",
        bind="127.0.0.1",
    ):
        yield number


def associate(port: int, *contexts: tuple[str, str], called: str = "HOUNSFIELD") -> Association:
    asked = [build_context(uid, [syntax]) for uid, syntax in contexts]
    return AE("MODALITY").associate("127.0.0.1", port, contexts=asked, ae_title=called)


def store(association: Association, body: bytes | None, syntax: str, uid: str = "1.2.3") -> int:
    """Sends bytes as they are, which pynetdicom's own sender would not."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, uid
    request.DataSet = None if body is None else BytesIO(body)
    (context,) = [c for c in association.accepted_contexts if c.transfer_syntax[0] == syntax]
    association._reactor_checkpoint.clear()  # Its thread would take the answer.
    while not association._is_paused:
        time.sleep(0.001)
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return int(answer.Status)


def encoded(syntax: str, **attributes: str) -> bytes:
    dataset = Dataset()
    dataset.StudyDate, dataset.Modality, dataset.PatientName = "20260301", "CT", CANARY
    for name, value in attributes.items():
        setattr(dataset, name, value)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == "1.2.840.10008.1.2"
    buffer.is_little_endian = syntax != "1.2.840.10008.1.2.2"
    write_dataset(buffer, dataset)
    body = buffer.getvalue()
    if syntax in DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflate.compress(body) + deflate.flush()
    return body


def test_every_storage_class_is_accepted(port: int) -> None:
    for start in range(0, len(STORAGE_CLASSES), 127):
        some = STORAGE_CLASSES[start : start + 127]
        association = associate(port, *((uid, ExplicitVRLittleEndian) for uid in some))
        assert {c.abstract_syntax for c in association.accepted_contexts} == set(some)
        association.release()


@pytest.mark.parametrize("part", [AllTransferSyntaxes[:20], AllTransferSyntaxes[20:]])
def test_every_transfer_syntax_lands_as_it_came(port: int, inbox: Inbox, part: list[str]) -> None:
    association = associate(port, *((CTImageStorage, str(uid)) for uid in part))
    for number, syntax in enumerate(map(str, part)):
        body = encoded(syntax, StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1")
        assert store(association, body, syntax, f"1.2.3.{number}") == 0
    association.release()
    (key,) = inbox.studies()
    for number, (syntax, path) in enumerate(zip(part, inbox.landed(key), strict=True)):
        entry, place = read_landed(path)
        assert (entry.TransferSyntaxUID, entry.SOPInstanceUID) == (syntax, f"1.2.3.{number}")
        assert (place.StudyInstanceUID, place.SeriesInstanceUID) == ("1.2", "1.2.1")
        assert (place.Modality, place.StudyDate) == ("CT", "20260301")
        assert dataset_bytes(path) == encoded(
            str(syntax), StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1"
        )
        assert path.name == f"{entry.sha256}.dcm", "no identifier is in a name"


def test_an_echo_is_answered(port: int) -> None:
    association = associate(port, (Verification, ExplicitVRLittleEndian))
    assert association.send_c_echo().Status == 0
    association.release()


def test_another_called_title_is_rejected(port: int) -> None:
    assert associate(port, (Verification, ExplicitVRLittleEndian), called="X").is_rejected


@pytest.mark.parametrize(
    "body",
    [None, encoded(ExplicitVRLittleEndian), b"\xff" * 99, b"\x08\x00\x20\x00DA\xff\xff"],
)
def test_what_names_no_study_is_refused(
    port: int, inbox: Inbox, body: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The sender has it still; nothing of it is kept or told here."""
    syntax = str(ExplicitVRLittleEndian)
    association = associate(port, (CTImageStorage, syntax))
    if body is None:
        body = encoded(JPEG2000Lossless)  # No StudyInstanceUID either.
    assert store(association, body, syntax) == 0xC000
    assert store(association, encoded(syntax, StudyInstanceUID="1.2"), syntax) == 0
    association.release()
    assert len(inbox.studies()) == 1, "the next one is taken as ever"
    assert CANARY not in caplog.text


def test_a_full_disk_is_told_to_the_sender(
    port: int, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreUnavailable("no space left on device")

    monkeypatch.setattr("hounsfield.pacs.inbox.write_instance", full)
    syntax = str(ExplicitVRLittleEndian)
    association = associate(port, (CTImageStorage, syntax))
    body = encoded(syntax, StudyInstanceUID="1.2")
    assert store(association, body, syntax) == 0xA700
    monkeypatch.undo()
    assert store(association, body, syntax) == 0
    association.release()


@pytest.mark.server
def test_storescu_sends_a_study(
    port: int, inbox: Inbox, tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    _, paths = write_study(tmp_path / "study", slices=3, series=2)
    command = [need_program("storescu"), "-aec", "HOUNSFIELD", "127.0.0.1", str(port)]
    subprocess.run([*command, *map(str, paths)], check=True, timeout=60)
    (key,) = inbox.studies()
    landed = {dcmread(path).SOPInstanceUID: path for path in inbox.landed(key)}
    assert len(landed) == 6
    for path in paths:
        assert dataset_bytes(landed[dcmread(path).SOPInstanceUID]) == dataset_bytes(path)


def test_a_deflated_bomb_is_not_inflated_whole() -> None:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(bytes(1 << 26)) + deflate.flush()
    with pytest.raises(UnreadableFile):
        place_of(BytesIO(bomb), DEFLATED[0])


def test_a_landing_folder_has_one_receiver(inbox: Inbox) -> None:
    with pytest.raises(ConfigError, match="another receiver"):
        Inbox(inbox.root)


def test_a_folder_is_known_again_and_halves_are_removed(tmp_path: Path) -> None:
    with Inbox(tmp_path / "landing") as first:
        first.owe("st-a", "digest")
        (first.root / "st-a" / ".1.part").write_bytes(b"half")
    with Inbox(tmp_path / "landing") as second:
        assert second.id == first.id
        assert second.owed("st-a") == "digest"
        assert [path.name for path in (second.root / "st-a").iterdir()] == [".announce"]
        second.settle("st-a")
        assert second.studies() == []


def test_a_port_that_is_taken_is_told(port: int, inbox: Inbox) -> None:
    with (
        pytest.raises(ConfigError, match=f"port {port}"),
        listening(inbox, port=port, ae_title="A", study_key=str, bind="127.0.0.1"),
    ):
        pass
