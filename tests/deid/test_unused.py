"""A name drawn in the bits beside the stored values: no cleaner leaves it, no gate passes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from hounsfield.deid import Deidentifier, InstanceRecord, Profile
from hounsfield.deid.study import _CLEARED
from hounsfield.dicom.codecs import decode, decode_words
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.gate import Output, inspect
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.test_encodings import plain

Make = Callable[..., FileDataset]
Array = NDArray[Any]
ROWS, COLUMNS = 40, 160  # of which no text is read: it is not the values that tell
RULE = "bits beside the stored values"
NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def values(signed: bool = False, stored: int = 12) -> Array:
    """One frame of numbers of so many bits, as words of 16."""
    low, high = (-(1 << stored - 1), 1 << stored - 1) if signed else (0, 1 << stored)
    drawn = np.random.default_rng(3).integers(low, high, (ROWS, COLUMNS))
    return drawn.astype(np.int16 if signed else np.uint16)


def drawn(words: Array, bit: int) -> Array:
    """Words with a name in one bit of them."""
    name = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.putText(name, "QUILL", (20, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, 1, 2)
    return (words.view(np.uint16) ^ (name.astype(np.uint16) << bit)).view(words.dtype)


def image(make: Make, words: Array, path: Path, syntax: UID, **facts: Any) -> Path:
    """A file with these words, which have values of 12 bits unless `facts` say else."""
    shape = {"Rows": ROWS, "Columns": COLUMNS, "SamplesPerPixel": 1}
    bits = {"BitsAllocated": 8 * words.itemsize, "BitsStored": 12, "HighBit": 11}
    signed = {"PixelRepresentation": int(words.dtype.kind == "i")}
    kind = {"PhotometricInterpretation": "MONOCHROME2"}
    dataset = make(**{**shape, **bits, **signed, **kind, **facts})
    dataset.PixelData = words.astype(words.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"
    path.parent.mkdir(exist_ok=True)
    if syntax == RLELossless:  # whose encoder wants values of all bits
        whole = {"BitsStored": 16, "HighBit": 15}
        said = {keyword: dataset[keyword].value for keyword in whole}
        dataset.update(whole)
        dataset.compress(syntax, words, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        dataset.update(said)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = words.astype(words.dtype.newbyteorder(">")).tobytes()
    if syntax.is_encapsulated:
        write_dataset(dataset, path)
    else:
        dataset.preamble = bytes(128)
        plain(dataset, path, syntax)
    return path


Cleaned = tuple[InstanceRecord, Path]


@pytest.fixture
def clean(pseudonyms: Pseudonyms, tmp_path: Path) -> Callable[..., list[Cleaned]]:
    def run(*paths: Path, pixels: bool = False) -> list[Cleaned]:
        engine = Deidentifier(Profile.load("research"), pseudonyms, pixels=pixels)
        report = engine.study(paths, tmp_path / "out")
        return [(record, tmp_path / "out" / record.output) for record in report.instances]

    return run


def finds(raw: Path, output: Path) -> bool:
    """Whether the gate says that something is drawn beside the values."""
    report = inspect([Output(raw, output)], [raw], Profile.load("research"), pixels=False)
    return RULE in {finding.rule for finding in report.findings if finding.check == "standard"}


def words_of(path: Path) -> Array:
    return decode_words(read_header(path, stop_before_pixels=False))[0]


def assert_cleared(record: InstanceRecord, source: Path, output: Path) -> None:
    before = decode(read_header(source, stop_before_pixels=False))
    after = read_header(output, stop_before_pixels=False)
    assert np.array_equal(decode(after), before), "the values stay"
    assert np.array_equal(words_of(output), before[0].view(words_of(output).dtype))
    assert record.pixels.reason.endswith(_CLEARED) and record.pixels.changed
    assert record.pixels.transfer_syntax_uid == after.file_meta.TransferSyntaxUID
    assert finds(source, source) and not finds(source, output)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless])
def test_a_name_beside_the_values_goes(
    syntax: UID, signed: bool, make_dataset: Make, tmp_path: Path, clean: Any
) -> None:
    words = drawn(values(signed), 14)
    source = image(make_dataset, words, tmp_path / "in" / "a.dcm", syntax)
    assert np.array_equal(words_of(source), words.view(np.uint16))
    ((record, output),) = clean(source)
    assert_cleared(record, source, output)
    after = read_header(output).file_meta.TransferSyntaxUID
    assert after == (RLELossless if syntax.is_encapsulated else syntax)


@pytest.mark.data
@pytest.mark.parametrize("signed", [False, True])
def test_in_a_lossless_jpeg(signed: bool, real_data: Path, tmp_path: Path, clean: Any) -> None:
    """A real one, whose header says that the upper bits are not of the values."""
    (real, *_) = sorted((real_data / "ct_two_studies").rglob("*.dcm"))
    dataset = read_header(real, stop_before_pixels=False)
    assert dataset.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 10, 9, int(signed)
    source = tmp_path / "in" / "a.dcm"
    write_dataset(dataset, source)
    ((record, output),) = clean(source)
    assert_cleared(record, source, output)


def test_what_cannot_be_compressed_again_is_written_as_it_is(
    make_dataset: Make, tmp_path: Path, clean: Any
) -> None:
    words, path = drawn(values(stored=8), 14), tmp_path / "in" / "a.dcm"
    source = image(make_dataset, words, path, RLELossless, BitsStored=8, HighBit=7)
    ((record, output),) = clean(source)
    assert record.pixels.transfer_syntax_uid == ExplicitVRLittleEndian
    assert_cleared(record, source, output)


@pytest.mark.parametrize("bit", [12, 15])
@pytest.mark.parametrize("pixels", [False, True])
def test_in_one_slice_of_many(
    bit: int, pixels: bool, make_dataset: Make, tmp_path: Path, clean: Any
) -> None:
    """What is copied from slice to slice is looked at all the same."""
    paths = []
    for number in range(6):
        words = drawn(values(), bit) if number in (0, 4) else values()
        path = tmp_path / "in" / f"{number}.dcm"
        uid = f"1.2.3.4.5.{number}"
        paths.append(image(make_dataset, words, path, ExplicitVRLittleEndian, SOPInstanceUID=uid))
    done = clean(*paths, pixels=pixels)
    assert [record.pixels.changed for record, _ in done] == [n in (0, 4) for n in range(6)]
    for path, (record, output) in zip(paths, done, strict=True):
        if record.pixels.changed:
            assert_cleared(record, path, output)
        before, after = (read_header(p, stop_before_pixels=False) for p in (path, output))
        assert record.pixels.changed or after.PixelData == before.PixelData


@pytest.mark.parametrize("bits", [8, 32])
def test_words_of_other_sizes(bits: int, make_dataset: Make, tmp_path: Path, clean: Any) -> None:
    words = values(stored=7).astype(f"u{bits // 8}")
    words[5, 5] |= 1 << bits - 1
    path = tmp_path / "in" / "a.dcm"
    source = image(make_dataset, words, path, ExplicitVRLittleEndian, BitsStored=7, HighBit=6)
    ((record, output),) = clean(source)
    assert_cleared(record, source, output)


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless])
@pytest.mark.parametrize("kind", ["unsigned", "its sign repeated", "its sign not repeated"])
def test_where_nothing_is_drawn_every_byte_stays(
    syntax: UID, kind: str, make_dataset: Make, tmp_path: Path, clean: Any
) -> None:
    words = values(kind != "unsigned")
    if kind == "its sign not repeated":
        words &= 0xFFF
    source = image(make_dataset, words, tmp_path / "in" / "a.dcm", syntax)
    ((record, output),) = clean(source)
    before, after = (read_header(p, stop_before_pixels=False) for p in (source, output))
    assert after.PixelData == before.PixelData
    assert not record.pixels.changed and not finds(source, output)


def test_a_name_in_the_sign_that_some_words_repeat(
    make_dataset: Make, tmp_path: Path, clean: Any
) -> None:
    words = np.full((ROWS, COLUMNS), -1000, np.int16)
    words[drawn(words, 1) != words] &= 0xFFF
    source = image(make_dataset, words, tmp_path / "in" / "a.dcm", ExplicitVRLittleEndian)
    ((record, output),) = clean(source)
    assert_cleared(record, source, output)


@pytest.mark.parametrize(("bit", "is_written"), [(0, False), (3, False), (15, False), (4, True)])
def test_values_above_the_lowest_bits(
    bit: int, is_written: bool, make_dataset: Make, tmp_path: Path, clean: Any
) -> None:
    """HighBit 15: no decoder here gives their upper bits, so none may be set (PS3.5 8.1.1)."""
    path = tmp_path / "in" / "a.dcm"
    words = drawn(np.zeros((ROWS, COLUMNS), np.uint16), bit)
    source = image(make_dataset, words, path, ExplicitVRLittleEndian, HighBit=15)
    ((record, _),) = clean(source)
    assert bool(record.output) == is_written
    assert record.output or record.code == "undecodable-pixels"
    assert finds(source, source) != is_written
