"""The gate reads the output's pixels: text that is left is found, where it is."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundMultiFrameImageStorage

from hounsfield.deid import Profile
from hounsfield.deid.pixels import TextBox, how_to_look
from hounsfield.dicom.reading import find_files
from hounsfield.errors import HounsfieldError
from hounsfield.gate import GateReport, Output, Region, inspect, render
from hounsfield.gate.elements import read_elements
from hounsfield.gate.pictures import Headers, grouped
from tests.quality.conftest import CANARIES, ct_slice, save
from tests.stages.received import screenshot

NAME = CANARIES[0]


def looked_at(output: Dataset, folder: Path, raw: Dataset | None = None) -> GateReport:
    """Only the pixels count here: the header was never cleaned."""
    first = save(raw or output, folder / "raw.dcm")
    second = save(output, folder / "output.dcm")
    return inspect([Output(first, second)], [first], Profile.load("research"))


def pixel_findings(report: GateReport) -> list[str]:
    return [finding.rule for finding in report.findings if finding.check == "pixels"]


def film_of_scenes(dark: int, written: int, bright: int) -> Dataset:
    """So many frames each; the name stands in the second scene alone."""
    film = screenshot("")
    text = np.frombuffer(screenshot(NAME).PixelData, np.uint8).reshape(240, 480)
    page = np.where(text > 100, 140, 100).astype(np.uint8)
    empty, full = np.zeros_like(page), np.full_like(page, 255)
    frames = [empty] * dark + [page] * written + [full] * bright
    film.SOPClassUID, film.Modality = UltrasoundMultiFrameImageStorage, "US"
    film.NumberOfFrames = len(frames)
    film.PixelData = np.stack(frames).tobytes()
    return film


def test_a_name_that_is_left(tmp_path: Path) -> None:
    report = looked_at(screenshot(f"{NAME} F"), tmp_path)
    assert pixel_findings(report) == ["text left: person"]
    (region,) = report.regions
    x0, y0, x1, y1 = region.box
    assert x0 < 80 and x1 > 200 and 80 < y0 < y1 < 160


def test_a_name_on_a_strip_that_is_left(tmp_path: Path) -> None:
    """A name is legible in few rows."""
    strip = screenshot(NAME)
    strip.PixelData = strip.pixel_array[85:129].tobytes()
    strip.Rows = 44
    assert pixel_findings(looked_at(strip, tmp_path)) == ["text left: person"]


def test_a_name_in_a_thumbnail_that_is_left(tmp_path: Path) -> None:
    large = np.zeros((80, 112), np.uint8)
    cv2.putText(large, "KIM", (8, 56), cv2.FONT_HERSHEY_SIMPLEX, 1.7, 250, 5, cv2.LINE_AA)
    dataset = screenshot("")
    dataset.Rows, dataset.Columns = 20, 28
    small = cv2.resize(large, (28, 20), interpolation=cv2.INTER_AREA)
    dataset.PixelData = small.tobytes()
    assert pixel_findings(looked_at(dataset, tmp_path)) == ["text left"]


def test_a_name_in_few_greys_that_is_left(tmp_path: Path) -> None:
    """A viewer's window shows it as black on white."""
    faint = screenshot(NAME)
    faint.PixelData = (faint.pixel_array // 50 + 90).tobytes()
    assert pixel_findings(looked_at(faint, tmp_path)) == ["text left: person"]


@pytest.mark.parametrize("claimed", ["SEG", "RTDOSE", "RWV", "M3D"])
def test_a_picture_that_claims_to_be_none(claimed: str, tmp_path: Path) -> None:
    dataset = screenshot(f"{NAME} F")
    dataset.Modality = claimed
    assert pixel_findings(looked_at(dataset, tmp_path)) == ["text left: person"]


def test_text_that_names_nobody_known(tmp_path: Path) -> None:
    assert pixel_findings(looked_at(screenshot("SOMEBODY ELSE"), tmp_path)) == ["text left"]


def test_a_qr_code_that_is_left(tmp_path: Path) -> None:
    code = cv2.QRCodeEncoder.create().encode(f"MRN 1; {NAME}; 1947-08-23")
    large = cv2.resize(code, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    dataset = screenshot("")
    array = dataset.pixel_array.copy()
    rows, columns = large.shape
    array[:rows, :columns] = large
    dataset.PixelData = array.tobytes()
    report = looked_at(dataset, tmp_path)
    assert pixel_findings(report) == ["text left: date, person"]
    (region,) = report.regions
    assert region.box[2] - region.box[0] > columns // 2


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_name_that_runs_up_or_down(tmp_path: Path, quarters: int) -> None:
    dataset = screenshot(f"{NAME} F")
    array = np.frombuffer(dataset.PixelData, np.uint8).reshape(dataset.Rows, dataset.Columns)
    turned = np.ascontiguousarray(np.rot90(array, quarters))
    dataset.Rows, dataset.Columns = turned.shape
    dataset.PixelData = turned.tobytes()
    report = looked_at(dataset, tmp_path)
    assert "text left: person" in pixel_findings(report)
    assert all(box[2] - box[0] < box[3] - box[1] for box in (r.box for r in report.regions))


@pytest.mark.parametrize("text", ["L", "R  AP", ""])
def test_markers_and_nothing(tmp_path: Path, text: str) -> None:
    report = looked_at(screenshot(text), tmp_path)
    assert pixel_findings(report) == []
    assert report.checks[-1].looked_at == 1


def test_text_in_the_middle_frame_alone(tmp_path: Path) -> None:
    """Within the range that the other frames span, so that no extreme shows it."""
    plain, written = screenshot(""), screenshot(NAME)
    text = np.frombuffer(written.PixelData, np.uint8).reshape(240, 480)
    middle = np.where(text > 100, 140, 100).astype(np.uint8)
    bright, dark = np.full_like(middle, 255), np.zeros_like(middle)
    plain.NumberOfFrames = 3
    plain.PixelData = np.stack([dark, middle, bright]).tobytes()
    assert pixel_findings(looked_at(plain, tmp_path)) == ["text left: person"]


def test_text_in_the_middle_of_a_film(tmp_path: Path) -> None:
    """In no frame that is read by itself, and between a dark and a bright scene."""
    report = looked_at(film_of_scenes(16, 8, 36), tmp_path)
    assert set(pixel_findings(report)) == {"text left: person"}
    assert "darkest of frames 17 to 32" in {region.picture for region in report.regions}
    ((_, before, after),) = render(
        [(tmp_path / "raw.dcm", tmp_path / "output.dcm")], report.regions[:1]
    )
    assert before == after


def test_text_that_stands_through_a_film_is_told_once(tmp_path: Path) -> None:
    """Else a long film fills the review with it, and what else is left is not shown."""
    film = film_of_scenes(0, 48, 0)
    array = film.pixel_array.copy()
    array[:, 200:] = np.arange(48, dtype=np.uint8)[:, None, None]
    film.PixelData = array.tobytes()
    report = looked_at(film, tmp_path)
    assert pixel_findings(report) == ["text left: person"]
    assert [region.picture for region in report.regions] == ["frame 12"]


@pytest.mark.parametrize("scenes", [(16, 8, 36), (20, 4, 40), (25, 1, 40)])
@pytest.mark.parametrize("why", ["masked", "text that the cleaner could not mask away"])
def test_what_the_cleaner_told_of_a_scene_is_shown_where_it_stands(
    why: str, scenes: tuple[int, int, int], tmp_path: Path
) -> None:
    """A reviewer who sees an empty frame takes it for a false alarm."""
    film = film_of_scenes(*scenes)
    path = save(film, tmp_path / "film.dcm")
    region = Region(1, str(film.SOPInstanceUID), "", (0, 80, 480, 160), why)
    ((_, before, _),) = render([(path, path)], [region])
    assert {0, 255} <= set(np.unique(Image.open(BytesIO(before)).convert("L")))


@pytest.mark.parametrize("quarters", [0, 1, 3])
def test_what_the_cleaner_told_of_is_shown_where_it_can_be_read(
    quarters: int, tmp_path: Path
) -> None:
    """Anatomy that moves there has more strokes than a name."""
    box = {0: (60, 90, 330, 130), 1: (90, 150, 130, 420), 3: (110, 60, 150, 330)}[quarters]
    shown = []
    for anatomy in (False, True):
        film = film_of_scenes(20, 4, 40)
        frames = film.pixel_array.copy()
        frames[20:24] = np.where(frames[20:24] > 120, 255, 0)
        if anatomy:
            frames[24:34] = np.random.default_rng(7).integers(60, 200, frames[24:34].shape)
        turned = np.ascontiguousarray(np.rot90(frames, quarters, axes=(1, 2)))
        film.Rows, film.Columns = turned.shape[1:]
        film.PixelData = turned.tobytes()
        path = save(film, tmp_path / f"{anatomy}.dcm")
        region = Region(1, str(film.SOPInstanceUID), "", box, "masked")
        ((_, before, _),) = render([(path, path)], [region])
        shown.append(before)
    assert shown[0] == shown[1]


def test_no_picture_of_a_film_is_kept(tmp_path: Path) -> None:
    """A reviewer needs parts of them; the frames of a film fill a worker's memory."""
    film = film_of_scenes(20, 4, 40)
    path = save(film, tmp_path / "film.dcm")
    region = Region(1, str(film.SOPInstanceUID), "", (60, 90, 330, 130), "masked")
    list(render([(path, path)], [region]))  # The reader takes memory once.
    tracemalloc.start()
    try:
        list(render([(path, path)], [region]))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2.5 * len(film.PixelData)


def test_a_picture_of_one_value_is_shown_as_one(tmp_path: Path) -> None:
    """The whole of it was masked: nothing else stands in its place."""
    raw = screenshot(NAME)
    array = raw.pixel_array.astype("<u2")
    raw.BitsAllocated = raw.BitsStored = 16
    raw.HighBit = 15
    raw.PixelData = array.tobytes()
    first = save(raw, tmp_path / "raw.dcm")
    raw.PixelData = np.full_like(array, 7).tobytes()
    second = save(raw, tmp_path / "output.dcm")
    region = Region(1, str(raw.SOPInstanceUID), "", (60, 90, 330, 130), "masked")
    ((_, before, after),) = render([(first, second)], [region])
    shown, masked = (np.asarray(Image.open(BytesIO(one)).convert("L")) for one in (before, after))
    assert shown.shape == masked.shape and len(np.unique(masked)) == 2 < len(np.unique(shown))


@pytest.mark.parametrize(("padding", "contrast"), [(-32768, 1000), (-32768, 300), (65535, 300)])
def test_padding_drowns_no_text(padding: int, contrast: int, tmp_path: Path) -> None:
    dataset = screenshot(NAME)
    text = np.frombuffer(dataset.PixelData, np.uint8).reshape(240, 480) > 100
    array = np.random.default_rng(3).integers(0, 40, text.shape) + text * contrast
    array[160:] = padding
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, int(padding < 0)
    dataset.PixelData = array.astype(np.int16 if padding < 0 else np.uint16).tobytes()
    report = looked_at(dataset, tmp_path)
    assert "text left: person" in pixel_findings(report)


def test_text_in_one_slice_of_a_stack(tmp_path: Path) -> None:
    outputs = []
    for index in range(9):
        dataset = ct_slice(index)
        dataset.Rows, dataset.Columns = 240, 480
        pixels = np.full((240, 480), 1000, np.uint16)
        if index == 2:
            text = np.frombuffer(screenshot(NAME).PixelData, np.uint8).reshape(240, 480)
            pixels[text > 100] = 4000
        dataset.PixelData = pixels.tobytes()
        path = save(dataset, tmp_path / f"{index}.dcm")
        outputs.append(Output(path, path))
    report = inspect(outputs, [o.path for o in outputs], Profile.load("research"))
    assert set(pixel_findings(report)) == {"text left: person"}
    assert {region.picture.split(",")[0] for region in report.regions} == {"brightest of all"}
    assert report.checks[-1].looked_at == 1


def test_a_page_between_a_white_one_and_a_black_one(tmp_path: Path) -> None:
    """Whose extremes are white and black, whatever stands on the others."""
    text = np.frombuffer(screenshot(NAME).PixelData, np.uint8).reshape(240, 480)
    written = np.where(text > 100, 3000, 1000)
    outputs = []
    for index, page in enumerate([np.full_like(written, 4000), written, np.zeros_like(written)]):
        dataset = ct_slice(index)
        dataset.Rows, dataset.Columns = page.shape
        dataset.PixelData = page.astype(np.uint16).tobytes()
        path = save(dataset, tmp_path / f"{index}.dcm")
        outputs.append(Output(path, path))
    report = inspect(outputs, [o.path for o in outputs], Profile.load("research"))
    assert set(pixel_findings(report)) == {"text left: person"}
    assert {region.picture for region in report.regions} == {"object 2 frame 1"}
    assert report.checks[-1].looked_at == 1


def test_the_stricter_of_input_and_output_decides(tmp_path: Path) -> None:
    """What the cleaning changed must not lead the gate to look less closely."""
    raw, output = ct_slice(0), ct_slice(0)
    raw.ImageType = ["DERIVED", "SECONDARY", "SCREEN"]
    pair = (save(raw, tmp_path / "raw.dcm"), save(output, tmp_path / "output.dcm"))
    (group,) = grouped([pair])
    assert group.object == output.SOPInstanceUID, "looked at by itself"


@pytest.mark.data
def test_what_the_second_reader_noted_decides_as_what_pydicom_reads(real_data: Path) -> None:
    counted = 0
    for path in find_files(real_data):
        headers = Headers()
        with suppress(HounsfieldError):
            headers.note(path, list(read_elements(path)))
            noted, read = headers.of(path), Headers().of(path)
            assert how_to_look(noted) == how_to_look(read), path.name
            same = ("SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns")
            assert [noted.get(name) or 0 for name in same] == [
                read.get(name) or 0 for name in same
            ], path.name
            counted += 1
    assert counted > 500


def test_pixels_that_cannot_be_decoded_are_not_passed(tmp_path: Path) -> None:
    broken = screenshot(NAME)
    broken.PixelData = broken.PixelData[:100]
    report = looked_at(broken, tmp_path, screenshot(NAME))
    assert "pixels that cannot be decoded" in pixel_findings(report)


@pytest.mark.parametrize("profile", ["research", "internal"])
def test_pixels_are_read_only_where_asked_for(tmp_path: Path, profile: str) -> None:
    path = save(screenshot(NAME), tmp_path / "one.dcm")
    report = inspect([Output(path, path)], [path], Profile.load(profile), pixels=False)
    assert report.checks[-1].note == "not made: not asked for"


@pytest.mark.parametrize(("left", "masked"), [(3, 37), (3, 50), (45, 2)])
def test_regions_beyond_what_anybody_looks_through_are_counted(
    left: int, masked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left comes first; nothing that is not shown goes untold."""
    texts = [TextBox((8 * n, 0, 8 * n + 6, 9), "QUILL", 0.9) for n in range(left)]
    monkeypatch.setattr(
        "hounsfield.gate.pictures.find_text", lambda *_, turned=True, **__: [] if turned else texts
    )
    path = save(screenshot(""), tmp_path / "one.dcm")
    boxes = tuple((8 * n, 20, 8 * n + 6, 29) for n in range(masked))
    report = inspect([Output(path, path, boxes)], [path], Profile.load("research"))
    kinds = Counter(region.kind for region in report.regions)
    assert len(report.regions) == 40
    assert kinds + Counter(report.unshown) == {"text left": left, "masked": masked}
    assert kinds["text left"] == min(left, 40)
    assert GateReport.from_dict(report.to_dict()) == report


def test_a_region_is_shown_before_and_after(tmp_path: Path) -> None:
    raw, output = screenshot(NAME), screenshot("")
    pair = (save(raw, tmp_path / "raw.dcm"), save(output, tmp_path / "output.dcm"))
    regions = [
        Region(1, str(output.SOPInstanceUID), "frame 1", (60, 90, 330, 130), "text left"),
        Region(2, str(output.SOPInstanceUID), "", (0, 0, 20, 20), "masked"),
        Region(3, "2.25.404", "frame 1", (0, 0, 20, 20), "masked"),
    ]
    shown = {region.number: (before, after) for region, before, after in render([pair], regions)}
    assert shown.keys() == {1, 2}
    before, after = (Image.open(BytesIO(content)) for content in shown[1])
    assert before.size == after.size and min(before.size) >= 320
    assert np.asarray(before.convert("L")).std() > np.asarray(after.convert("L")).std()


def test_a_region_at_the_edge_is_shown(tmp_path: Path) -> None:
    path = save(screenshot(""), tmp_path / "one.dcm")
    uid = str(screenshot("").SOPInstanceUID)
    box = (460, 230, 900, 900)
    assert len(list(render([(path, path)], [Region(1, uid, "", box, "masked")]))) == 1


def test_regions_of_two_sizes_in_a_series_are_shown_in_their_own_pictures(tmp_path: Path) -> None:
    pairs, regions = [], []
    for number, (rows, columns) in enumerate([(100, 120), (60, 60)]):
        dataset = ct_slice(number)
        dataset.Rows, dataset.Columns = rows, columns
        values = np.arange(rows * columns, dtype="<u2")
        dataset.PixelData = values.tobytes()
        path = save(dataset, tmp_path / f"{number}.dcm")
        pairs.append((path, path))
        size, box = f"{rows} x {columns}", (0, 0, columns, rows)
        regions.append(Region(number, str(dataset.SeriesInstanceUID), "", box, "masked", size))
    shown = {region.number: after for region, _, after in render(pairs, regions)}
    sizes = [Image.open(BytesIO(shown[number])).size for number in range(2)]
    assert sizes == [(480, 400), (360, 360)]
