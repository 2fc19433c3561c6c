"""How well the text of a corpus is masked, by modality."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hounsfield.deid.pixels import Box, clean_pixels, scan_series
from hounsfield.errors import DeidentificationError, HounsfieldError
from tests.deid.burned_in.cases import Case

#: A marker is lost when so much of it is covered.
_LOST = 0.02
#: Of text pixels: what is aimed at.
_RECALL = 0.99


@dataclass
class Tally:
    """Counts over the cases of one kind.

    Attributes
    ----------
    text, masked
        Pixels of telling text, and those of them that a mask covers.
    refused
        Cases that are withheld, since text is still there after masking; not counted as masked.
    false
        Clean cases with a mask.
    stray
        Masked boxes, in cases with text, that touch no text.
    missed
        Names of cases of which less than 0.99 was masked, with their traits.
    """

    cases: int = 0
    clean: int = 0
    text: int = 0
    masked: int = 0
    refused: int = 0
    false: int = 0
    stray: int = 0
    markers: int = 0
    kept: int = 0
    seconds: float = 0.0
    missed: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.masked / self.text if self.text else 1.0

    @property
    def is_as_aimed(self) -> bool:
        """Whether text goes, and nothing else does."""
        return self.recall >= _RECALL and not self.false and self.kept == self.markers

    def __add__(self, other: Self) -> Self:
        counts = (getattr(self, one.name) + getattr(other, one.name) for one in fields(self))
        return type(self)(*counts)

    def add(self, case: Case) -> None:
        """Runs the product's own functions on a case, and counts."""
        started = time.process_time()
        try:
            boxes = _boxes(case)
        except HounsfieldError as error:
            boxes = [[] for _ in case.slices]
            self.refuse(case, error.what)
        self.seconds += time.process_time() - started
        self.count(case, boxes)

    def refuse(self, case: Case, reason: str) -> None:
        """Counts a case that is withheld."""
        self.refused += 1
        self.missed.append(f"{case.name} refused: {reason}")

    def count(self, case: Case, boxes: list[list[Box]]) -> None:
        """Compares masks, a list a slice, with what stands there."""
        self.cases += 1
        masks = [_covered(found, case.texts[0].shape) for found in boxes]
        self._count_text(case, masks)
        self._count_others(case, boxes, masks)

    def _count_text(self, case: Case, masks: list[NDArray[np.bool_]]) -> None:
        text = sum(int(truth.sum()) for truth in case.texts)
        pairs = zip(case.texts, masks, strict=True)
        masked = sum(int((truth & mask).sum()) for truth, mask in pairs)
        self.text += text
        self.masked += masked
        if masked < 0.99 * text:
            self.missed.append(f"{case.name} {masked / text:.3f} {' '.join(case.traits)}")

    def _count_others(
        self, case: Case, boxes: list[list[Box]], masks: list[NDArray[np.bool_]]
    ) -> None:
        if case.is_clean:
            self.clean += 1
            if any(boxes):
                self.false += 1
                self.missed.append(f"{case.name} clean, masked {next(filter(None, boxes))[:3]}")
        else:
            truth = np.logical_or.reduce(case.texts)
            self.stray += sum(
                not truth[y0:y1, x0:x1].any() for x0, y0, x1, y1 in {b for s in boxes for b in s}
            )
        covered = np.logical_or.reduce(masks)
        self.markers += len(case.marks)
        for mark in case.marks:
            kept = (mark & covered).sum() <= _LOST * mark.sum()
            self.kept += kept
            if not kept:
                self.missed.append(f"{case.name} marker lost")


def _boxes(case: Case) -> list[list[Box]]:
    if case.modality != "CT":
        records = [clean_pixels(one) for one in case.slices]
        _check_none_left(any(record.left for record in records))
        return [list(record.boxes) for record in records]
    refused: dict[int, HounsfieldError] = {}
    found = scan_series(range(len(case.slices)), case.slices.__getitem__, refused)
    assert not refused
    _check_none_left(bool(found.left))
    return [found.boxes.get(z, []) for z in range(len(case.slices))]


def _check_none_left(is_left: bool) -> None:
    if is_left:
        raise DeidentificationError("text is still there after masking")


def _covered(boxes: list[Box], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask
