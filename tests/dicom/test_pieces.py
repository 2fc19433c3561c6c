"""Files cut between their elements: what is cut is what pydicom reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from hounsfield.dicom.pieces import cut
from hounsfield.dicom.reading import find_files, read_lazily
from hounsfield.dicom.writing import file_header
from hounsfield.errors import HounsfieldError

CT = "1.2.840.10008.5.1.4.1.1.2"


def file_of(body: bytes, syntax: str = ExplicitVRLittleEndian) -> bytes:
    return file_header(CT, "1.2.3", syntax) + body


def short(tag: int, vr: bytes, value: bytes) -> bytes:
    words = (tag >> 16, tag & 0xFFFF)
    head = b"".join(word.to_bytes(2, "little") for word in words)
    return head + vr + len(value).to_bytes(2, "little") + value


NAME = short(0x00100010, b"PN", b"Ab^C")
ITEMS = (
    bytes.fromhex("0800 1111 5351 0000 FFFFFFFF FEFF00E0 FFFFFFFF")
    + short(0x00081150, b"UI", b"1.2\0")
    + bytes.fromhex("FEFF0DE0 00000000 FEFF00E0 08000000")
    + short(0x00081155, b"UI", b"")
    + bytes.fromhex("FEFFDDE0 00000000")
)


@pytest.mark.data
def test_pieces_of_real_files_are_the_elements_that_pydicom_reads(real_data: Path) -> None:
    whole = 0
    for path in find_files(real_data):
        data = path.read_bytes()
        pieces = cut(data)
        if pieces is None:
            continue
        try:
            read = read_lazily(path)
        except HounsfieldError:
            continue
        tags = [int(tag) for tag in read.keys()]  # noqa: SIM118 (its values parse)
        pixels = [0x7FE00010] if pieces.pixels is not None else []
        assert sorted([*pieces.elements, *pixels]) == tags, path.relative_to(real_data)
        parts = {**pieces.elements, 0x7FE00010: bytes(pieces.pixels or b"")}
        assert data.endswith(b"".join(parts[tag] for tag in tags))
        again = pieces.dataset([tag for tag in tags if tag != 0x7FE00010])
        assert all(again.get_item(tag)[1:4] == read.get_item(tag)[1:4] for tag in tags[:5])
        whole += 1
    assert whole > 250, "and not all were left to pydicom"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"DICM",
        file_of(NAME)[:-1],
        file_of(NAME) + b"\0",
        file_of(NAME + NAME),
        file_of(NAME + short(0x00080018, b"UI", b"1.2\0")),
        file_of(short(0x00100010, b"XX", b"Ab^C")),
        file_of(NAME, ImplicitVRLittleEndian),
        file_of(NAME, ExplicitVRBigEndian),
        file_of(NAME, "1.2.3.4"),
        file_of(ITEMS[:-8]),
        file_of(ITEMS.replace(bytes.fromhex("FEFF0DE0"), bytes.fromhex("FEFF0DE1"))),
        file_of(ITEMS[:12] * 4000),
        file_of(ITEMS.replace(b"UI\0\0", b"UI\x08\0") + NAME),
        file_of(NAME + bytes.fromhex("FFFF 1000") + b"LO\0\0"),
        file_of(bytes.fromhex("1000 1000 00000000 FEFF0DE0 00000000"), ImplicitVRLittleEndian),
        file_of(
            bytes.fromhex("1000 0040 FFFFFFFF FEFF00E0 00000000 FEFFDDE0 00000000"),
            ImplicitVRLittleEndian,
        ),
        file_of(NAME).replace(
            b"UI\x14\x001.2.840.10008.1.2.1\0", b"LO\x14\x001.2.840.10008.1.2.1 "
        ),
        file_of(short(0x7FE00010, b"OW", b"")[:6] + bytes.fromhex("0000 FFFFFFFF")),
        file_of(short(0x7FE00010, b"OW", b"")[:6] + bytes.fromhex("0000 00000000")),
        file_of(
            short(0x7FE00010, b"OB", b"")[:6] + bytes.fromhex("0000 FFFFFFFF FEFFDDE0 00000000"),
            RLELossless,
        ),
    ],
)
def test_what_is_out_of_the_common_is_not_cut(data: bytes) -> None:
    assert cut(data) is None


def test_a_sequence_of_undefined_length_is_one_piece() -> None:
    pieces = cut(file_of(ITEMS + NAME))
    assert pieces is not None
    assert pieces.elements == {0x00081111: ITEMS, 0x00100010: NAME}
    assert [len(item) for item in pieces.dataset([0x00081111])[0x00081111].value] == [1, 1]


@given(st.data())
def test_whatever_the_bytes_are_it_cuts_or_declines(data: st.DataObject) -> None:
    """And what it cuts, pydicom reads as the same elements, or refuses."""
    body = bytearray(ITEMS + NAME + short(0x00280010, b"US", b"\2\0"))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    pieces = cut(file_of(bytes(body[: data.draw(st.integers(0, len(body)))])))
    if pieces is not None:
        assert (
            b"".join(pieces.elements.values())
            == bytes(body)[: sum(map(len, pieces.elements.values()))]
        )
        try:
            dataset = pieces.dataset(list(pieces.elements))
        except Exception:  # pydicom raises whatever the bytes lead it to
            return
        assert list(dataset.keys()) == list(pieces.elements)
