"""Reading text with PP-OCRv4, from the models in rapidocr's wheel. Nothing is fetched.

Large pictures are read in tiles: the detector shrinks what is longer than 2000 pixels, and
small print on a mammogram would be lost. Every tile is read upright and turned by a quarter:
the detector knows lines better than columns, and misses small print that runs up or down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from hounsfield.errors import DeidentificationError

__all__ = [
    "PAD",
    "TextBox",
    "can_bear_text",
    "find_text",
    "is_same_place",
    "padded",
    "read_line",
    "share_within",
]

#: (x0, y0, x1, y1), half-open, pixels from the top left.
Box = tuple[int, int, int, int]

#: Pixels around what the detector saw: letters reach beyond its boxes by 2 or more.
PAD: Final = 4

_TILE, _OVERLAP = 1024, 160
#: A picture up to this side is read whole.
_WHOLE = 1280
#: Rows of the smallest print that anybody reads, and columns that a name of three letters takes.
_PRINT, _NAME = 8, 18
#: Shorter sides below this are a strip's.
_STRIP = 48
#: Intersection over union above which two boxes are of one text.
_SAME = 0.5
_MODELS = {
    "Det.model_path": "ch_PP-OCRv4_det_mobile.onnx",
    "Cls.model_path": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec.model_path": "ch_PP-OCRv4_rec_mobile.onnx",
}


@dataclass(frozen=True, slots=True)
class TextBox:
    """A piece of text as read. Holds what is burned in: never logged, never written.

    Attributes
    ----------
    box
        (x0, y0, x1, y1), half-open, pixels from the top left.
    score
        Of the recogniser, 0 to 1.
    """

    box: Box
    text: str
    score: float


def can_bear_text(rows: int, columns: int) -> bool:
    """Whether a name is legible in a picture of this size, along its rows or its columns."""
    return min(rows, columns) >= _PRINT and max(rows, columns) >= _NAME


def find_text(image: np.ndarray, *, upright: bool = True, turned: bool = True) -> list[TextBox]:
    """All text in a picture.

    Parameters
    ----------
    image
        uint8, axes (row, column) or (row, column, RGB).
    upright
        Whether every tile is read as it is.
    turned
        Whether every tile is read turned, too. That finds more that runs up or down, and sees
        letters in more of what is none.

    Raises
    ------
    DeidentificationError
        The reader failed: a picture that was not read is not released.
    """
    found = []
    for x, y, tile in _tiles(image):
        standing = _read(tile) if upright else []
        lying = (
            [_turned_back(text, tile.shape[1]) for text in _read(np.rot90(tile))] if turned else []
        )
        found += [
            replace(text, box=_shifted(text.box, x, y))
            for text in (*standing, *(text for text in lying if not _is_known(text, standing)))
        ]
    return found


def read_line(image: np.ndarray) -> str:
    """What a picture says that is one line of upright text.

    Parameters
    ----------
    image
        uint8, axes (row, column) or (row, column, RGB).

    Raises
    ------
    DeidentificationError
        The reader failed.
    """
    result = _run(image, find=False)
    return "".join(result.txts or ())


def _read(tile: np.ndarray) -> list[TextBox]:
    result = _run(tile, find=True)
    if result.boxes is None or result.txts is None:
        return []
    return [
        TextBox(_around(corners), text, float(score))
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True)
    ]


def _run(image: np.ndarray, *, find: bool) -> Any:
    """What the reader makes of a picture; it remembers how it was asked last."""
    try:
        return _engine()(np.ascontiguousarray(_as_bgr(image)), use_det=find, use_cls=find)
    except Exception as error:
        raise DeidentificationError(
            "burned-in text could not be looked for", where=type(error).__name__
        ) from None


def _around(corners: np.ndarray) -> Box:
    (x0, y0), (x1, y1) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    return int(x0), int(y0), int(x1), int(y1)


def _shifted(box: Box, x: int, y: int) -> Box:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _turned_back(text: TextBox, width: int) -> TextBox:
    """What was read in a tile of this width after a quarter turn to the left."""
    x0, y0, x1, y1 = text.box
    return replace(text, box=(width - y1, x0, width - y0, x1))


def _is_known(turned: TextBox, upright: list[TextBox]) -> bool:
    """Whether the same place reads the same upright, or more surely.

    Lying letters read as other ones.
    """
    return any(
        is_same_place(turned.box, text.box)
        and (text.score >= turned.score or text.text == turned.text)
        for text in upright
    )


def is_same_place(one: Box, other: Box) -> bool:
    """Whether two boxes are of one text: they share more than half of what they cover."""
    shared = _area(_common(one, other))
    return shared > _SAME * (_area(one) + _area(other) - shared)


def padded(box: Box) -> Box:
    """A box with all that its letters may reach to."""
    x0, y0, x1, y1 = box
    return max(0, x0 - PAD), max(0, y0 - PAD), x1 + PAD, y1 + PAD


def share_within(one: Box, other: Box) -> float:
    """The share of a box that lies in another."""
    return _area(_common(one, other)) / max(1, _area(one))


def _common(one: Box, other: Box) -> Box:
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )


def _area(box: Box) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _tiles(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    rows, columns = image.shape[:2]
    for y in _starts(rows):
        for x in _starts(columns):
            height = rows if rows <= _WHOLE else _TILE
            width = columns if columns <= _WHOLE else _TILE
            yield x, y, _widened(image[y : y + height, x : x + width])


def _widened(tile: np.ndarray) -> np.ndarray:
    """A strip as a part of a square: the reader enlarges what is narrow, with all its length."""
    side = max(tile.shape[:2])
    if min(tile.shape[:2]) >= _STRIP:
        return tile
    missing = [(0, side - length) for length in tile.shape[:2]]
    rest = [(0, 0)] * (tile.ndim - 2)
    return np.pad(tile, [*missing, *rest], constant_values=int(np.median(tile)))


def _starts(length: int) -> list[int]:
    if length <= _WHOLE:
        return [0]
    step = _TILE - _OVERLAP
    return [*range(0, length - _TILE, step), length - _TILE]


def _as_bgr(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return image[:, :, ::-1]


@cache
def _engine() -> Any:
    """One reader a process, made at the first picture."""
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    threads = int(os.environ.get("HOUNSFIELD_OCR_THREADS", min(2, os.cpu_count() or 1)))
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # Given paths are never downloaded, whatever a registry says of them.
            **{name: str(models / model) for name, model in _MODELS.items()},
        }
    )
