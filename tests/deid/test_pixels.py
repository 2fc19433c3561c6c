"""Burned-in text, on drawn pictures: every encoding, markers kept, clean pixels untouched."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from hounsfield.deid import Deidentifier, Profile, deidentify_folder
from hounsfield.deid.pixels import (
    Box,
    StoredPixels,
    clean_pixels,
    find_text,
    how_to_look,
    mask_known,
    read_pixels,
    scan_series,
)
from hounsfield.deid.pixels.clean import gaps, text_boxes, ultrasound_regions
from hounsfield.deid.pixels.codes import find_codes
from hounsfield.deid.pixels.markers import is_marker, is_telling
from hounsfield.deid.pixels.ocr import TextBox
from hounsfield.deid.pixels.second_look import Marker, look_at
from hounsfield.deid.pixels.series import _Extremes
from hounsfield.deid.pixels.stored import _crowds, _extremes_of_scenes, to_8_bit
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import HounsfieldError
from hounsfield.gate.pictures import _without_padding
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.burned_in import MODALITIES, draw

Make = Callable[..., FileDataset]
NAME = "OTTOLINE QUILL"
ROWS, COLUMNS = 192, 320


def drawn(text: str, *, at: tuple[int, int] = (12, 40), frames: int = 1) -> np.ndarray:
    """Speckle with white text; uint8, axes (frame, row, column)."""
    noise = np.random.default_rng(3).integers(20, 60, (frames, ROWS, COLUMNS), np.uint8)
    for frame in noise:
        frame[:] = cv2.GaussianBlur(frame, (5, 5), 0)
        cv2.putText(frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 250, 2, cv2.LINE_AA)
    return noise


def picture(make: Make, array: np.ndarray, **values: Any) -> FileDataset:
    """A dataset with `array` (frame, row, column[, sample]) as its pixels."""
    bits = array.dtype.itemsize * 8
    colour = array.ndim == 4
    base: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1",
        "Modality": "US",
        "Rows": array.shape[1],
        "Columns": array.shape[2],
        "NumberOfFrames": array.shape[0],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }
    if colour:
        base["PlanarConfiguration"] = 0
    dataset = make(**{**base, **values})
    dataset.PixelData = array.tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def stored(dataset: FileDataset, syntax: str, path: Path) -> FileDataset:
    """The dataset as it reads back from a file in a transfer syntax."""
    if syntax in (RLELossless, JPEG2000Lossless):
        dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        write_dataset(dataset, path)
        return read_header(path, stop_before_pixels=False)
    big, implicit = syntax == ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    if big:
        array = np.frombuffer(dataset.PixelData, f"u{dataset.BitsAllocated // 8}")
        dataset.PixelData = array.byteswap().tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, dataset, implicit_vr=implicit, little_endian=not big, force_encoding=True)
    return read_header(path, stop_before_pixels=False)


def grey_palette(words: str) -> dict[str, Any]:
    """256 greys of 8 bits, in the upper half of words of this kind."""
    entries = (np.arange(256) << 8).astype(words).tobytes()
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = entries
    return palette


def read_words(dataset: FileDataset) -> str:
    pictures = StoredPixels.decode(dataset).pictures()
    return " ".join(text.text for one in pictures for text in find_text(one))


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


def test_text_of_one_slice_is_found_in_the_projection(make_dataset: Make) -> None:
    plain = np.clip(drawn("", frames=6).astype(np.int32) * 20 - 1000, 0, 4000).astype(np.uint16)
    plain[3][drawn(NAME)[0] > 200] = 4000
    slices = {
        number: picture(make_dataset, plain[number : number + 1], Modality="CT")
        for number in range(6)
    }
    assert all(how_to_look(one) == "projection" for one in slices.values())
    refused: dict[int, HounsfieldError] = {}
    found = scan_series(slices, slices.__getitem__, refused)
    assert set(found.boxes) == {3} and not found.left
    assert not refused


@pytest.mark.parametrize(("rounds", "doubted"), [(1, False), (3, False), (4, True)])
def test_what_is_left_in_a_projection_is_masked_in_every_slice(
    rounds: int, doubted: bool, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: Box = (1, 1, 9, 9)
    left = iter([[(number, 20, number + 5, 30)] for number in range(rounds)])
    monkeypatch.setattr(_Extremes, "boxes", lambda _: [shown])
    monkeypatch.setattr("hounsfield.deid.pixels.series.text_boxes", lambda _: [])
    monkeypatch.setattr("hounsfield.deid.pixels.series._left_over", lambda *_: next(left, []))
    slices = {number: picture(make_dataset, drawn(""), Modality="CT") for number in range(2)}
    found, doubts = scan_series(slices, slices.__getitem__, {})
    assert found[0] == found[1]
    masked = {shown, *((number, 20, number + 5, 30) for number in range(min(rounds, 3)))}
    assert masked == set(found[0])
    assert doubts == ({key: [(3, 20, 8, 30)] for key in range(2)} if doubted else {})


@pytest.mark.parametrize("palette", [False, True])
def test_a_page_between_a_white_one_and_a_black_one(
    palette: bool, make_dataset: Make, tmp_path: Path
) -> None:
    """Whose extremes are white and black, whatever stands on the others."""
    pages = np.concatenate([drawn(NAME), 255 - drawn(NAME), np.full_like(drawn(""), 255)])
    pages = np.concatenate([pages, np.zeros_like(pages[:1])])
    values = grey_palette("<u2") if palette else {}
    for number in range(4):
        page = picture(make_dataset, pages[number : number + 1], Modality="NM", **values)
        write_dataset(page, tmp_path / str(number))
    found = scan_series(range(4), lambda number: read_pixels(tmp_path / str(number)), {})
    assert set(found.boxes) == {0, 1}


@pytest.mark.parametrize("colour", [False, True])
def test_text_in_the_middle_of_a_film(colour: bool, make_dataset: Make) -> None:
    """In no frame that is read by itself, and between a dark and a bright scene."""
    written = np.where(drawn(NAME) > 150, 140, 100).astype(np.uint8)
    frames = [np.zeros_like(written)] * 9 + [written] * 2 + [np.full_like(written, 255)] * 9
    film = np.concatenate(frames)
    film = np.repeat(film[..., None], 3, axis=3) if colour else film
    dataset = picture(make_dataset, film)
    assert clean_pixels(dataset).changed
    assert not (dataset.pixel_array == 140).any()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_text_shows_in_the_extremes_of_a_scene(kind: type) -> None:
    """A bright bar moves over the film; what stands still under it stays in the same scene."""
    film = np.full((30, 64, 64), 10, kind)
    film[:, 40:60, 10:50] = 20
    assert not list(_extremes_of_scenes(film)), "all of it is one scene, which is read anyway"
    top = int(np.iinfo(kind).max)
    for number, frame in enumerate(film):
        frame[:, 2 * number : 2 * number + 2] = top // 2 * (number // 10)
    film[7] = top
    scenes = list(_extremes_of_scenes(film))
    assert 3 <= len(scenes) < len(film)
    assert sum(bool((scene == top).all()) for scene in scenes) == 1


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


@pytest.mark.parametrize("text", ["L", "R", "AP", "RMLO", "PA ERECT", "(L)", "R LAT"])
def test_markers(text: str) -> None:
    assert is_marker(text)
    assert not is_telling(text)


@pytest.mark.parametrize("text", ["LAURA", "R. Paulson", "12-04-1950", "AP 4711"])
def test_no_markers(text: str) -> None:
    assert is_telling(text)


@pytest.mark.parametrize(
    ("first", "score", "again", "kept"),
    [
        ("LC", 0.9, ["LCC"], False),  # a marker that the edge of a tile cut
        ("LC", 0.9, ["LC"], True),
        ("LC", 0.9, [], True),  # silence does not disprove what was read surely
        ("10", 0.85, [], False),  # a bone; of two signs the reader is sure later
        ("王伟", 0.85, [], True),  # which can be a whole name
        ("LC", 0.9, ["LCC", "Quill"], True),  # a name beside a marker
        ("ZE", 0.8, ["PORTABLE", "PORTAB"], False),  # the end of one, and a piece of it
        ("ZE", 0.8, ["PORTABLE", "PORTER"], True),
        ("11111", 0.9, [], False),  # screws
        ("11111", 0.9, ["11l11"], False),
        ("11111", 0.9, ["11711"], True),
        ("111111", 0.9, [], True),  # as long as a number
        ("Quillon", 0.7, ["RMLO"], True),
    ],
)
def test_a_second_look_at_a_short_reading(
    first: str, score: float, again: list[str], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([[TextBox((40, 20, 90, 40), first, score)]])

    def read(image: np.ndarray) -> list[TextBox]:
        whole = (0, 0, image.shape[1], image.shape[0])
        return next(looks, [TextBox(whole, text, 0.9) for text in again])

    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", read)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: first)
    assert bool(look_at(drawn("")[0]).telling) == kept


@pytest.mark.parametrize(
    ("first", "line", "kept"),
    [
        ("PORTABL", "PORTABLE", False),  # its end was cut off
        ("PORTABL", "PORTABL", True),
        ("ERE", "ERECT", False),
        ("ERE", "ERECT Quill", True),  # somebody stands beside it
        ("RMEO", "RMLO.", False),
        ("PAy", "PA", False),
        ("Wright", "Wright", True),
        ("Portal", "L", True),  # another text than was read at first
    ],
)
def test_a_marker_is_known_by_its_line(
    first: str, line: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TextBox((40, 20, 90, 40), first, 0.9)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", lambda _: [text])
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: line)
    assert bool(look_at(drawn("")[0]).telling) == kept


@pytest.mark.parametrize(
    ("later", "at", "kept"),
    [
        ("LML", (40, 20, 88, 40), False),  # the same pixels read worse when a name beside is gone
        ("LMI", (44, 21, 90, 40), False),
        ("LMLO Quill", (40, 20, 90, 40), True),
        ("LMLOK", (40, 20, 90, 40), True),  # more than was known
        ("Kim", (40, 20, 90, 40), True),
        ("LMI", (90, 20, 140, 40), True),
    ],
)
def test_a_marker_that_is_known_stays_one(
    later: str, at: Box, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: later)
    found = TextBox((40, 20, 90, 40), "LMLO", 0.97)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", lambda _: [found])
    telling, markers = look_at(drawn("")[0])
    assert (telling, markers) == ([], [Marker(found.box, "LMLO")])
    text = TextBox(at, later, 0.97)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", lambda _: [text])
    assert bool(look_at(drawn("")[0], markers).telling) == kept


@pytest.mark.parametrize(
    ("region", "kept"), [((0, 0, 100, 30), False), ((0, 100, 319, 191), True), (None, False)]
)
def test_around_the_regions_of_an_ultrasound_nothing_is_doubted(
    region: Box | None, kept: bool, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that no size confirms: inside it could be anatomy, outside it is the machine's."""
    dataset = picture(make_dataset, drawn(""), Modality="US")
    if region:
        item = Dataset()
        item.RegionLocationMinX0, item.RegionLocationMinY0 = region[:2]
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = region[2:]
        dataset.SequenceOfUltrasoundRegions = [item]
    reading = [TextBox((40, 10, 60, 20), "17", 0.6)]
    monkeypatch.setattr(
        "hounsfield.deid.pixels.second_look.find_text",
        lambda seen: reading if seen.shape == (192, 320) else [],
    )
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: "")
    found = text_boxes(StoredPixels.decode(dataset), body=ultrasound_regions(dataset))
    assert bool(found) == kept


@pytest.mark.parametrize(("first", "height"), [("111", 20), ("14111", 60), ("1111T", 20)])
@pytest.mark.parametrize(
    ("readings", "kept"), [(["311", "", ""], False), (["311", "311", ""], True)]
)
def test_what_bones_could_read_as_is_text_where_most_looks_read_it(
    first: str, height: int, readings: list[str], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side by side they read as 111, and as 311 at one of three sizes."""
    seen = iter([first, *readings])

    def read(image: np.ndarray) -> list[TextBox]:
        text, is_first = next(seen), image.shape == (192, 320)
        box = (40, 20, 190, 20 + height) if is_first else (0, 0, image.shape[1], image.shape[0])
        return [TextBox(box, text, 0.75)] if text else []

    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", read)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: "")
    assert bool(look_at(drawn("")[0]).telling) == kept


@pytest.mark.parametrize(
    ("text", "score", "height", "kept"),
    [
        ("MM", 0.6, 60, False),
        ("711", 0.88, 60, False),
        ("711", 0.96, 60, True),
        ("Quill", 0.6, 60, True),
        ("MM", 0.6, 20, True),
    ],
)
def test_few_letters_as_large_as_limbs(
    text: str, score: float, height: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every size reads them alike."""
    picture = np.zeros((300, 300), np.uint8)
    monkeypatch.setattr(
        "hounsfield.deid.pixels.second_look.find_text",
        lambda seen: [
            TextBox((9, 9, 109, 9 + height), text, score)
            if seen is picture
            else TextBox((0, 0, seen.shape[1], seen.shape[0]), text, score)
        ],
    )
    assert bool(look_at(picture).telling) == kept


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


def test_what_another_picture_showed_is_not_judged_again(
    make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[np.ndarray] = []
    text = TextBox((40, 20, 90, 40), "Quill", 0.6)
    monkeypatch.setattr(
        "hounsfield.deid.pixels.second_look.find_text", lambda seen: looks.append(seen) or [text]
    )
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: "")
    cine = picture(make_dataset, drawn(NAME, frames=3))
    assert text_boxes(StoredPixels.decode(cine)) == [(36, 16, 94, 44)]
    assert sum(seen.shape == (ROWS, COLUMNS) for seen in looks) == 5
    assert len(looks) == 8


def test_a_dim_picture_is_windowed_too() -> None:
    bright, dim = drawn(NAME)[0], drawn(NAME)[0] // 3
    assert len(list(to_8_bit(bright))) == 1
    as_it_is, windowed = to_8_bit(dim)
    assert np.array_equal(as_it_is, dim)
    assert windowed.max() == 255
    (inverted, _) = to_8_bit(dim, inverted=True)
    assert np.array_equal(inverted, 255 - dim)


PADDINGS = [
    (-32768, 0.3, 1000),
    (-32768, 0.3, 300),
    (-32768, 0.02, 300),
    (65535, 0.3, 1000),
    (65535, 0.7, 300),
]


def padded(padding: int, share: float, contrast: int) -> np.ndarray:
    """A name over speckle, and padding below it; axes (frame, row, column)."""
    bright = drawn(NAME) > 200
    array = drawn("") + bright * np.int32(contrast)
    array[:, -int(share * ROWS) :] = padding
    return array.astype(np.int16 if padding < 0 else np.uint16)


@pytest.mark.parametrize(("padding", "share", "contrast"), PADDINGS)
def test_padding_drowns_no_text(
    padding: int, share: float, contrast: int, make_dataset: Make
) -> None:
    array = padded(padding, share, contrast)
    values = {"PixelRepresentation": int(padding < 0), "Modality": "DX"}
    dataset = picture(make_dataset, array, **values)
    record = clean_pixels(dataset)
    assert record.changed
    assert "QUILL" not in read_words(dataset).upper()
    assert (StoredPixels.decode(dataset).array == padding).sum() > 0.9 * (array == padding).sum()


def test_padding_drowns_no_text_in_a_stack(make_dataset: Make) -> None:
    values = {"PixelRepresentation": 1, "Modality": "CT"}
    slices = [picture(make_dataset, padded(*PADDINGS[0]), **values) for _ in range(9)]
    assert set(scan_series(range(9), slices.__getitem__, {}).boxes) == set(range(9))


def test_padding_at_both_ends_is_left_out_of_the_window() -> None:
    plane = padded(*PADDINGS[0]).astype(np.int64)[0]
    plane[-9:] = 32767
    assert any(text.text for one in list(to_8_bit(plane))[1:] for text in find_text(one))


@pytest.mark.parametrize("kind", MODALITIES)
def test_pictures_without_padding_are_windowed_once(kind: str) -> None:
    """On drawn ones all thresholds were measured."""
    case = draw(31_415, kind, 1)
    arrays = [StoredPixels.decode(one).array[0] for one in case.slices]
    stack = np.stack(arrays)
    for plane in (*arrays, stack.max(axis=0), stack.min(axis=0)):
        assert not list(_crowds(plane.astype(np.float32)))
        assert not _without_padding(plane.astype(np.float32)).size


def test_on_a_page_of_text_nothing_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dose report has a hundred short readings, and each second look takes seconds."""
    looks: list[np.ndarray] = []
    numbers = [TextBox((4, 9 * n, 24, 9 * n + 8), "11", 0.6) for n in range(20)]
    monkeypatch.setattr(
        "hounsfield.deid.pixels.second_look.find_text", lambda seen: looks.append(seen) or numbers
    )
    assert look_at(drawn("")[0]).telling == numbers
    assert len(looks) == 1


def test_text_is_read_upright_and_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turned reading counts unless its place reads more surely upright."""
    readings = iter(
        [
            [TextBox((20, 30, 60, 50), "AP", 0.9), TextBox((200, 30, 240, 50), "L", 0.6)],
            [
                TextBox((30, 320 - 60, 50, 320 - 20), "PV", 0.8),
                TextBox((30, 320 - 240, 50, 320 - 200), "Ng", 0.7),
                TextBox((100, 320 - 12, 190, 320 - 2), "Quill", 0.8),
            ],
        ]
    )
    monkeypatch.setattr("hounsfield.deid.pixels.ocr._read", lambda _: next(readings))
    found = {text.text: text.box for text in find_text(drawn("")[0])}
    assert found.keys() == {"AP", "L", "Ng", "Quill"}
    assert found["Ng"] == (200, 30, 240, 50)
    assert found["Quill"] == (2, 100, 12, 190)


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


def test_a_name_on_a_stack_of_strips_is_found(make_dataset: Make) -> None:
    planes = [drawn(NAME if number == 4 else "")[0, 10:50] for number in range(9)]
    stack = [picture(make_dataset, plane[None], Modality="CT") for plane in planes]
    assert scan_series(range(9), stack.__getitem__, {}).boxes[4]


def thumbnail(text: str, rows: int, columns: int) -> np.ndarray:
    """As broad as it is; uint8, axes (frame, row, column)."""
    large = np.full((4 * rows, 4 * columns), 20, np.uint8)
    for scale in (1.0, 3.6 * columns / cv2.getTextSize(text, 0, 1.0, 8)[0][0]):
        width, height = cv2.getTextSize(text, 0, scale, 8)[0]
    at = (4 * columns - width) // 2, (4 * rows + height) // 2
    cv2.putText(large, text, at, 0, scale, 250, 5, cv2.LINE_AA)
    return cv2.resize(large, (columns, rows), interpolation=cv2.INTER_AREA)[None]


@pytest.mark.parametrize(
    ("text", "rows", "columns"), [("KIM", 18, 18), ("KIM", 24, 24), ("MAYR", 12, 32)]
)
def test_a_name_in_a_thumbnail_is_masked(
    text: str, rows: int, columns: int, make_dataset: Make
) -> None:
    dataset = picture(make_dataset, thumbnail(text, rows, columns))
    record = clean_pixels(dataset)
    assert record.changed and record.looked == "each"
    assert not any(is_telling(text.text) for text in find_text(dataset.pixel_array))


@pytest.mark.parametrize("modality", ["OT", "CT"])
def test_what_is_too_small_to_be_read_is_not_called_clean(
    modality: str, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """By itself, and as slices of a stack of which the later ones are as the first."""
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in paths:
        small = picture(make_dataset, np.zeros((1, 16, 17), np.uint16), Modality=modality)
        small.SOPInstanceUID = f"1.2.3.{path.stem}"
        write_dataset(small, path)
    report = Deidentifier(Profile.load("research"), pseudonyms).study(paths, tmp_path / "out")
    assert len(report.written) == 3
    for record in report.written:
        told = record.pixels.looked, record.pixels.reason
        assert told == ("none", "too small to bear text")
        cleaned = read_header(tmp_path / "out" / record.output)
        codes = {item.CodeValue for item in cleaned.DeidentificationMethodCodeSequence}
        assert "BurnedInAnnotation" not in cleaned and "113101" not in codes


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


def test_reading_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from hounsfield.deid.pixels.ocr import _engine

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    _engine.cache_clear()
    assert any("QUILL" in text.text for text in find_text(drawn(NAME)[0]))


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
