"""Where an instance belongs is read as pydicom would, from any bytes."""

from __future__ import annotations

import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset

from hounsfield.errors import UnreadableFile
from hounsfield.pacs import place as module
from hounsfield.pacs.landing import write_instance
from hounsfield.pacs.place import Place, identity_of, place_of, read_landed
from tests.pacs.receiving import CT, DEFLATED, EXPLICIT, encoded
from tests.pacs.studies import dataset_bytes

IMPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
PLACE = Place("1.2", "1.2.1", "1.2.3", "20260301", "CT")


def nested(length: int | None = None) -> dict[str, Any]:
    """A sequence before what is looked for, that names another study."""
    item = Dataset()
    item.StudyInstanceUID = "9.9.9"
    return {"ReferencedStudySequence": [item], "ImageComments": "x" * (length or 1)}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, *DEFLATED])
def test_every_encoding_is_read(syntax: str) -> None:
    assert place_of(BytesIO(encoded(syntax)), syntax) == PLACE
    assert place_of(BytesIO(encoded(syntax, **nested())), syntax) == PLACE


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_what_is_simple_needs_no_pydicom(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_dataset", None)
    assert place_of(BytesIO(encoded(syntax, **nested())), syntax) == PLACE


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("size", [40_000, 1_000_000])
def test_much_before_the_study_is_passed_by(syntax: str, size: int) -> None:
    body = encoded(syntax, ContributionDateTime=None, DerivationDescription="x" * size)
    assert place_of(BytesIO(body), syntax) == PLACE


def test_a_sequence_of_undefined_length_is_passed_by() -> None:
    sequence = bytes.fromhex("08001011 53510000 ffffffff feff00e0 ffffffff".replace(" ", ""))
    sequence += encoded(StudyInstanceUID="9.9.9", PatientName=None, SOPInstanceUID=None)
    sequence += bytes.fromhex("feff0de000000000 feffdde000000000".replace(" ", ""))
    head, tail = encoded().split(b"\x10\x00\x10\x00PN")
    assert place_of(BytesIO(head + sequence + b"\x10\x00\x10\x00PN" + tail), EXPLICIT) == PLACE


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_rubbish_that_looks_like_millions_of_elements_is_given_up(syntax: str) -> None:
    with pytest.raises(UnreadableFile, match="too much"):
        place_of(BytesIO(encoded(syntax)[:60] + bytes(1 << 21)), syntax)


def test_two_values_are_none() -> None:
    with pytest.raises(UnreadableFile):
        place_of(BytesIO(encoded(StudyInstanceUID=["1.2", "1.3"])), EXPLICIT)


@given(
    syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG, *DEFLATED]),
    body=st.binary(max_size=300),
    at=st.integers(0, 200),
)
def test_any_bytes_are_read_or_refused(syntax: str, body: bytes, at: int) -> None:
    for data in (body, encoded(syntax)[:at] + body):
        with suppress(UnreadableFile):
            place_of(BytesIO(data), syntax)


@given(
    is_implicit=st.booleans(),
    attributes=st.fixed_dictionaries(
        {
            "StudyInstanceUID": st.from_regex(r"[0-9.]{1,64}", fullmatch=True),
            "SeriesInstanceUID": st.none() | st.from_regex(r"[0-9.]{0,64}", fullmatch=True),
            "Modality": st.none() | st.sampled_from(["MR", "CT "]),
            "AccessionNumber": st.none() | st.text("abc 1", max_size=16),
            "PixelData": st.none() | st.just(b"\0" * 40_000),
        }
    ),
)
def test_the_short_way_finds_what_pydicom_finds(
    is_implicit: bool, attributes: dict[str, Any]
) -> None:
    dataset = Dataset()
    dataset.update(dcmread(BytesIO(encoded()), force=True))
    dataset.BitsAllocated = 8
    for keyword, value in attributes.items():
        if value is not None:
            setattr(dataset, keyword, value)
    body = BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.save_as(body, implicit_vr=is_implicit, little_endian=True, enforce_file_format=False)
    body.seek(0)
    assert module._walked(body.getvalue()[: module._HEAD], is_implicit) == {
        keyword: value
        for keyword, value in module._parsed(body, is_implicit, True).items()
        if keyword in dataset
    }


def test_a_deflated_bomb_is_not_inflated_whole() -> None:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(bytes(1 << 26)) + deflate.flush()
    with pytest.raises(UnreadableFile):
        place_of(BytesIO(bomb), DEFLATED[0])


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "../.."])
def test_a_landed_file_tells_what_it_is(tmp_path: Path, uid: str) -> None:
    entry = write_instance(
        tmp_path,
        BytesIO(encoded()),
        sop_class_uid=CT,
        sop_instance_uid=uid,
        transfer_syntax_uid=EXPLICIT,
    )
    path = tmp_path / entry.path
    assert identity_of(path) == (uid, CT)
    assert read_landed(path) == (entry, PLACE)
    assert dataset_bytes(path) == encoded()


@given(body=st.binary(max_size=400))
def test_any_file_tells_something_or_nothing(
    body: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("landing") / "any.dcm"
    path.write_bytes(bytes(128) + b"DICM" + body)
    assert len(identity_of(path)) == 2
    with suppress(UnreadableFile):
        read_landed(path)
