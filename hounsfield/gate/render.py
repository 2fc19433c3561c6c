"""What a reviewer sees of a region: a part of the picture before and after, with what is around."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from operator import itemgetter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hounsfield.deid.pixels.markers import is_telling
from hounsfield.deid.pixels.ocr import read_line
from hounsfield.gate.pictures import Group, grouped, pictures
from hounsfield.gate.report import Box, Region

__all__ = ["render"]

_AROUND = 60  # pixels of context on each side
_SMALLEST = 320  # shorter sides are enlarged, so that small print can be read
_FRAME = (255, 176, 0)
_LIKELY = 12  # pictures in which a text is looked for that the cleaner told of


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
        yield from _both(groups[key], members)


def _both(group: Group, regions: Sequence[Region]) -> Iterator[tuple[Region, bytes, bytes]]:
    """The same part of the same picture of both; no picture is kept for longer than it is read."""
    names = {region: region.picture for region in regions if region.picture}
    names |= _where_text_stands(group, [region for region in regions if not region.picture])
    before = _parts(group.raw, group, names)
    after = _parts(group.output, group, names)
    for region in names:
        first, second = before.get(region), after.get(region)
        if first is not None or second is not None:
            yield region, _png(first, second, region.box), _png(second, first, region.box)


def _where_text_stands(group: Group, regions: Sequence[Region]) -> dict[Region, str]:
    """The picture of each region: the cleaner tells none, and text may stand in few frames alone.

    Of those with the most strokes there, the first that can be read, or else the first.
    """
    likely: dict[Region, list[tuple[float, str, np.ndarray]]] = {region: [] for region in regions}
    shown = pictures(group.raw, is_stack=bool(group.size), each=True) if regions else ()
    for name, picture in shown:
        for region, best in likely.items():
            part = _part(picture, region.box, 0)
            best.append((_strokes(part), name, part))
            best.sort(key=itemgetter(0), reverse=True)
            del best[_LIKELY:]
    return {
        region: next((name for _, name, part in best if _is_legible(part)), best[0][1])
        for region, best in likely.items()
        if best
    }


def _strokes(part: np.ndarray) -> float:
    signed = part.astype(np.int16)
    return sum(float(np.abs(np.diff(signed, axis=axis)).sum()) for axis in (0, 1))


def _is_legible(part: np.ndarray) -> bool:
    """Whether a line of text can be read in it; of what is tall, one that runs up or down."""
    rows, columns = part.shape[:2]
    lines = [part] if columns >= rows else [np.rot90(part), np.rot90(part, 3)]
    return bool(part.size) and any(is_telling(read_line(line)) for line in lines)


def _parts(
    paths: Sequence[Path], group: Group, names: Mapping[Region, str]
) -> dict[Region, np.ndarray]:
    """What each region shows in the picture of that name, or over the full range instead.

    Masking may have changed the range, and with it the windows. What has one value is no picture.
    """
    found = {}
    each = not all(region.picture for region in names)
    for name, picture in pictures(paths, is_stack=bool(group.size), each=each):
        for region, wanted in names.items():
            if name in (wanted, wanted.split(",")[0]):  # The full range comes first.
                found[region] = _part(picture, region.box, _AROUND)
    return found


def _part(picture: np.ndarray, box: Box, around: int) -> np.ndarray:
    """A copy, so that the picture need not be kept."""
    x0, y0, x1, y1 = (max(0, edge) for edge in _widened(box, around))
    return picture[y0:y1, x0:x1].copy()


def _widened(box: Box, around: int) -> Box:
    x0, y0, x1, y1 = box
    return x0 - around, y0 - around, x1 + around, y1 + around


def _png(part: np.ndarray | None, other: np.ndarray | None, box: Box) -> bytes:
    """A part with its region outlined; of a picture that is none, as black as it is."""
    if part is None:
        assert other is not None
        part = np.zeros_like(other)
    left, top = (max(0, edge) for edge in _widened(box, _AROUND)[:2])
    image = Image.fromarray(part).convert("RGB")
    factor = max(1, -(-_SMALLEST // max(1, min(image.size))))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    outline = [(box[0] - left - 1) * factor, (box[1] - top - 1) * factor]
    outline += [(box[2] - left + 1) * factor, (box[3] - top + 1) * factor]
    ImageDraw.Draw(image).rectangle(outline, outline=_FRAME, width=max(2, factor))
    content = BytesIO()
    image.save(content, "PNG", optimize=False)
    return content.getvalue()
