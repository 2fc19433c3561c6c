"""Text that a machine reads: QR codes, as on labels of slides and on photographed requests."""

from __future__ import annotations

import cv2
import numpy as np

from hounsfield.deid.pixels.ocr import TextBox
from hounsfield.errors import DeidentificationError

__all__ = ["find_codes"]


def find_codes(image: np.ndarray) -> list[TextBox]:
    """QR codes (ISO/IEC 18004) that can be read, with what they say.

    Parameters
    ----------
    image
        uint8, axes (row, column) or (row, column, RGB).

    Raises
    ------
    DeidentificationError
        The reader failed: a picture that was not read is not released.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    try:
        return [*_read(grey), *_read(255 - grey)]
    except (cv2.error, UnicodeDecodeError) as error:
        raise DeidentificationError(
            "the reader of QR codes failed", where=type(error).__name__
        ) from None


def _read(grey: np.ndarray) -> list[TextBox]:
    _, texts, corners, _ = cv2.QRCodeDetector().detectAndDecodeMulti(grey)
    if corners is None:
        return []
    return [
        TextBox(_around(around), text, 1.0)
        for text, around in zip(texts, corners, strict=True)
        if text
    ]


def _around(corners: np.ndarray) -> tuple[int, int, int, int]:
    (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    return max(0, int(x0)), max(0, int(y0)), int(x1) + 1, int(y1) + 1
