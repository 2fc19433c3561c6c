"""Reading text with PP-OCRv4, from the models in rapidocr's wheel. Nothing is fetched.

Large pictures are read in tiles: the detector shrinks what is longer than 2000 pixels, and
small print on a mammogram would be lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hounsfield.errors import DeidentificationError

__all__ = ["TextBox", "find_text"]

_TILE, _OVERLAP = 1024, 160
#: A picture up to this side is read whole.
_WHOLE = 1280
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

    box: tuple[int, int, int, int]
    text: str
    score: float


def find_text(image: np.ndarray) -> list[TextBox]:
    """All text in a picture.

    Parameters
    ----------
    image
        uint8, axes (row, column) or (row, column, RGB).

    Raises
    ------
    DeidentificationError
        The reader failed: a picture that was not read is not released.
    """
    found = []
    for x, y, tile in _tiles(image):
        try:
            result = _engine()(np.ascontiguousarray(_as_bgr(tile)))
        except Exception as error:
            raise DeidentificationError(
                "burned-in text could not be looked for", where=type(error).__name__
            ) from None
        if result.boxes is None or result.txts is None:
            continue
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            (x0, y0), (x1, y1) = np.floor(corners.min(0)), np.ceil(corners.max(0))
            box = (x + int(x0), y + int(y0), x + int(x1), y + int(y1))
            found.append(TextBox(box, text, float(score)))
    return found


def _tiles(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    rows, columns = image.shape[:2]
    for y in _starts(rows):
        for x in _starts(columns):
            height = rows if rows <= _WHOLE else _TILE
            width = columns if columns <= _WHOLE else _TILE
            yield x, y, image[y : y + height, x : x + width]


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
