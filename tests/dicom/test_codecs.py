from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from hounsfield.dicom.codecs import decode, pixel_dtype, transfer_syntax_of
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.errors import HounsfieldError, UndecodablePixels
from tests.dicom.test_reading import small


def image(**changes: object) -> Dataset:
    dataset = small()
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_stored_values_are_given_as_they_are() -> None:
    values = np.arange(16, dtype=np.uint16).reshape(1, 4, 4)
    dataset = image(PixelData=values.tobytes(), RescaleSlope=2, RescaleIntercept=-1024)
    np.testing.assert_array_equal(decode(dataset), values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Rows": 46341, "Columns": 46341}, "more than 1024 MiB"),
        ({"Rows": 65535, "Columns": 4000}, "bytes of pixel data are claimed and 32 are there"),
        ({"PixelData": b"\0" * 30}, "32 bytes of pixel data are claimed and 30"),
        ({"PixelData": b""}, "0 are there"),
        ({"NumberOfFrames": 10**7}, "are claimed"),
        ({"BitsAllocated": 12}, "BitsAllocated is 12"),
        ({"BitsStored": 17}, "BitsStored is 17 of 16"),
        ({"Rows": None}, "Rows is missing"),
    ],
)
def test_a_header_that_lies_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UndecodablePixels, match=message):
        decode(image(**changes))


@pytest.mark.parametrize("first", [0, -2048])
def test_a_stream_may_hold_low_bits_whatever_the_header_says(first: int) -> None:
    kind = np.int16 if first < 0 else np.uint16
    values = np.arange(first, first + 4096, 16, dtype=kind).reshape(1, 16, 16)

    def stored(bits: int) -> Dataset:
        """In the high 12 of so many bits; the header says of 16."""
        words = (values << (bits - 12)).tobytes()
        sign = {"PixelRepresentation": int(first < 0), "BitsStored": bits, "HighBit": bits - 1}
        dataset = image(Rows=16, Columns=16, PixelData=words, **sign)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        dataset.BitsStored, dataset.HighBit = 12, 15
        return dataset

    np.testing.assert_array_equal(decode(stored(12)), values)
    with pytest.raises(UndecodablePixels, match="HighBit is 15 of 12 stored bits"):
        decode(stored(16))


def test_no_pixels() -> None:
    dataset = image()
    del dataset.PixelData
    with pytest.raises(UndecodablePixels, match="no pixel data"):
        decode(dataset)


def test_encapsulated_nonsense_is_refused_without_being_quoted() -> None:
    dataset = image(PixelData=b"Quandary^Zelda")
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    with pytest.raises(UndecodablePixels) as caught:
        decode(dataset)
    assert "Quandary" not in str(caught.value)


def test_a_codec_that_panics_is_an_error_like_others() -> None:
    """A literal run of RLE that is longer than the frame: a panic in Rust is no Exception."""
    dataset = image()
    segment = bytes([127, *range(128)]) * 40
    header = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    dataset.PixelData = encapsulate([header + segment + segment])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = RLELossless
    with pytest.raises(UndecodablePixels):
        decode(dataset)


@pytest.mark.data
def test_real_pixels_have_the_shape_and_type_that_the_header_says(real_data: Path) -> None:
    decoded = 0
    for path in find_files(real_data):
        if path.parent.name in ("ct_head_phantom", "mr_fruit_ge", "pt_nema_phantom_1"):
            continue
        try:
            dataset = read_header(path, stop_before_pixels=False)
            values = decode(dataset)
        except HounsfieldError:
            continue
        decoded += 1
        assert values.shape[1:3] == (dataset.Rows, dataset.Columns)
        if not transfer_syntax_of(dataset).is_encapsulated:
            assert values.dtype == pixel_dtype(dataset)
            assert values.dtype.isnative
    assert decoded > 200


@pytest.mark.data
def test_lossless_syntaxes_give_one_image(real_data: Path) -> None:
    for folder, lossy in (("syn_mr1", ("JPLY", "J2KI", "JLSN")), ("enh_mr_emri", ())):
        images = [
            decode(read_header(path, stop_before_pixels=False))
            for path in find_files(real_data / folder)
            if not any(mark in path.name for mark in lossy)
        ]
        assert len(images) > 3
        for other in images[1:]:
            np.testing.assert_array_equal(other, images[0])


@pytest.mark.data
def test_big_endian_equals_little(real_data: Path) -> None:
    path = next((real_data / "syn_bigendian").iterdir())
    dataset = read_header(path, stop_before_pixels=False)
    assert transfer_syntax_of(dataset) == ExplicitVRBigEndian
    assert decode(dataset).dtype == np.int16
