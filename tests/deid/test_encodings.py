"""Masks in every encoding of pixels: laid where they belong, all else as it was, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.pixels import pixel_array
from pydicom.pixels.utils import pack_bits
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from hounsfield.deid import Deidentifier, Profile
from hounsfield.deid.pixels import Box, mask_known
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.gate.pictures import pictures
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]
Array = NDArray[Any]
ROWS, COLUMNS = 62, 98  # frames of 1 bit a pixel end within a byte
BOX: Box = (30, 12, 81, 35)


def grey(frames: int = 1, dtype: str = "u1") -> Array:
    """Slopes and noise; axes (frame, row, column)."""
    noise = np.random.default_rng(5).integers(0, 40, (frames, ROWS, COLUMNS))
    return (noise + 2 * np.arange(COLUMNS) + np.arange(ROWS)[:, None]).clip(0, 250).astype(dtype)


def colour(frames: int = 1) -> Array:
    """Axes (frame, row, column, sample)."""
    one = grey(frames)
    return np.stack([one, 255 - one, one // 2], axis=-1)


def described(make: Make, array: Array, content: bytes, **values: Any) -> FileDataset:
    """An image of `array` that holds `content`."""
    bits, samples = array.dtype.itemsize * 8, 3 if array.ndim == 4 else 1
    facts: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "Modality": "OT",
        "NumberOfFrames": len(array),
        "Rows": ROWS,
        "Columns": COLUMNS,
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": "RGB" if samples == 3 else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(array.dtype.kind == "i"),
        **({"PlanarConfiguration": 0} if samples == 3 else {}),
    }
    dataset = make(**{**facts, **values})
    dataset.PixelData = content
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def plain(dataset: FileDataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dcmwrite(
        path,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )


def compressed(syntax: UID, dtype: str = "u2", **options: Any) -> Callable[[Make, Path], None]:
    def write(make: Make, path: Path) -> None:
        array = grey(3, dtype)
        dataset = described(make, array, array.tobytes())
        dataset.compress(syntax, generate_instance_uid=False, **options)
        write_dataset(dataset, path)

    return write


def big_endian(make: Make, path: Path) -> None:
    array = grey(2, "i2") - 100
    plain(described(make, array, array.astype(">i2").tobytes()), path, ExplicitVRBigEndian)


def frames(make: Make, path: Path) -> None:
    array = grey(4, "u2")
    plain(described(make, array, array.tobytes()), path, ImplicitVRLittleEndian)


def planar(make: Make, path: Path) -> None:
    array = colour(2)
    by_plane = np.moveaxis(array, 3, 1).tobytes()
    plain(described(make, array, by_plane, PlanarConfiguration=1), path)


def bits(make: Make, path: Path) -> None:
    array = (grey(3) > 100).astype(np.uint8)
    narrow = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    plain(described(make, array, pack_bits(array, pad=True), **narrow), path)


def ybr_422(make: Make, path: Path) -> None:
    """Two luminances, then the blue and the red that they share (PS3.3 C.7.6.3.1.2)."""
    array = colour(2)
    pairs = array.reshape(2, ROWS, COLUMNS // 2, 2, 3)
    shared = pairs[..., 0, 1:]
    content = np.concatenate([pairs[..., 0], shared], axis=-1).tobytes()
    plain(described(make, array, content, PhotometricInterpretation="YBR_FULL_422"), path)


def ybr_jpeg(make: Make, path: Path) -> None:
    array, encoded = colour(2), []
    for frame in array:
        Image.fromarray(frame).save(file := BytesIO(), "JPEG", quality=80, subsampling="4:2:2")
        encoded.append(file.getvalue())
    content = encapsulate(encoded)
    dataset = described(make, array, content, PhotometricInterpretation="YBR_FULL_422")
    dataset["PixelData"].is_undefined_length = True
    plain(dataset, path, JPEGBaseline8Bit)


@dataclass(frozen=True)
class Encoding:
    """How pixels come, and how they go when something was masked.

    Attributes
    ----------
    lossy
        LossyImageCompressionMethod of what may have lost something; empty where nothing was.
    """

    write: Callable[[Make, Path], None]
    becomes: UID
    lossy: str = ""


ENCODINGS = {
    "big endian, signed": Encoding(big_endian, ExplicitVRBigEndian),
    "frames": Encoding(frames, ImplicitVRLittleEndian),
    "colour by plane": Encoding(planar, ExplicitVRLittleEndian),
    "1 bit": Encoding(bits, ExplicitVRLittleEndian),
    "YBR_FULL_422": Encoding(ybr_422, ExplicitVRLittleEndian),
    "YBR_FULL_422 in JPEG": Encoding(ybr_jpeg, RLELossless, "ISO_10918_1"),
    "JPEG-LS": Encoding(compressed(JPEGLSLossless), RLELossless),
    "JPEG-LS, nearly lossless": Encoding(
        compressed(JPEGLSNearLossless, jls_error=3), RLELossless, "ISO_14495_1"
    ),
    "JPEG 2000": Encoding(compressed(JPEG2000, j2k_cr=[8]), RLELossless, "ISO_15444_1"),
}


#: What says that pixels were lossy compressed, one way after the other.
TWICE = {
    "LossyImageCompression": "01",
    "LossyImageCompressionRatio": [9, 4],
    "LossyImageCompressionMethod": ["ISO_15444_1", "ISO_10918_1"],
}


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return ENCODINGS[request.param]


@pytest.fixture
def source(encoding: Encoding, make_dataset: Make, tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.dcm"
    path.parent.mkdir()
    encoding.write(make_dataset, path)
    return path


def shown(path: Path) -> Array:
    """Values as they are shown, axes (frame, row, column[, RGB])."""
    dataset = read_header(path, stop_before_pixels=False)
    array = pixel_array(dataset)
    return array.reshape(int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns, -1)


def masked(source: Path, out: Path, box: Box = BOX) -> FileDataset:
    """What a mask makes of a file, checked against the file."""
    dataset = read_header(source, stop_before_pixels=False)
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        dataset.setdefault(keyword, "1.2.840.10008.5.1.4.1.1.7")  # one of the real files has none
    record = mask_known(dataset, [box], "by a recipe")
    write_dataset(dataset, out)
    after = read_header(out, stop_before_pixels=False)
    assert record.transfer_syntax_uid == after.file_meta.TransferSyntaxUID
    x0, y0, x1, y1 = box
    inside = np.zeros((dataset.Rows, dataset.Columns), bool)
    inside[y0:y1, x0:x1] = True
    was, now = shown(source), shown(out)
    assert (now[:, inside] == now[:, inside][:, :1]).all(), "one value in the mask of a frame"
    assert (was[:, inside] != now[:, inside]).any()
    assert np.array_equal(was[:, ~inside], now[:, ~inside])
    return after


def test_a_mask_covers_its_place_and_nothing_else(
    source: Path, encoding: Encoding, tmp_path: Path
) -> None:
    after = masked(source, tmp_path / "out.dcm")
    assert after.file_meta.TransferSyntaxUID == encoding.becomes
    if encoding.lossy:
        assert after.LossyImageCompression == "01"
        assert after.LossyImageCompressionMethod == encoding.lossy
        assert after.LossyImageCompressionRatio > 1
    else:
        assert "LossyImageCompression" not in after


@pytest.mark.parametrize("stated", [TWICE, {"LossyImageCompression": "00"}], ids=["lossy", "not"])
def test_what_a_header_says_of_its_losses_stays(
    stated: dict[str, Any], make_dataset: Make, tmp_path: Path
) -> None:
    path = tmp_path / "in.dcm"
    compressed(JPEG2000, j2k_cr=[8])(lambda **facts: make_dataset(**facts, **stated), path)
    after = masked(path, tmp_path / "out.dcm")
    assert {e.keyword: e.value for e in after if e.keyword.startswith("Lossy")} == stated


def test_the_gate_sees_every_frame(source: Path) -> None:
    names = [name.split(",")[0] for name, _ in pictures([source])]
    assert {"brightest of all", "darkest of all"} <= set(names)


#: Real file → its syntax and colours. With a mask, what is compressed becomes RLE.
REAL = {
    "cr_hand_j2k/RG3_J2KR.dcm": (JPEG2000Lossless, "MONOCHROME1"),
    "enh_ct_perfusion/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": (
        JPEGExtended12Bit,
        "MONOCHROME2",
    ),
    "enh_ct_perfusion/CT0012.fragmented_no_bot_jpeg_lossless.57.dcm": (JPEGLossless, "MONOCHROME2"),
    "syn_deflated/image_dfl.dcm": (DeflatedExplicitVRLittleEndian, "MONOCHROME2"),
    "syn_htj2k/HTJ2KLossless_08_RGB.dcm": (HTJ2KLossless, "RGB"),
    "syn_jls_rgb/JLSL_RGB_ILV1.dcm": (JPEGLSLossless, "RGB"),
    "syn_jls_rgb/JLSN_RGB_ILV0.dcm": (JPEGLSNearLossless, "RGB"),
    "syn_nm1/NM1_JPLL.dcm": (JPEGLosslessSV1, "MONOCHROME2"),
    "us_atl_burned/Issue19.dcm": (ExplicitVRLittleEndian, "YBR_FULL"),
    "us_echo_10f/jpeg-ls-Palette.dcm": (JPEGLSLossless, "PALETTE COLOR"),
    "us_mindray_burned/2023-04-21-RLEPlanarConfigurationYBR_FULL.dcm": (RLELossless, "YBR_FULL"),
    "us_palette_ob/OBXXXX1A_expb.dcm": (ExplicitVRBigEndian, "PALETTE COLOR"),
    "us_us1/US1_J2KI.dcm": (JPEG2000, "YBR_ICT"),
    "us_us1/US1_J2KR.dcm": (JPEG2000Lossless, "YBR_RCT"),
}
LOSSY = (JPEG2000, JPEGLSNearLossless, JPEGExtended12Bit)


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_real_files_of_other_syntaxes_and_colours(
    name: str, real_data: Path, tmp_path: Path
) -> None:
    source, (syntax, _) = real_data / name, REAL[name]
    before = read_header(source)
    assert (before.file_meta.TransferSyntaxUID, before.PhotometricInterpretation) == REAL[name]
    columns, rows = before.Columns, before.Rows
    box = (columns // 3, rows // 3, 2 * columns // 3, 2 * rows // 3)
    after = masked(source, tmp_path / "out.dcm", box)
    becomes = RLELossless if syntax.is_encapsulated else syntax
    assert after.file_meta.TransferSyntaxUID == becomes
    was_lossy = syntax in LOSSY or before.get("LossyImageCompression") == "01"
    assert (after.get("LossyImageCompression") == "01") == was_lossy


def test_pixels_without_text_keep_their_bytes(
    source: Path, pseudonyms: Pseudonyms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", lambda *_, **__: [])
    engine = Deidentifier(Profile.load("research"), pseudonyms)
    (record,) = engine.study([source], tmp_path / "out").written
    before = read_header(source, stop_before_pixels=False)
    after = read_header(tmp_path / "out" / record.output, stop_before_pixels=False)
    assert not record.pixels.changed
    assert after.PixelData == before.PixelData
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert after.BurnedInAnnotation == "NO"
    assert "LossyImageCompression" not in after
