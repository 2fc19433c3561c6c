"""What a second look disproves of a reading, and what it never does."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from hounsfield.deid.pixels import Box, StoredPixels, clean_pixels
from hounsfield.deid.pixels.clean import text_boxes, ultrasound_regions
from hounsfield.deid.pixels.ocr import TextBox
from hounsfield.deid.pixels.second_look import Marker, look_at
from tests.deid.pixels.drawing import COLUMNS, NAME, ROWS, Make, drawn, picture


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
        ("1" * 16, 0.9, [], False),  # a ruler
        ("一一", 0.6, [], False),  # screws side by side
        ("一一", 0.6, ["王一一", "王一一"], True),
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
    assert bool(look_at(drawn("")).telling) == kept


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
    assert bool(look_at(drawn("")).telling) == kept


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
    telling, markers = look_at(drawn(""))
    assert (telling, markers) == ([], [Marker(found.box, "LMLO")])
    text = TextBox(at, later, 0.97)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", lambda _: [text])
    assert bool(look_at(drawn(""), markers).telling) == kept


@pytest.mark.parametrize(
    ("read", "at", "kept"),
    [
        ("MA", (35, 15, 110, 70), False),
        ("MARK", (35, 15, 110, 70), True),  # more than either was
        ("MA", (35, 15, 110, 40), True),  # about one of them
    ],
)
def test_markers_close_to_each_other_stay_two(
    read: str, at: Box, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = {"AP": (40, 20, 60, 40), "PA": (80, 45, 100, 65), read: at}
    texts = [TextBox(box, text, 0.97) for text, box in boxes.items()]
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", lambda _: texts)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: read)
    assert bool(look_at(drawn("")).telling) == kept


@pytest.mark.parametrize(
    ("read", "at", "kept"),
    [
        ("LO", (66, 20, 90, 40), False),
        ("DN", (40, 22, 62, 38), False),  # the first two upside down, nearly
        ("LN", (40, 20, 62, 60), True),  # reaches far beyond it
        ("JK", (42, 21, 56, 31), True),  # initials in a corner of its box, as it leans
        ("Quill", (66, 20, 90, 40), True),  # more than the marker has
    ],
)
@pytest.mark.parametrize("window", [0, 1])
def test_letters_inside_a_marker_are_pieces_of_it(
    window: int, read: str, at: Box, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one window alone may show whole."""
    marker, piece = TextBox((40, 20, 90, 40), "LMLO", 0.97), TextBox(at, read, 0.98)
    found = iter([[piece], [marker]] if window else [[marker], [piece]])
    monkeypatch.setattr(
        "hounsfield.deid.pixels.second_look.find_text", lambda _: next(found, [piece])
    )
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: read)
    windows = [*drawn(""), *drawn("")]
    assert bool(look_at(windows).telling) == kept


@pytest.mark.parametrize("score", [0.68, 0.95])
@pytest.mark.parametrize(
    ("views", "kept"),
    [
        (["LMLO", "LMLC", "LMLO"], False),  # its upper half, upside down
        (["LMLO", "LMLO JK", ""], True),
        (["DN", "", ""], True),
    ],
)
def test_less_than_its_height_inside_a_marker_is_read_again(
    views: list[str], kept: bool, score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, piece = TextBox((40, 20, 90, 40), "LMLO", 0.97), TextBox((42, 21, 60, 28), "DN", score)
    seen = iter(views)

    def read(image: np.ndarray) -> list[TextBox]:
        if image.shape == (192, 320):
            return [marker, piece]
        return [TextBox((0, 0, image.shape[1], image.shape[0]), next(seen), 0.9)]

    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", read)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: "DN")
    assert bool(look_at(drawn("")).telling) == kept


@pytest.mark.parametrize(
    ("views", "kept"),
    [
        (["1717", "1777", "1771"], False),  # screws across bones
        (["1777", "177", "177."], True),
        (["1771", "17", "1.7"], False),  # less than at first
        (["", "177", ""], True),  # as at first
        (["", "1777", ""], False),
    ],
)
def test_ones_and_sevens_are_a_number_where_they_read_the_same_twice(
    views: list[str], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter(["177", *views])

    def read(image: np.ndarray) -> list[TextBox]:
        text, is_first = next(seen), image.shape == (192, 320)
        box = (40, 20, 90, 40) if is_first else (0, 0, image.shape[1], image.shape[0])
        return [TextBox(box, text, 0.6)] if text else []

    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", read)
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.read_line", lambda _: "")
    assert bool(look_at(drawn("")).telling) == kept


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("15:44:21 RCC", True),
        ("RCC 15:44:21", True),
        ("15:44:21 AP", False),  # could be initials
        ("15:44:21 RAO", False),  # is a name, too
        ("15:44:21 APR", False),  # of a month
        ("15:44:21 LINKS", False),
        ("15:44:21 QUILL", False),
        ("QUILL RCC 15:44", False),
        ("HFP1790719", False),  # begins with a marker
        ("1981-03-12 RCC", False),
    ],
)
def test_a_marker_stays_in_one_line_with_a_time(line: str, kept: bool, make_dataset: Make) -> None:
    dataset = picture(make_dataset, drawn(line))
    before = StoredPixels.decode(dataset).array.copy()
    clean_pixels(dataset)
    after = StoredPixels.decode(dataset).array
    first, *_, last = np.flatnonzero((before[0] > 200).any(axis=0))
    same = (before == after).all(axis=(0, 1))
    is_first = line.startswith("RCC")
    assert same[first : first + 40].all() == (kept and is_first)
    assert same[last - 40 : last].all() == (kept and not is_first)


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
    assert bool(look_at(drawn("")).telling) == kept


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
    assert bool(look_at([picture]).telling) == kept


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


def test_on_a_page_of_text_nothing_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dose report has a hundred short readings, and each second look takes seconds."""
    looks: list[np.ndarray] = []
    numbers = [TextBox((4, 9 * n, 24, 9 * n + 8), "11", 0.6) for n in range(20)]
    monkeypatch.setattr(
        "hounsfield.deid.pixels.second_look.find_text", lambda seen: looks.append(seen) or numbers
    )
    assert look_at(drawn("")).telling == numbers
    assert len(looks) == 1
