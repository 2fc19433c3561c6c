"""Finding, masking and looking again, for one object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from pydicom.dataset import Dataset

from hounsfield.deid.pixels.candidates import Look
from hounsfield.deid.pixels.markers import is_telling
from hounsfield.deid.pixels.ocr import PAD, can_bear_text, find_text, padded
from hounsfield.deid.pixels.second_look import Marker, look_at
from hounsfield.deid.pixels.stored import Box, StoredPixels
from hounsfield.deid.reports import PixelRecord

__all__ = [
    "TOO_SMALL",
    "Masked",
    "clean_pixels",
    "gaps",
    "mask_known",
    "mask_text",
    "text_boxes",
    "ultrasound_regions",
]

_ROUNDS = 3

#: Why nobody looked at a picture.
TOO_SMALL: Final = "too small to bear text"

#: Those that are known, by the number of the picture.
Markers: TypeAlias = dict[int, Sequence[Marker]]


class Masked(NamedTuple):
    """The boxes that were masked, whether a value changed, and what still reads as text."""

    boxes: list[Box]
    changed: bool
    left: list[Box]


def clean_pixels(dataset: Dataset, known: Sequence[Box] = ()) -> PixelRecord:
    """Masks all text in `dataset` but markers, and looks again.

    Parameters
    ----------
    dataset
        With pixel data; changed only where text was found.
    known
        Regions that a recipe names, masked whatever they hold.

    Raises
    ------
    UndecodablePixels
        The pixels cannot be decoded, so nobody can say what they show.
    """
    pixels = StoredPixels.decode(dataset)
    if not can_bear_text(*pixels.array.shape[1:3]):
        return mask_known(dataset, known, Look.NONE, TOO_SMALL)
    masked = mask_text(pixels, known, ultrasound_regions(dataset), scenes=True)
    record = _finish(pixels, masked.boxes, masked.changed, Look.EACH)
    return replace(record, left=tuple(pixels.inside(masked.left)))


def mask_text(
    pixels: StoredPixels,
    known: Sequence[Box] = (),
    body: Sequence[Box] = (),
    *,
    scenes: bool = False,
) -> Masked:
    """Masks known regions and all telling text, in three rounds at most.

    The scenes of a film, if they are wanted, are looked at when nothing else is found any more:
    they are many, and read faster without what stands there all the time.
    """
    boxes: list[Box] = []
    changed = False
    markers: Markers = {}

    def look() -> list[Box]:
        found = text_boxes(pixels, markers, body)
        return found or (_in_scenes(pixels, markers, body) if scenes else [])

    # The first look comes before any mask: the edge of a known region may cut a line.
    found = [*known, *look()]
    for _ in range(_ROUNDS):
        if not found:
            break
        boxes += found
        changed |= pixels.mask(found)
        found = look()
    return Masked(boxes, changed, found)


def _in_scenes(pixels: StoredPixels, markers: Markers, body: Sequence[Box]) -> list[Box]:
    """As :func:`text_boxes`, of what an upright reading sees in the scenes of a film."""
    known = [marker for seen in markers.values() for marker in seen]
    found: list[Box] = []
    for windows in pixels.scenes():
        upright = chain.from_iterable(find_text(window, turned=False) for window in windows)
        if any(is_telling(text.text) for text in upright):
            found += [padded(text.box) for text in look_at(windows, known, body, found).telling]
    return list(dict.fromkeys([*found, *gaps(found)]))


def mask_known(
    dataset: Dataset, boxes: Iterable[Box], looked: str, reason: str = ""
) -> PixelRecord:
    """Masks regions that are known beforehand; touches nothing where there is none."""
    boxes = list(boxes)
    if not boxes:
        return PixelRecord(looked, reason)
    pixels = StoredPixels.decode(dataset)
    return _finish(pixels, boxes, pixels.mask(boxes), looked, reason)


def text_boxes(
    pixels: StoredPixels, markers: Markers | None = None, body: Sequence[Box] = ()
) -> list[Box]:
    """Padded boxes of every telling text in any picture of the object.

    Parameters
    ----------
    markers
        What earlier looks know of each picture, by its number; this one adds to it.
    body
        Where the pictures show the body, if that is known.
    """
    markers = {} if markers is None else markers
    found: list[Box] = []
    for number, windows in enumerate(pixels.pictures()):
        telling, markers[number] = look_at(windows, markers.get(number, ()), body, found)
        found += [padded(text.box) for text in telling]
    return list(dict.fromkeys([*found, *gaps(found)]))


def ultrasound_regions(dataset: Dataset) -> list[Box]:
    """Where an ultrasound image shows the body (PS3.3 C.8.5.5); none where it does not say.

    What stands around them is the machine's: names, dates, settings.
    """
    found = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        edges = [item.get(f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if not all(isinstance(edge, int) for edge in edges):
            return []
        x0, y0, x1, y1 = edges
        found.append((x0, y0, x1 + 1, y1 + 1))
    return found


def gaps(boxes: Sequence[Box]) -> list[Box]:
    """What lies between padded lines, one over the other, where no line as high fits any more.

    Among lines that are set closely one is overlooked at times. The masks of its neighbours cut
    it then, and no later look can read what is left of it.
    """
    upright = [box for box in boxes if box[2] - box[0] >= box[3] - box[1]]
    lying = [_transposed(box) for box in boxes if box not in upright]
    return [*_gaps(upright), *map(_transposed, _gaps(lying))]


def _gaps(lines: Iterable[Box]) -> Iterator[Box]:
    for upper, lower in combinations(sorted(lines, key=itemgetter(1)), 2):
        height = min(upper[3] - upper[1], lower[3] - lower[1]) - 2 * PAD
        is_over = upper[0] < lower[2] and lower[0] < upper[2]
        if is_over and 0 < lower[1] - upper[3] < height:
            yield min(upper[0], lower[0]), upper[3], max(upper[2], lower[2]), lower[1]


def _transposed(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return y0, x0, y1, x1


def _finish(
    pixels: StoredPixels, boxes: Iterable[Box], changed: bool, looked: str, reason: str = ""
) -> PixelRecord:
    syntax = pixels.put_back() if changed else ""
    masked = tuple(sorted(set(pixels.inside(boxes)))) if changed else ()
    return PixelRecord(looked, reason, masked, syntax)
