"""Stacks of slices: one look at the extremes over a series sees text in any slice of it.

In a few objects it may not: one white page and one black hide all others. So each is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from hounsfield.deid.pixels.clean import mask_text, text_boxes
from hounsfield.deid.pixels.ocr import can_bear_text, padded
from hounsfield.deid.pixels.second_look import look_at
from hounsfield.deid.pixels.stored import Box, StoredPixels, to_8_bit
from hounsfield.errors import HounsfieldError, PermanentError

__all__ = ["Scan", "scan_series"]

_FEW = 8  # objects
_ROUNDS = 3


class Scan(NamedTuple):
    """Boxes by object: to mask, and of what still reads as text when they are masked."""

    boxes: dict[int, list[Box]]
    left: dict[int, list[Box]]


class _Extremes:
    """Running maximum and minimum over the planes of one size."""

    def __init__(self) -> None:
        self._most: np.ndarray | None = None
        self._least: np.ndarray | None = None

    def add(self, array: np.ndarray) -> None:
        one = len(array) == 1
        most = array[0] if one else array.max(axis=0)
        least = array[0] if one else array.min(axis=0)
        self._most = most if self._most is None else np.maximum(self._most, most)
        self._least = least if self._least is None else np.minimum(self._least, least)

    def boxes(self) -> list[Box]:
        planes = [
            # Extremes of 8 bits are values, too, and no picture yet.
            plane.astype(np.int64) if plane.dtype.kind in "iu" else plane
            for plane in (self._most, self._least)
            if plane is not None
        ]
        if not planes or not can_bear_text(*planes[0].shape[:2]):
            return []
        found = [
            padded(text.box) for plane in planes for text in look_at(list(to_8_bit(plane))).telling
        ]
        return list(dict.fromkeys(found))


def scan_series(
    keys: Iterable[int],
    read: Callable[[int], Dataset],
    refused: dict[int, HounsfieldError],
) -> Scan:
    """What is to be masked in the slices of one series; empty where nothing shows.

    Parameters
    ----------
    keys
        Whatever names the objects.
    read
        Gives an object with its pixels; called again for objects of a size that shows text, or of
        which there are few.
    refused
        Gets the objects whose pixels cannot be decoded: what was not seen is not released.
    """
    sizes: dict[tuple[int, ...], list[int]] = {}
    projections: dict[tuple[int, ...], _Extremes] = {}
    for key in keys:
        try:
            array = StoredPixels.decode(read(key)).array
        except PermanentError as error:
            refused[key] = error
            continue
        size = array.shape[1:]
        sizes.setdefault(size, []).append(key)
        projections.setdefault(size, _Extremes()).add(array)
    found = Scan({}, {})
    for size, members in sizes.items():
        shown = projections[size].boxes()
        if shown or (len(members) <= _FEW and can_bear_text(*size[:2])):
            boxes, left = _locate(members, read, shown)
            found.boxes.update(boxes)
            found.left.update(left)
    return found


def _locate(members: list[int], read: Callable[[int], Dataset], shown: list[Box]) -> Scan:
    """Finds the slices that bear the text, then looks on a new projection whether any is left."""
    boxes: dict[int, list[Box]] = {}
    doubted: dict[int, list[Box]] = {}
    for key in members:
        pixels = StoredPixels.decode(read(key))
        if len(members) <= _FEW:
            boxes[key], _, doubted[key] = mask_text(pixels)
        else:
            boxes[key] = text_boxes(pixels)
    left = _left_over(members, read, boxes)
    for _ in range(_ROUNDS):
        if not left:
            break
        # Read in the projection and in no slice: masked in all of them, since one has it.
        boxes = {key: list(dict.fromkeys((*found, *shown, *left))) for key, found in boxes.items()}
        left = _left_over(members, read, boxes)
    doubted = {key: [*doubted.get(key, ()), *left] for key in members}
    return Scan(_but_empty(boxes), _but_empty(doubted))


def _but_empty(boxes: dict[int, list[Box]]) -> dict[int, list[Box]]:
    return {key: found for key, found in boxes.items() if found}


def _left_over(
    members: list[int],
    read: Callable[[int], Dataset],
    boxes: dict[int, list[Box]],
) -> list[Box]:
    projection = _Extremes()
    for key in members:
        pixels = StoredPixels.decode(read(key))
        pixels.mask(boxes[key])
        projection.add(pixels.array)
    return projection.boxes()
