from __future__ import annotations

import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    generate_uid,
)
from pynetdicom import evt

from hounsfield.dicom.writing import file_header
from hounsfield.errors import DeliveryRefused, PacsUnavailable
from hounsfield.pacs import StoreOutcome
from hounsfield.pacs.send import store_objects
from tests.pacs.fake import EXPLICIT, IMPLICIT, TIMEOUTS, FakePacs
from tests.pacs.proxy import CuttingProxy
from tests.pacs.studies import CANARY, PACE, ct_instance, dataset_bytes, large, write_study


def saying(status: int, comment: str = "") -> Dataset:
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment
    return answer


def test_a_refusal_has_the_status_and_no_phi(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 1)
    comment = f"patient {CANARY} conflicts with database"
    with FakePacs(answer=lambda event: saying(0xC123, comment)).running() as pacs:
        (outcome,) = pacs.client().store(files)
    assert (outcome.verdict, outcome.status) == ("refused", 0xC123)
    assert outcome.comment == comment
    assert CANARY not in repr(outcome)
    with pytest.raises(DeliveryRefused) as refusal:
        outcome.raise_for_status("study abc")
    assert "0xC123" in str(refusal.value)
    assert "conflicts with database" in str(refusal.value)
    assert CANARY not in str(refusal.value)


def test_a_warning_is_stored(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 1)
    with FakePacs(answer=lambda event: 0xB000).running() as pacs:
        (outcome,) = pacs.client().store(files)
    assert outcome.is_stored
    assert outcome.verdict == "warning"


@pytest.mark.timeout(60)
def test_what_takes_longer_than_the_time_out_of_a_message_goes() -> None:
    """It moves."""
    dataset = large(ct_instance(generate_uid(), generate_uid(), 1))
    began = time.monotonic()
    with FakePacs().running() as pacs, CuttingProxy(pacs.port, pace=PACE) as proxy:
        client = pacs.client(port=proxy.port, timeouts=replace(TIMEOUTS, message=2))
        assert [outcome.verdict for outcome in client.store([dataset])] == ["stored"]
    assert time.monotonic() - began > 4


def test_out_of_resources_is_transient_and_all_are_tried(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 3)
    statuses = iter([0x0000, 0xA700, 0x0000])
    seen: list[StoreOutcome] = []
    with FakePacs(answer=lambda event: next(statuses)).running() as pacs:
        with pytest.raises(PacsUnavailable):
            pacs.client().store(files, sink=seen.append)
        assert len(pacs.received) == 3
    assert [outcome.verdict for outcome in seen] == ["stored", "busy", "stored"]


def test_a_pacs_that_aborts_at_one_object(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 4)
    poison = dcmread(files[1]).SOPInstanceUID

    def answer(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID == poison:
            event.assoc.abort()
        return 0x0000

    with FakePacs(answer=answer).running() as pacs:
        outcomes = store_objects(pacs.client().peer, files)
    assert [outcome.verdict for outcome in outcomes] == ["stored", "busy", "stored", "stored"]


def test_a_pacs_that_aborts_always_is_unavailable(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 6)

    def answer(event: evt.Event) -> int:
        event.assoc.abort()
        return 0x0000

    with FakePacs(answer=answer).running() as pacs:
        with pytest.raises(PacsUnavailable):
            store_objects(pacs.client().peer, files)
        assert len(pacs.received) == 3


def test_a_class_that_the_pacs_does_not_take(tmp_path: Path) -> None:
    _, files = write_study(tmp_path, 1)
    other = ct_instance(generate_uid(), generate_uid(), 1)
    other.SOPClassUID = MRImageStorage
    with FakePacs().running() as pacs:
        mixed = pacs.client().store([other, *files])
        alone = pacs.client().store([other])
    assert [outcome.verdict for outcome in mixed] == ["refused", "stored"]
    assert [outcome.verdict for outcome in alone] == ["refused"]
    assert mixed[0].status is None


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    _, (path,) = write_study(tmp_path, 1)
    sent: list[bytes] = []

    def answer(event: evt.Event) -> int:
        sent.append(event.encoded_dataset(include_meta=False))
        return 0x0000

    with FakePacs(answer=answer).running() as pacs:
        pacs.client().store([path])
    assert sent == [dataset_bytes(path)]


def test_it_is_converted_for_a_pacs_that_takes_only_implicit(tmp_path: Path) -> None:
    _, (path,) = write_study(tmp_path, 1)
    with FakePacs(storage={CTImageStorage: [IMPLICIT]}).running() as pacs:
        (outcome,) = pacs.client().store([path])
    assert outcome.verdict == "stored"
    ((received, syntax),) = pacs.received
    assert syntax == IMPLICIT
    assert received.PixelData == dcmread(path).PixelData


def test_it_is_decompressed_for_a_pacs_that_takes_no_compression(tmp_path: Path) -> None:
    _, (path,) = write_study(tmp_path, 1)
    dataset = dcmread(path)
    pixels = dataset.pixel_array.copy()
    uid = dataset.SOPInstanceUID
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    with FakePacs().running() as pacs:
        (outcome,) = pacs.client().store([path])
    assert outcome.verdict == "stored"
    ((received, syntax),) = pacs.received
    assert (syntax, received.SOPInstanceUID) == (EXPLICIT, uid)
    assert received.PixelData == pixels.tobytes()


def test_a_file_whose_meta_information_is_wrong(tmp_path: Path) -> None:
    """The PACS gets the UIDs of the data set, not those that the meta information claims."""
    _, (path,) = write_study(tmp_path, 1)
    dataset = dcmread(path)
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.save_as(path)
    asked: list[str] = []

    def answer(event: evt.Event) -> int:
        asked.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    with FakePacs(answer=answer).running() as pacs:
        pacs.client().store([path])
    assert asked == [dataset.SOPInstanceUID]


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_meta_information(tmp_path: Path, implicit: bool) -> None:
    dataset = ct_instance(generate_uid(), generate_uid(), 1)
    del dataset.file_meta
    path = tmp_path / "bare"
    dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    with FakePacs(storage={CTImageStorage: [IMPLICIT, EXPLICIT]}).running() as pacs:
        (outcome,) = pacs.client().store([path])
    assert outcome.verdict == "stored"
    ((received, syntax),) = pacs.received
    assert syntax == (IMPLICIT if implicit else EXPLICIT)
    assert received.PixelData == dataset.PixelData


def test_a_deflated_file_of_odd_length_is_padded(tmp_path: Path) -> None:
    for number in range(50):
        _, (path,) = write_study(tmp_path / str(number), 1)
        squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = squeeze.compress(dataset_bytes(path)) + squeeze.flush()
        if len(body) % 2:
            break
    else:
        pytest.fail("no odd one among fifty")
    deflated = str(DeflatedExplicitVRLittleEndian)
    header = file_header(CTImageStorage, dcmread(path).SOPInstanceUID, deflated)
    path.write_bytes(header + body)
    lengths: list[int] = []

    def answer(event: evt.Event) -> int:
        lengths.append(len(event.request.DataSet.getvalue()))
        return 0x0000

    with FakePacs(storage={CTImageStorage: [deflated]}, answer=answer).running() as pacs:
        (outcome,) = pacs.client().store([path])
    assert outcome.verdict == "stored"
    assert lengths[0] % 2 == 0


def test_a_file_with_an_element_of_odd_length_is_encoded_anew(tmp_path: Path) -> None:
    _, (path,) = write_study(tmp_path, 1)
    even, odd = b"LO\x10\x00Hounsfield Test ", b"LO\x0f\x00Hounsfield Test"
    content = path.read_bytes()
    assert content.count(even) == 1
    path.write_bytes(content.replace(even, odd))
    lengths: list[int] = []

    def answer(event: evt.Event) -> int:
        lengths.append(len(event.request.DataSet.getvalue()))
        return 0x0000

    with FakePacs(answer=answer).running() as pacs:
        (outcome,) = pacs.client().store([path])
    assert outcome.verdict == "stored"
    assert lengths[0] % 2 == 0


def test_a_file_cut_at_an_odd_place_is_refused(tmp_path: Path) -> None:
    """It cannot travel; cut at an even place it could, and the PACS says what it thinks."""
    _, (path,) = write_study(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with FakePacs().running() as pacs:
        (outcome,) = pacs.client().store([path])
        assert pacs.received == []
    assert (outcome.verdict, outcome.reason) == ("refused", "a file stops before its end")


def test_outcomes_are_in_the_order_given(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x00" * 300)
    _, files = write_study(tmp_path, 3)
    with FakePacs().running() as pacs:
        outcomes = pacs.client().store([files[0], junk, files[1], tmp_path / "missing", files[2]])
    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts == ["stored", "refused", "stored", "refused", "stored"]
