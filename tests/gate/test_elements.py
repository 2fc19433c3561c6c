"""The second reader: sees what pydicom sees, on everything; and gives up on what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from hounsfield.dicom.reading import find_files
from hounsfield.errors import UnreadableFile
from hounsfield.gate.charsets import decoded
from hounsfield.gate.elements import PIXELS, PREAMBLE, read_elements
from tests.quality.conftest import ct_slice, save

#: What pydicom mends, and the second reader must not.
BROKEN = (
    "bad_orthanc/2026-05-06-Deeply-Nested-Sequence.dcm",
    "bad_pydicom/MR_truncated.dcm",
    "bad_pydicom/emri_small_jpeg_2k_lossless_too_short.dcm",
    "bad_pydicom/no_meta.dcm",
    "bad_pydicom/rtplan_truncated.dcm",
)


def paths_of(dataset: Dataset, around: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    for element in dataset:
        if element.VR != "SQ":
            yield (*around, int(element.tag))
            continue
        for item in element.value:
            yield from paths_of(item, (*around, int(element.tag)))


@pytest.mark.data
def test_it_sees_every_element_that_pydicom_sees(real_data: Path) -> None:
    """It may see more: what stands in an element of unknown VR."""
    counted = 0
    for path in find_files(real_data):
        if path.suffix in (".csv", ".md") or str(path.relative_to(real_data)) in BROKEN:
            continue
        theirs = dcmread(path, force=True)
        expected = {*paths_of(theirs.file_meta), *paths_of(theirs)}
        seen = {element.path for element in read_elements(path)}
        missed = {each for each in expected - seen if each[-1] not in PIXELS}
        assert not missed, path.name
        counted += 1
    assert counted > 500


@pytest.mark.data
@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_rules_is_refused(real_data: Path, name: str) -> None:
    with pytest.raises(UnreadableFile):
        list(read_elements(real_data / name))


def test_pixels_are_not_read(tmp_path: Path) -> None:
    elements = list(read_elements(save(ct_slice(0), tmp_path / "one.dcm")))
    assert elements[0].path == (PREAMBLE,)
    assert elements[-1].tag == 0x7FE00010 and len(elements[-1].value) == 1


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_end_in_elements_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + content)
    with suppress(UnreadableFile):
        list(read_elements(path))


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        (b"ISO_IR 100", "latin-1", "Zoë"),
        (b"ISO_IR 192", "utf-8", "Zoë"),
        (b"GB18030", "gb18030", "王小东"),
        (b"\\ISO 2022 IR 87", "iso2022_jp", "Yamada 山田 x"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 87", "iso2022_jp", "山田"),
    ],
)
def test_texts_are_decoded(charset: bytes, codec: str, text: str) -> None:
    assert text in list(decoded(text.encode(codec), charset))


def test_korean_escapes() -> None:
    value = b"Hong=\x1b$)C" + "길동".encode("euc_kr")
    assert "Hong=길동" in list(decoded(value, b"\\ISO 2022 IR 149"))


@given(st.binary(max_size=60), st.sampled_from([b"", b"ISO_IR 13", b"\\ISO 2022 IR 159", b"x"]))
def test_any_bytes_decode_to_something(value: bytes, charset: bytes) -> None:
    assert list(decoded(value, charset))
