"""What a reviewer sees of a region: a part of the picture before and after, with what is around."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hounsfield.gate.pictures import grouped, pictures
from hounsfield.gate.report import Box, Region

__all__ = ["render"]

_AROUND = 60  # pixels of context on each side
_SMALLEST = 320  # shorter sides are enlarged, so that small print can be read
_FRAME = (255, 176, 0)


def render(
    pairs: Sequence[tuple[Path, Path]], regions: Sequence[Region]
) -> Iterator[tuple[Region, bytes, bytes]]:
    """Each region as two PNG: as received, and as de-identified.

    Parameters
    ----------
    pairs
        (raw, output) of every file of the study.
    """
    groups = {(group.object, group.size): group for group in grouped(pairs)}
    wanted: dict[tuple[str, str], list[Region]] = {}
    for region in regions:
        if (key := (region.object, region.size)) in groups:
            wanted.setdefault(key, []).append(region)
    for key, members in wanted.items():
        before = dict(pictures(groups[key].raw, is_stack=bool(key[1])))
        after = dict(pictures(groups[key].output, is_stack=bool(key[1])))
        for region in members:
            if after:
                yield region, *_both(before, after, region)


def _both(
    before: dict[str, np.ndarray], after: dict[str, np.ndarray], region: Region
) -> tuple[bytes, bytes]:
    """The same part of both; masking may have changed the range, and with it the windows."""
    name = region.picture if region.picture in after else _telling(before, after, region.box)
    first = before.get(name, before.get(name.split(",")[0], after[name]))
    return _crop(first, region.box), _crop(after[name], region.box)


def _telling(before: dict[str, np.ndarray], after: dict[str, np.ndarray], box: Box) -> str:
    """The picture whose original has the most strokes there: text may stand in one scene alone."""
    return max(after, key=lambda name: _strokes(before.get(name, after[name]), box))


def _strokes(picture: np.ndarray, box: Box) -> float:
    x0, y0, x1, y1 = (max(0, edge) for edge in box)
    part = picture[y0:y1, x0:x1].astype(np.int16)
    return sum(float(np.abs(np.diff(part, axis=axis)).sum()) for axis in (0, 1))


def _crop(picture: np.ndarray, box: Box) -> bytes:
    rows, columns = picture.shape[:2]
    left, top = max(0, box[0] - _AROUND), max(0, box[1] - _AROUND)
    right, bottom = min(columns, box[2] + _AROUND), min(rows, box[3] + _AROUND)
    image = Image.fromarray(picture[top:bottom, left:right]).convert("RGB")
    factor = max(1, -(-_SMALLEST // max(1, min(image.size))))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    outline = [(box[0] - left - 1) * factor, (box[1] - top - 1) * factor]
    outline += [(box[2] - left + 1) * factor, (box[3] - top + 1) * factor]
    ImageDraw.Draw(image).rectangle(outline, outline=_FRAME, width=max(2, factor))
    content = BytesIO()
    image.save(content, "PNG", optimize=False)
    return content.getvalue()
