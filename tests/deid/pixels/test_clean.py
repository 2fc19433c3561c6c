"""What is burned in goes, in every encoding; markers and clean pixels stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from hounsfield.deid import Deidentifier, Profile, deidentify_folder
from hounsfield.deid.pixels import Box, StoredPixels, clean_pixels, find_text, mask_known
from hounsfield.deid.pixels.clean import gaps
from hounsfield.deid.pixels.codes import find_codes
from hounsfield.deid.pixels.markers import is_telling
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.pixels.drawing import (
    COLUMNS,
    NAME,
    ROWS,
    Make,
    drawn,
    grey_palette,
    picture,
    read_words,
    stored,
)


@pytest.mark.parametrize(
    ("syntax", "kind"),
    [
        (ExplicitVRLittleEndian, "gray8"),
        (ImplicitVRLittleEndian, "gray16"),
        (ExplicitVRBigEndian, "gray16"),
        (DeflatedExplicitVRLittleEndian, "inverted"),
        (ExplicitVRLittleEndian, "planar"),
        (RLELossless, "rgb"),
        (JPEG2000Lossless, "frames"),
        (ExplicitVRBigEndian, "palette"),
    ],
)
def test_a_name_goes_and_the_rest_stays(
    syntax: str, kind: str, make_dataset: Make, tmp_path: Path
) -> None:
    array = drawn(NAME, frames=3 if kind == "frames" else 1)
    values: dict[str, Any] = {}
    if kind == "gray16":
        array = array.astype(np.uint16) * 200
    elif kind == "inverted":
        array, values = 255 - array, {"PhotometricInterpretation": "MONOCHROME1"}
    elif kind == "palette":
        values = grey_palette(">u2")
    elif kind in ("rgb", "planar"):
        array = np.repeat(array[..., None], 3, axis=3)
    dataset = picture(make_dataset, array, **values)
    if kind == "planar":
        dataset.PixelData = np.moveaxis(array, 3, 1).tobytes()
        dataset.PlanarConfiguration = 1
    dataset = stored(dataset, syntax, tmp_path / "in.dcm")
    record = clean_pixels(dataset)
    write_dataset(dataset, tmp_path / "out.dcm")
    cleaned = read_header(tmp_path / "out.dcm", stop_before_pixels=False)
    assert record.changed
    assert "QUILL" not in read_words(cleaned).upper()
    after = StoredPixels.decode(cleaned).array
    outside = np.ones((ROWS, COLUMNS), bool)
    for x0, y0, x1, y1 in record.boxes:
        outside[y0:y1, x0:x1] = False
    assert np.array_equal(after[:, outside], array.reshape(after.shape)[:, outside])
    assert not outside.all()


@pytest.mark.parametrize("frames", [1, 2])
def test_what_rle_has_no_words_for_becomes_uncompressed(
    frames: int, make_dataset: Make, tmp_path: Path
) -> None:
    """8 bits in words of 16."""
    array = drawn(NAME, frames=frames).astype(np.uint16)
    dataset = picture(make_dataset, array, BitsStored=8, HighBit=7)
    dataset = stored(dataset, JPEG2000Lossless, tmp_path / "in.dcm")
    record = clean_pixels(dataset)
    write_dataset(dataset, tmp_path / "out.dcm")
    cleaned = read_header(tmp_path / "out.dcm", stop_before_pixels=False)
    assert record.transfer_syntax_uid == ExplicitVRLittleEndian
    assert cleaned.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (cleaned.BitsAllocated, cleaned.BitsStored) == (16, 8)
    assert "QUILL" not in read_words(cleaned).upper()
    after = StoredPixels.decode(cleaned).array
    outside = np.ones((ROWS, COLUMNS), bool)
    for x0, y0, x1, y1 in record.boxes:
        outside[y0:y1, x0:x1] = False
    assert np.array_equal(after[:, outside], array[:, outside])


def test_clean_pixels_keep_their_bytes_and_markers_stay(make_dataset: Make) -> None:
    array = drawn("L", at=(280, 60))
    dataset = picture(make_dataset, array, Modality="DX")
    before = dataset.PixelData
    record = clean_pixels(dataset)
    assert not record.changed
    assert dataset.PixelData is before


def test_a_line_that_a_known_region_cuts_is_masked_whole(make_dataset: Make) -> None:
    array = drawn(NAME)
    letters = array[0] > 150
    top, bottom = np.flatnonzero(letters.any(axis=1))[[0, -1]]
    cut = int(top + 0.7 * (bottom - top))  # what is left below, nobody reads
    record = clean_pixels(picture(make_dataset, array), [(0, 0, COLUMNS, cut)])
    for x0, y0, x1, y1 in record.boxes:
        letters[y0:y1, x0:x1] = False
    assert not letters.any()


def test_masks_take_the_colour_around_them(make_dataset: Make) -> None:
    array = np.full((1, ROWS, COLUMNS), 90, np.uint8)
    array[0, 20:30, 20:60] = 255
    pixels = StoredPixels(array, picture(make_dataset, array))
    assert pixels.mask([(18, 18, 62, 32)])
    assert (pixels.array == 90).all()
    assert not pixels.mask([(18, 18, 62, 32)])


def test_what_is_told_of_a_mask_lies_in_the_picture(make_dataset: Make) -> None:
    dataset = picture(make_dataset, drawn(NAME))
    beyond = (COLUMNS + 8, 0, COLUMNS + 9, 9)
    record = mask_known(dataset, [(300, 180, 900, 900), beyond], "each")
    assert record.boxes == ((300, 180, COLUMNS, ROWS),)


def test_palette_indices_are_not_mixed(make_dataset: Make) -> None:
    array = np.tile(np.array([3, 3, 9], np.uint8), (1, ROWS, COLUMNS // 3 + 1))[:, :, :COLUMNS]
    array = np.ascontiguousarray(array)
    dataset = picture(make_dataset, array, PhotometricInterpretation="PALETTE COLOR")
    pixels = StoredPixels(array, dataset)
    pixels.mask([(40, 40, 80, 80)])
    assert set(np.unique(pixels.array)) == {3, 9}
    assert (pixels.array[0, 40:80, 40:80] == 3).all()


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_qr_code_goes_as_text_does(make_dataset: Make, samples: int, inverted: bool) -> None:
    said = "MRN 740913; Quillfeather^Ottoline; 1931-04-07"
    code = cv2.resize(
        cv2.QRCodeEncoder.create().encode(said), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST
    )
    array = drawn("")
    array = cv2.resize(array[0], (480, 360))[None]
    rows, columns = code.shape
    array[0, 40 : 40 + rows, 60 : 60 + columns] = 255 - code if inverted else code
    shown = array if samples == 1 else np.repeat(array[..., None], 3, axis=-1)
    assert [found.text for found in find_codes(shown[0])] == [said]
    dataset = picture(make_dataset, shown)
    record = clean_pixels(dataset)
    assert len(record.boxes) == 1
    assert find_codes(StoredPixels.decode(dataset).array[0]) == []
    assert find_codes(drawn("Quillfeather")[0]) == []


@pytest.mark.parametrize(
    ("lower", "gap"),
    [
        ((30, 24, 90, 42), (10, 18, 100, 24)),  # 6 pixels between lines of 10: cut
        ((30, 40, 90, 58), None),  # room for a line, which the next look can read
        ((30, 14, 90, 42), None),  # they touch
        ((120, 24, 190, 42), None),  # side by side
        ((30, 24, 44, 90), None),  # one lies
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_left_between_two_lines_is_masked(
    lower: Box, gap: Box | None, turned: bool
) -> None:
    boxes = [(10, 0, 100, 18), lower]
    if turned:
        boxes = [(y0, x0, y1, x1) for x0, y0, x1, y1 in boxes]
    found = [(y0, x0, y1, x1) for x0, y0, x1, y1 in gaps(boxes)] if turned else gaps(boxes)
    assert found == ([gap] if gap else [])


@pytest.mark.parametrize("text", ["OHM", "1988", "Ng", "A17"])
def test_short_names_and_numbers_are_masked(text: str, make_dataset: Make) -> None:
    dataset = picture(make_dataset, drawn(text, at=(120, 90)))
    assert clean_pixels(dataset).changed


def test_a_marker_on_the_edge_of_a_tile_stays(make_dataset: Make) -> None:
    array = np.random.default_rng(4).integers(30, 50, (1, 1400, 1400), np.uint8)
    cv2.putText(array[0], "LCC", (965, 700), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 250, 4, cv2.LINE_AA)
    assert any(is_telling(text.text) for text in find_text(array[0]))  # what makes it hard
    assert not clean_pixels(picture(make_dataset, array, Modality="MG")).changed


@pytest.mark.parametrize("quarters", [0, 1])
def test_a_name_on_a_strip_is_masked(quarters: int, make_dataset: Make) -> None:
    """A name is legible in few rows, or in few columns where it lies."""
    strip = np.rot90(drawn(NAME)[:, 10:50], quarters, axes=(1, 2))
    dataset = picture(make_dataset, strip)
    assert clean_pixels(dataset).changed
    assert not any(is_telling(text.text) for text in find_text(dataset.pixel_array))


@pytest.mark.parametrize(("ground", "ink"), [(0, 2), (100, 104), (90, 120)])
def test_a_name_in_few_greys_is_masked(ground: int, ink: int, make_dataset: Make) -> None:
    """A viewer's window shows it as black on white."""
    faint = np.where(drawn(NAME) > 128, ink, ground).astype(np.uint8)
    dataset = picture(make_dataset, faint)
    assert clean_pixels(dataset).changed
    assert not (dataset.pixel_array == ink).any()


def test_faint_noise_is_no_text(make_dataset: Make) -> None:
    noise = np.random.default_rng(5).integers(90, 110, (1, ROWS, COLUMNS)).astype(np.uint8)
    assert not clean_pixels(picture(make_dataset, noise)).changed


def test_a_row_of_strokes_is_no_text(make_dataset: Make) -> None:
    array = np.full((1, 800, 800), 90, np.uint8)
    for x in range(300, 421, 30):
        cv2.line(array[0], (x, 260), (x + 3, 320), 255, 6)
    array[0] = cv2.GaussianBlur(array[0], (0, 0), 1)
    assert any(is_telling(text.text) for text in find_text(array[0]))  # what makes it hard
    assert not clean_pixels(picture(make_dataset, array, Modality="DX")).changed


def test_text_that_cannot_be_masked_is_told(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoredPixels, "mask", lambda *_: False)
    write_dataset(picture(make_dataset, drawn(NAME)), tmp_path / "in" / "a.dcm")
    deidentifier = Deidentifier(Profile.load("strict"), pseudonyms)
    report = deidentifier.study([tmp_path / "in" / "a.dcm"], tmp_path / "out")
    (told,) = report.to_dict()["left"]
    assert told == {"output": report.left[0].output, "boxes": report.left[0].pixels.left}
    assert told["boxes"]
    folder = deidentify_folder(
        tmp_path / "in", tmp_path / "clean", profile=deidentifier.profile, pseudonyms=pseudonyms
    )
    assert folder.files[0]["code"] == "in-doubt"
    assert not list(tmp_path.glob("clean/**/*.dcm")), "without a gate nobody has looked"
