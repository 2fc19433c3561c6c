"""What is decided on bytes alone is decided as on values."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import FileDataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.pixels.stored import _PIXEL_ATTRIBUTES, _cut_out
from hounsfield.deid.values import strings
from hounsfield.dicom.encode import encode
from hounsfield.dicom.reading import find_files, read_header, read_lazily
from hounsfield.dicom.writing import file_header
from hounsfield.errors import HounsfieldError, UnreadableFile
from hounsfield.gate.elements import read_elements
from hounsfield.pseudonyms import Pseudonyms

NAME = b"Quillfeather^Ottoline"
CT = "1.2.840.10008.5.1.4.1.1.2"
HEAD = {
    0x00080016: ("UI", CT.encode() + b"\0"),
    0x00080018: ("UI", b"1.2.3.44"),
    0x00080060: ("CS", b"CT"),
    0x00100010: ("PN", NAME + b" "),
    0x00100020: ("LO", b"MRN-740913"),
    0x0020000D: ("UI", b"1.2.3\0"),
    0x0020000E: ("UI", b"1.2.3.4\0"),
}
SEQUENCE_NAME, SLICE_THICKNESS = 0x00180024, 0x00180050


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """One element in explicit VR, little endian, just as it is given."""
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    is_long = vr in EXPLICIT_VR_LENGTH_32
    return (
        head + struct.pack("<HI" if is_long else "<H", *((0, size) if is_long else (size,))) + value
    )


def file_of(path: Path, elements: dict[int, tuple[str, bytes]]) -> Path:
    """A CT of a made-up patient with these elements."""
    body = b"".join(element(tag, *what) for tag, what in sorted((HEAD | elements).items()))
    path.write_bytes(file_header(CT, "1.2.3.44", "1.2.840.10008.1.2.1") + body)
    return path


def cleaned(path: Path, *, raw: bool, profile: str = "research") -> FileDataset:
    """What the engine makes of a file; with every element parsed first, where not raw."""
    engine = Deidentifier(Profile.load(profile), Pseudonyms(bytes(range(32)), project="tests"))
    known = KnownIdentifiers.gather([read_header(path)])
    dataset = read_lazily(path)
    if not raw:
        for _ in dataset.iterall():
            pass
    engine.header(dataset, known)
    return dataset


def values(dataset: FileDataset) -> dict[int, tuple[str, str]]:
    """VR and value of each element, without what only fills a value to an even length."""
    return {
        int(element.tag): (element.VR, "" if element.is_empty else _text(element))
        for element in dataset.iterall()
        if element.VR != "SQ"
    }


def _text(element: DataElement) -> str:
    if isinstance(element.value, bytes):
        return repr(element.value.rstrip(b"\0"))
    # pydicom splits what is set for a UR at its backslashes, and what it reads not.
    return "\\".join(strings(element)).strip().strip("\0 ")


TAGS = st.sampled_from(
    [
        *(SEQUENCE_NAME, SLICE_THICKNESS, 0x00080020, 0x0008002A, 0x00080030, 0x00080070),
        *(0x00080080, 0x00081030, 0x00081150, 0x00081155, 0x00101010, 0x00104000, 0x0016002B),
        *(0x00180015, 0x00181030, 0x00200011, 0x00200013, 0x00204000, 0x00280010, 0x00282000),
        *(0x00080005, 0x00340007, 0x0040A730, 0x00400275, 0x00190010, 0x00191023, 0x60003000),
    ]
)
VRS = st.sampled_from("AE AS CS DA DS DT FD IS LO LT OB PN SH ST TM UI UN UR US UT".split())  # noqa: SIM905
ODD_ONES = (
    *(b"", b" ", b"\0\0", b"1.5 ", b"1.5", b"ABC\0", b"ABC ", b"20240101", b"2024.01.02"),
    *(b"20240101-20240201", b"095Y", b"012M", b"101112.5", NAME, NAME + b" ", b"GEMS_ACQU_01"),
    *(b"MRN-740913", b"Quillfeather", b"a\\Ottoline\\b", b" 1.2.840.10008.1.1"),
    *(b"1.2.3.4\\1.2.9", b"CT chest of Mr Quillfeather\r\n", b"ISO_IR 100", b"ISO_IR 192"),
    *(b"\x05\0", b"\xff\xfe", b"M\xfcller", b"\x1b(B", b"1\\2\\3 ", b"1e5 "),
    b"1.2.840.10008.Ottoline",
)
VALUES = st.one_of(st.sampled_from(ODD_ONES), st.binary(max_size=12))


@example({0x00180024: ("UR", b"a\\Ottoline\\b")})
@example({0x00080020: ("LO", b"\0\xc0")})
@example({0x00080020: ("SH", b"\xbc\xc0")})
@example({0x00282000: ("FD", b" ")})
@given(st.dictionaries(TAGS, st.tuples(VRS, VALUES), max_size=6))
def test_bytes_and_values_meet_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, elements: dict[int, tuple[str, bytes]]
) -> None:
    path = file_of(tmp_path_factory.getbasetemp() / "raw.dcm", elements)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = values(cleaned(path, raw=False))
        except HounsfieldError:
            return
        found = cleaned(path, raw=True)
        assert values(found) == expected
        again = path.with_name("again.dcm")
        try:
            body = encode(found, implicit_vr=False)
        except Exception:  # What cannot be written is refused.
            return
        uid = str(found.SOPInstanceUID)
        again.write_bytes(file_header(CT, uid, "1.2.840.10008.1.2.1") + body)
        assert values(read_header(again)) == expected
        assert list(read_elements(again)), "the second reader reads it, too"


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (SLICE_THICKNESS, "DS", b"Quillfeather"),
        (0x00200013, "IS", b"Quillfeather"),
        (0x00081030, "DS", b"Quillfeather"),
        (SEQUENCE_NAME, "PN", NAME + b" "),
        (SEQUENCE_NAME, "SH", b"OTTOLINE QUILLFEATHER "),
        (0x00101010, "LO", b"095Y"),
        (0x00081150, "UI", b"1.2.840.10008.Quillfeather"),
        (0x00191023, "DS", b"Quillfeather"),
    ],
)
@pytest.mark.parametrize("name_as", ["PN", "LO", "UN"])
def test_no_name_stays_under_another_vr(
    tmp_path: Path, tag: int, vr: str, value: bytes, name_as: str
) -> None:
    elements = {tag: (vr, value), 0x00100010: (name_as, NAME + b" ")}
    elements[0x00190010] = ("LO", b"GEMS_ACQU_01")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = cleaned(file_of(tmp_path / "a.dcm", elements), raw=True)
        left = encode(dataset, implicit_vr=False).upper()
    assert b"QUILLFEATHER" not in left
    assert b"095Y" not in left


@pytest.mark.parametrize("name", [b"utf_7", b"hz", b"rot_13", b"utf_16", b"cp037 "])
def test_a_character_set_that_dicom_does_not_have_is_refused(tmp_path: Path, name: bytes) -> None:
    path = file_of(tmp_path / "a.dcm", {0x00080005: ("CS", name), SEQUENCE_NAME: ("SH", b"AB")})
    with warnings.catch_warnings(), pytest.raises(UnreadableFile):
        warnings.simplefilter("ignore")
        read_header(path)


def test_one_file_of_a_study_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    good = file_of(tmp_path / "good.dcm", {})
    bad = file_of(tmp_path / "bad.dcm", {0x00080005: ("CS", b"rot_13")})
    engine = Deidentifier(Profile.load("strict"), Pseudonyms(bytes(32)), pixels=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = engine.study([good, bad], tmp_path / "out")
    assert [record.source for record in report.refused] == [1]


def test_what_is_copied_is_of_even_length(tmp_path: Path) -> None:
    path = file_of(
        tmp_path / "a.dcm", {SLICE_THICKNESS: ("DS", b"1.5"), 0x00282000: ("OB", b"abc")}
    )
    content = io.BytesIO(encode(cleaned(path, raw=True), implicit_vr=False))
    assert len(content.getvalue()) % 2 == 0


@pytest.mark.data
def test_pixels_that_are_cut_out_are_what_pydicom_reads(real_data: Path) -> None:
    counted = 0
    for path in find_files(real_data):
        try:
            found = _cut_out(path)
        except Exception:
            continue  # pydicom is asked then
        if found is not None:
            read = dcmread(path, force=True, specific_tags=[*_PIXEL_ATTRIBUTES, "PixelData"])
            assert [one for one in read if one.keyword != "SpecificCharacterSet"] == [*found]
            assert found.file_meta.TransferSyntaxUID == read.file_meta.TransferSyntaxUID
            counted += 1
    assert counted > 500
