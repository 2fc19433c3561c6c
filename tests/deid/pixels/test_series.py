"""Text in any slice of a stack is found, and masked where it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hounsfield.deid.pixels import Box, how_to_look, read_pixels, scan_series
from hounsfield.deid.pixels.series import _Extremes
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import HounsfieldError
from tests.deid.pixels.drawing import NAME, PADDINGS, Make, drawn, grey_palette, padded, picture


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


def test_padding_drowns_no_text_in_a_stack(make_dataset: Make) -> None:
    values = {"PixelRepresentation": 1, "Modality": "CT"}
    slices = [picture(make_dataset, padded(*PADDINGS[0]), **values) for _ in range(9)]
    assert set(scan_series(range(9), slices.__getitem__, {}).boxes) == set(range(9))


def test_a_name_on_a_stack_of_strips_is_found(make_dataset: Make) -> None:
    planes = [drawn(NAME if number == 4 else "")[0, 10:50] for number in range(9)]
    stack = [picture(make_dataset, plane[None], Modality="CT") for plane in planes]
    assert scan_series(range(9), stack.__getitem__, {}).boxes[4]
