"""Text shows in one of the 8-bit pictures that are made of stored values."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.deid.pixels import StoredPixels, clean_pixels, find_text
from hounsfield.deid.pixels.stored import _crowds, to_8_bit
from hounsfield.gate.pictures import _without_padding
from tests.deid.burned_in import MODALITIES, draw
from tests.deid.pixels.drawing import NAME, PADDINGS, Make, drawn, padded, picture, read_words


def test_a_dim_picture_is_windowed_too() -> None:
    bright, dim = drawn(NAME)[0], drawn(NAME)[0] // 3
    assert len(list(to_8_bit(bright))) == 1
    as_it_is, windowed = to_8_bit(dim)
    assert np.array_equal(as_it_is, dim)
    assert windowed.max() == 255
    (inverted, _) = to_8_bit(dim, inverted=True)
    assert np.array_equal(inverted, 255 - dim)


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
