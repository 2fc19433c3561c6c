"""No comment in a compressed frame passes, whoever it names and wherever it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.uid import JPEGBaseline8Bit

from hounsfield.dicom.reading import find_files
from hounsfield.gate.elements import read_elements
from hounsfield.gate.header import _REMARK, _TABLE, _UNREAD, HeaderSearch
from hounsfield.gate.search import Search
from hounsfield.gate.sentinels import Sentinels
from hounsfield.gate.streams import frames, remarks
from tests.deid.conftest import make_dataset  # noqa: F401 (a fixture)
from tests.deid.test_streams import (
    APP1,
    CODEC,
    COM,
    SECRET,
    SPOKEN,
    behind,
    jpeg,
    segment,
    with_table,
)
from tests.gate.conftest import Cleaned

Make = Callable[..., FileDataset]
PLACE = "PixelData (7FE0,0010)"


def holding(frame: bytes) -> Callable[[FileDataset], None]:
    def edit(dataset: FileDataset) -> None:
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.PixelData = encapsulate([frame], fragments_per_frame=2)
        dataset["PixelData"].is_undefined_length = True

    return edit


@pytest.mark.parametrize("name", [name for name in SPOKEN if "JP2" not in name])
def test_what_an_application_wrote_is_found(
    name: str,
    clean: Callable[..., Cleaned],
    make_dataset: Make,  # noqa: F811
) -> None:
    found = clean().found(holding(SPOKEN[name][1](make_dataset)))
    assert ("sentinels", _REMARK, PLACE) in found
    assert "Vantreek" not in str(found)


def test_what_is_known_of_the_patient_is_told_by_its_kind(clean: Callable[..., Cleaned]) -> None:
    cleaned = clean()
    family = str(dcmread(cleaned.raw).PatientName).split("^")[0].encode()
    late = segment(0xED, b"\1" * 65000) + segment(APP1, bytes(900) + family)
    found = cleaned.found(holding(behind(jpeg(), b"\xff\xd8", late)))
    assert ("sentinels", "person", PLACE) in found


@pytest.mark.parametrize(
    "frame",
    [
        SECRET,
        behind(jpeg(), b"\xff\xd8", SECRET),
        behind(jpeg(), b"\xff\xd8", b"\xff\xfe\xff\xff"),
        SPOKEN["a box of a JP2 file"],
    ],
    ids=["no frame", "text between segments", "a length too long", "a file in a frame"],
)
def test_a_frame_that_cannot_be_followed_is_held(
    frame: object,
    clean: Callable[..., Cleaned],
    make_dataset: Make,  # noqa: F811
) -> None:
    content = frame if isinstance(frame, bytes) else frame[1](make_dataset)  # type: ignore[index]
    assert ("sentinels", _UNREAD, PLACE) in clean().found(holding(content))


def test_text_in_place_of_the_offset_table_is_held(clean: Callable[..., Cleaned]) -> None:
    def edit(dataset: FileDataset) -> None:
        holding(jpeg())(dataset)
        dataset["PixelData"].value = with_table(SECRET)

    assert ("sentinels", _TABLE, PLACE) in clean().found(edit)


def test_bytes_behind_a_frame_are_found(clean: Callable[..., Cleaned]) -> None:
    assert ("sentinels", _REMARK, PLACE) in clean().found(holding(jpeg() + SECRET))


@pytest.mark.parametrize("text", [b"", bytes(90), CODEC, b"MITRA_DICOM_STANDARD"])
def test_codecs_may_sign(text: bytes, clean: Callable[..., Cleaned]) -> None:
    frame = behind(jpeg(), b"\xff\xd8", segment(COM, text))
    assert not {each for each in clean().found(holding(frame)) if each[2] == PLACE}


@pytest.mark.data
def test_no_real_frame_is_held(real_data: Path) -> None:
    counted = 0
    nobody = HeaderSearch(Search(Sentinels()))
    for path in find_files(real_data):
        if path.parent.name.startswith("bad_") or path.suffix in (".csv", ".md"):
            continue
        elements = [
            each for each in read_elements(path) if each.encapsulated or each.tag >> 16 == 2
        ]
        if not any(element.encapsulated for element in elements):
            continue
        assert not nobody.findings(elements, ""), path.name
        counted += 1
    assert counted > 70


def test_a_fragment_that_begins_a_frame_ends_the_one_before() -> None:
    one, other = jpeg(), behind(jpeg(), b"\xff\xd8", segment(COM, SECRET))
    parts = [one[:500], one[500:], other[:700], other[700:]]
    assert list(frames(parts)) == [one, other]
    assert list(remarks(other)) == [SECRET]
