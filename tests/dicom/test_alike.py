"""Headers by what differs: always what pydicom reads, whatever the files are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from hounsfield.dicom.alike import Alike, CodedPixels, FileHeader, HeaderReader, shared
from hounsfield.dicom.attributes import Encoder
from hounsfield.dicom.codecs import decode, transfer_syntax_of
from hounsfield.dicom.frames import CodedFrames, frames_of, read_frames
from hounsfield.dicom.reading import find_files, read_header, read_lazily
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import HounsfieldError, UndecodablePixels, UnreadableFile
from tests.volume.series import ct_slice, write_series

KEYWORDS = (
    "SOPInstanceUID",
    "SOPClassUID",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "NumberOfFrames",
    "RescaleSlope",
    "EchoTime",
    "AcquisitionTime",
    "PixelPaddingValue",
    "NoSuchKeyword",
)
CODED = (RLELossless, JPEGLSLossless)
UNSIGNED = {"PixelRepresentation": 0, "PixelPaddingValue": 0}


def agree(path: Path, read: FileHeader) -> int:
    """With a whole read, which is slow and sure. Says how many frames were read without it."""
    whole = read_lazily(path)
    for keyword in KEYWORDS:
        assert (keyword in read.values) == (keyword in whole)
        ours, theirs = read.values.get(keyword), whole.get(keyword)
        assert plain(ours) == plain(theirs), keyword
        # Whatever was made of this file's like before it.
        assert shared(value_of, read.values, keyword) == plain(theirs), keyword
    if read.instance is not None:
        assert read.instance == Encoder().instance(read_lazily(path))
    frames, count = None, read.values.get("NumberOfFrames") or 1
    if read.pixels is not None and isinstance(count, int):
        frames = frames_of(read.values, read.pixels, count)
    if frames is None or not frames.is_direct:
        return 0
    direct = 0
    for frame, plane in enumerate(decode(whole)):
        values = np.empty_like(plane)
        try:
            read_frames(path, [(frames, frame)], [values])
        except UndecodablePixels:
            assert isinstance(frames, CodedFrames)  # pydicom is asked then
            continue
        np.testing.assert_array_equal(values, plane)
        direct += 1
    return direct


def value_of(header: Any, keyword: str) -> object:
    return plain(header.get(keyword))


def plain(value: object) -> object:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float):
        return float(value)
    return [plain(part) for part in value]  # type: ignore[attr-defined]


def test_slices_are_alike(tmp_path: Path) -> None:
    reader = HeaderReader()
    for path in write_series(tmp_path, [ct_slice(index) for index in range(5)]):
        read = reader.read(path)
        agree(path, read)
    assert isinstance(read.values, Alike)
    assert read.pixels is not None


def test_what_slices_agree_in_is_made_once(tmp_path: Path) -> None:
    reader, made = HeaderReader(), Counter[str]()

    def rows_of(header: Any) -> int:
        made["rows"] += 1
        return int(header.get("Rows"))

    def place_of(header: Any) -> tuple[int, list[float]]:
        made["place"] += 1
        return shared(rows_of, header), [float(v) for v in header.get("ImagePositionPatient")]

    def fails(header: Any) -> None:
        made["fails"] += 1
        raise ValueError(header.get("Rows"))

    paths = write_series(tmp_path, [ct_slice(index) for index in range(5)])
    headers = [reader.read(path).values for path in paths]
    places = [shared(place_of, header) for header in headers]
    assert places == [place_of(read_header(path)) for path in paths]
    for header in headers:
        with pytest.raises(ValueError, match="6"):
            shared(fails, header)
    # The first file is a dataset, and what was made of it is made for none but it.
    assert made == {"rows": 2 + len(paths), "place": 2 * len(paths), "fails": len(paths)}


def test_what_slices_share_is_compared_and_not_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the lengths of what they do not share."""
    datasets = [ct_slice(index) for index in range(6)]
    for index, dataset in enumerate(datasets):
        dataset.ImageComments = "x" * 14 * index
        dataset.SOPInstanceUID = f"2.25.{10**index}"
    first, *others = write_series(tmp_path, datasets)
    reader = HeaderReader()
    reader.read(first)
    monkeypatch.setattr("hounsfield.dicom.alike._elements", lambda *_: None)
    for path in others:
        read = reader.read(path)
        agree(path, read)
        assert isinstance(read.values, Alike)


def change(dataset: Dataset, **values: object) -> Dataset:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    "other",
    [
        change(ct_slice(1), SpecificCharacterSet="ISO_IR 192", PatientName="Żółw"),
        change(ct_slice(1), PixelRepresentation=0, PixelPaddingValue=40000),
        change(ct_slice(1), PatientComments="of another kind"),
        change(ct_slice(1), ImageType=["DERIVED", "PRIMARY"]),
        change(ct_slice(1), RescaleSlope="", AcquisitionTime=""),
        change(ct_slice(1), ImageComments="ASCII, two  spaces "),
        change(ct_slice(1), WindowCenter=[40, -600.5], InstanceNumber=None),
    ],
)
def test_others_are_read_as_they_are(tmp_path: Path, other: Dataset) -> None:
    reader = HeaderReader()
    for path in write_series(tmp_path, [ct_slice(0), other, ct_slice(2), other]):
        agree(path, reader.read(path))


def test_private_and_nested_elements(tmp_path: Path) -> None:
    datasets = []
    for index in range(4):
        dataset, item = ct_slice(index), Dataset()
        dataset.add_new(0x00091002, "OB", bytes([index] * 6))
        dataset.add_new(0x00091003, "UN", bytes([index] * 4))
        dataset.add_new(0x00091004, "FL", index / 3)
        item.ReferencedSOPInstanceUID = f"2.25.{1 + index // 2}"
        dataset.ReferencedImageSequence = [item]
        dataset["ReferencedImageSequence"].is_undefined_length = index % 2 == 1
        datasets.append(dataset)
    reader = HeaderReader()
    for path in write_series(tmp_path, datasets):
        agree(path, reader.read(path))


def test_other_encodings_are_left_to_pydicom(tmp_path: Path) -> None:
    reader = HeaderReader()
    implicit, compressed = ct_slice(1), ct_slice(2)
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    compressed.compress(RLELossless, generate_instance_uid=False)
    for number, dataset in enumerate((ct_slice(0), implicit, compressed)):
        path = tmp_path / f"{number}.dcm"
        write_dataset(dataset, path)
        read = reader.read(path)
        agree(path, read)
        assert (read.pixels is not None) == (number != 1)
        assert (read.instance is not None) == (number != 1)


def test_what_lies_behind_the_pixels_is_not_lost(tmp_path: Path) -> None:
    dataset = ct_slice(0)
    dataset.DataSetTrailingPadding = bytes(10)
    (path,) = write_series(tmp_path, [dataset])
    read = HeaderReader().read(path)
    assert (read.pixels, read.instance) == (None, None)
    dataset = ct_slice(0)
    dataset.compress(RLELossless, generate_instance_uid=False)
    signature = Dataset()
    signature.DigitalSignatureUID = "2.25.1"
    dataset.DigitalSignaturesSequence = [signature]
    dataset["DigitalSignaturesSequence"].is_undefined_length = True
    (path,) = write_series(tmp_path, [dataset])
    assert HeaderReader().read(path).instance is None


def test_unused_bits_are_no_part_of_a_value(tmp_path: Path) -> None:
    dataset = change(ct_slice(0), BitsStored=12, HighBit=11)
    stored = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
    dataset.PixelData = (stored | 0x5000).astype("<u2").tobytes()
    (path,) = write_series(tmp_path, [dataset])
    agree(path, HeaderReader().read(path))


def test_a_value_that_ends_with_a_line_is_left_to_pydicom(tmp_path: Path) -> None:
    """A fuzzer's find: pydicom strips a UID of it."""
    paths = write_series(tmp_path, [ct_slice(index) for index in range(2)])
    content = paths[1].read_bytes()
    spoilt = content.replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.2\n", 1)
    assert spoilt != content
    paths[1].write_bytes(spoilt)
    reader = HeaderReader()
    for path in paths:
        agree(path, reader.read(path))


@pytest.mark.parametrize("syntax", CODED)
@pytest.mark.parametrize("values", [{}, UNSIGNED, {**UNSIGNED, "BitsStored": 12, "HighBit": 11}])
def test_compressed_frames(tmp_path: Path, syntax: UID, values: dict[str, int]) -> None:
    dataset = change(ct_slice(0, shape=(64, 48)), **values)
    stored = np.frombuffer(dataset.PixelData, "<u2") & (2**dataset.BitsStored - 1)
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset.compress(syntax, generate_instance_uid=False)
    (path,) = write_series(tmp_path, [dataset])
    assert agree(path, HeaderReader().read(path)) == 1


def test_fewer_bits_with_a_sign_are_left_to_pydicom(tmp_path: Path) -> None:
    """The stream says 12 bits, and its header 16 with a sign."""
    dataset = change(ct_slice(0, shape=(64, 48)), **UNSIGNED, BitsStored=12, HighBit=11)
    values = np.arange(64 * 48, dtype=np.uint16) | 0x800  # negative, as 12 bits
    dataset.PixelData = values.tobytes()
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    change(dataset, PixelRepresentation=1, BitsStored=16, HighBit=15, PixelPaddingValue=0)
    (path,) = write_series(tmp_path, [dataset])
    assert agree(path, HeaderReader().read(path)) == 0


def test_a_file_without_its_prefix_is_alike_no_other(tmp_path: Path) -> None:
    first, other = write_series(tmp_path, [ct_slice(0), ct_slice(1)])
    content = other.read_bytes()
    other.write_bytes(content[:128] + b"XXXX" + content[132:])
    reader = HeaderReader()
    reader.read(first)
    with pytest.raises(UnreadableFile):
        reader.read(other)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoilt_frame_is_read_as_pydicom_reads_it(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever its bytes: what decodes them is no Python."""
    syntax = data.draw(st.sampled_from(CODED))
    dataset = change(ct_slice(0, shape=(64, 48)), **UNSIGNED)
    dataset.compress(syntax, generate_instance_uid=False)
    (path,) = write_series(tmp_path, [dataset])
    read = HeaderReader().read(path)
    assert isinstance(read.pixels, CodedPixels)
    ((start, length),) = read.pixels.fragments
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 64) | st.integers(0, length - 1))
        content[start + min(place, length - 1)] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    frames = frames_of(read.values, read.pixels, 1)
    assert frames is not None
    values = np.empty((dataset.Rows, dataset.Columns), np.uint16)
    try:
        read_frames(path, [(frames, 0)], [values])
    except UndecodablePixels:
        return
    np.testing.assert_array_equal(values, decode(read_lazily(path))[0])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_spoilt_byte_is_read_as_pydicom_reads_it(tmp_path: Path, data: st.DataObject) -> None:
    paths = write_series(tmp_path, [ct_slice(index) for index in range(2)])
    reader = HeaderReader()
    reader.read(paths[0])
    content = bytearray(paths[1].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(132, len(content) - 61))] = data.draw(st.integers(0, 255))
    paths[1].write_bytes(content)
    try:
        read_header(paths[1])
        expected = Encoder().instance(read_lazily(paths[1], stop_before_pixels=True))
    except HounsfieldError:
        with pytest.raises(HounsfieldError):
            reader.read(paths[1])
        return
    read = reader.read(paths[1])
    if read.instance is not None:
        assert read.instance == expected


@pytest.mark.data
def test_every_real_file_is_read_as_pydicom_reads_it(real_data: Path) -> None:
    fast, direct = 0, Counter[str]()
    for folder in sorted(path for path in real_data.iterdir() if path.is_dir()):
        reader = HeaderReader()
        for path in find_files(folder):
            try:
                read = reader.read(path)
                whole = read_lazily(path)
            except UnreadableFile:
                continue
            direct[transfer_syntax_of(whole)] += agree(path, read)
            fast += isinstance(read.values, Alike)
    assert fast > 340
    assert {syntax for syntax, frames in direct.items() if frames} >= {
        ExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
    }
