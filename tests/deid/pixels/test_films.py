"""Text that only some frames of a film show."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.deid.pixels import clean_pixels
from hounsfield.deid.pixels.stored import _extremes_of_scenes
from tests.deid.pixels.drawing import NAME, Make, drawn, picture


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


@pytest.mark.parametrize("shown", [1, 2, 3])
def test_a_film_has_no_more_extremes_than_frames(shown: int) -> None:
    """However it flickers: each is read, which takes a second."""
    bright = np.arange(30)[:, None, None] // shown % 2
    film = np.broadcast_to(200 * bright, (30, 64, 64)) + np.arange(30)[:, None, None] % 7
    assert len(list(_extremes_of_scenes(film.astype(np.uint8)))) in range(10, 31)
