"""A short reading is read again at other sizes before a mask is laid over it.

Screws and ticks read as a row of ones, the tip of a catheter as a letter or two, and the edge
of a tile cuts a marker: all look like text of a few letters. Longer text is never doubted unless
it resembles a marker, what any size confirms is masked, and so is what was read surely, unless it
is strokes or a marker.
The gate takes no second look: what this one lets stay wrongly, a person is shown.

What was known as a marker in one round of masking is one in the next, where it may read worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import Final, NamedTuple

import cv2
import numpy as np

from hounsfield.deid.pixels.codes import find_codes
from hounsfield.deid.pixels.markers import (
    STROKES,
    is_marker,
    is_part,
    is_telling,
    resembles,
    resembles_marker,
    time_and_marker,
)
from hounsfield.deid.pixels.ocr import (
    TextBox,
    find_text,
    is_same_place,
    padded,
    read_line,
    share_within,
)
from hounsfield.deid.pixels.stored import Box

__all__ = ["Look", "Marker", "look_at"]

#: So many letters and digits are a date; from there on a reading is believed.
_LONG: Final = 6
#: So many are a letter or two, as which bones and grids read; limbs, side by side, as one more.
_BRIEF: Final = 2
_FEW_SIGNS: Final = 3
#: As what part of a picture's lesser side letters are large: a sixth, of a thumbnail none.
_LARGE: Final = 6
_THUMBNAIL: Final = 48
#: Score from which the reader is sure, and that for a letter or two of ASCII. Names in every
#: script tried were confirmed below it, too.
_SURE: Final = 0.8
_SURE_OF_TWO: Final = 0.9
_CERTAIN: Final = 0.95
#: A picture that bears more short readings is a page of text, and nothing on it is doubted: a dose
#: report has a hundred, and each look at one takes seconds.
_FEW: Final = 12
#: As what screws across bones read.
_LINES: Final = STROKES | {"7"}
#: Room to each side of a line that is read as a whole, and above and below it, in its heights.
_ROOM: Final = (0.5, 1.0, 1.5)
_ABOVE: Final = 0.15
#: Where a line may be cut: widths to each side of where its letters say, in steps of its height.
_REACH: Final = 0.15
_STEP: Final = 0.125
#: Heights of the letters when they are read again, in pixels; and how many looks are enough.
_HEIGHTS: Final = (24, 32, 48)
_ENOUGH: Final = 2
_MOST_ENLARGED: Final = 4.0
#: Least side of what is read again; of less, the detector would choose the size itself.
_SIDE: Final = 736
#: Share of a piece that lies in the box of the marker that it was cut off.
_INSIDE: Final = 0.8
#: Share of its height, or of its width if it lies, that such a piece has: less are initials in a
#: corner of the box of a marker that leans.
_ACROSS: Final = 0.7
#: Share of letters in common that a later reading has with the marker that is known there.
_STILL: Final = 0.5


class Marker(NamedTuple):
    """A marker that is known, and where: (x0, y0, x1, y1), half-open, pixels from the top left."""

    box: Box
    text: str


class Look(NamedTuple):
    """What one look at a picture found: text that could identify anybody, and markers."""

    telling: list[TextBox]
    markers: list[Marker]


def look_at(
    windows: Sequence[np.ndarray],
    known: Sequence[Marker] = (),
    body: Sequence[Box] = (),
    masked: Sequence[Box] = (),
) -> Look:
    """Text in a picture that could identify anybody, but for what a second look disproves.

    Parameters
    ----------
    windows
        The picture, once for each range of its values: uint8, axes (row, column) or (row, column,
        RGB). A marker that one of them shows whole is one in all.
    known
        Markers that an earlier look found, before something else was masked.
    body
        Where the picture shows the body, if that is known: what is read elsewhere is no bone, and
        nothing of it is doubted. Empty: anywhere.
    masked
        What will be masked anyway, as other pictures of the object showed; a reading in one of
        these boxes needs no judgement, which takes seconds.
    """
    read = [find_text(window) for window in windows]
    markers = [
        *known,
        *(Marker(text.box, text.text) for found in read for text in found if is_marker(text.text)),
    ]
    telling: list[TextBox] = []
    for window, found in zip(windows, read, strict=True):
        places = [*masked, *(padded(text.box) for text in telling)]
        telling += _telling(window, found, markers, body, places)
    return Look(telling, markers)


def _telling(
    picture: np.ndarray,
    found: Sequence[TextBox],
    markers: list[Marker],
    body: Sequence[Box],
    masked: Sequence[Box],
) -> list[TextBox]:
    """What could identify anybody of what was found in a picture; adds to the markers."""
    unknown = [
        text
        for text in found
        if is_telling(text.text)
        and not _is_known(text, markers)
        and not _is_about_several(text, markers)
    ]
    codes = find_codes(picture)
    if sum(_is_doubtful(text.text) for text in unknown) > _FEW:
        return [*unknown, *codes]
    telling = [code for code in codes if not any(_is_in(code.box, box) for box in masked)]
    for text in unknown:
        if any(_is_in(text.box, box) for box in masked):
            continue
        if not _is_doubtful(text.text) or (body and not _is_within(text.box, body)):
            telling.append(_without_marker(text, picture))
            continue
        if _is_huge(text, picture):
            continue
        views = list(_views(picture, text.box))
        if marker := _marker(text, picture, views):
            markers.append(Marker(text.box, marker))
        elif not _is_disproved(text, picture, views, markers):
            telling.append(text)
    return telling


def _is_within(box: Box, places: Sequence[Box]) -> bool:
    return any(_touch(box, list(place)) for place in places)


def _is_in(box: Box, place: Box) -> bool:
    x0, y0, x1, y1 = place
    return x0 <= box[0] and y0 <= box[1] and box[2] <= x1 and box[3] <= y1


def _is_known(text: TextBox, known: Sequence[Marker]) -> bool:
    """Whether a reading is doubtful and lies where a marker is known that it could be a part of.

    More letters than the marker has are news. Fewer inside it, and about as high, are what a tile
    cut off, which reads as anything.
    """
    return _is_doubtful(text.text) and any(_is_part_of(text, marker) for marker in known)


def _is_part_of(text: TextBox, marker: Marker) -> bool:
    read, known = _signs(text.text), _signs(marker.text)
    if is_same_place(text.box, marker.box):
        return read <= known and resembles(text.text, marker.text, _STILL)
    return read < known and _is_inside(text, marker) and _spans(text.box, marker.box)


def _is_inside(text: TextBox, marker: Marker) -> bool:
    return share_within(text.box, marker.box) > _INSIDE


def _but_markers_around(
    text: TextBox, known: Sequence[Marker], views: Sequence[Sequence[str]]
) -> list[list[str]]:
    """What looks read of a text, without how they read a marker that it is inside."""
    around = [marker.text for marker in known if _is_inside(text, marker)]

    def is_one(read: str) -> bool:
        return any(_signs(read) <= _signs(one) and resembles(read, one) for one in around)

    return [[read for read in seen if not is_one(read)] for seen in views]


def _spans(piece: Box, marker: Box) -> bool:
    (x0, y0, x1, y1), (left, top, right, bottom) = piece, marker
    return x1 - x0 > _ACROSS * (right - left) or y1 - y0 > _ACROSS * (bottom - top)


def _is_about_several(text: TextBox, markers: Sequence[Marker]) -> bool:
    """Whether it is about two markers close to each other, with no more letters than either."""
    held = [
        marker
        for marker in markers
        if _is_in(marker.box, text.box) and _signs(text.text) <= _signs(marker.text)
    ]
    pairs = combinations(held, 2)
    return _is_doubtful(text.text) and any(
        not is_same_place(one.box, other.box) for one, other in pairs
    )


def _is_doubtful(text: str) -> bool:
    return _is_short(text) or resembles_marker(text)


def _is_disproved(
    first: TextBox, picture: np.ndarray, views: list[list[str]], markers: Sequence[Marker]
) -> bool:
    """Whether a reading that is no marker is short and neither sure nor confirmed by looks."""
    if not _is_short(first.text):
        return False
    if _is_confirmed(first, picture, _but_markers_around(first, markers, views)):
        return False
    return not _is_sure(first) or any(is_marker(text) for seen in views for text in seen)


def _is_confirmed(first: TextBox, picture: np.ndarray, views: list[list[str]]) -> bool:
    """Whether any size reads text; where bones could, two have to.

    Lines have to read alike twice, at first or later, and as no less than at first.
    """
    at_first, *read = [
        {_alphanumeric(text) for text in seen if is_telling(text) and not _is_strokes(text)}
        for seen in ([first.text], *views)
    ]
    if _are_lines(first.text):
        whole = (text for text in chain(at_first, *read) if _signs(text) >= _signs(first.text))
        return max(Counter(whole).values(), default=0) >= _ENOUGH
    could_be = _are_strokes_but_for_one(first.text) or _is_large(first, picture)
    return sum(map(bool, read)) >= (_ENOUGH if could_be else 1)


def _is_huge(first: TextBox, picture: np.ndarray) -> bool:
    """Whether it is a letter or three that nobody burns in as large: limbs, and parts of devices.

    At other sizes, too, they look like these letters.
    """
    is_few = _signs(first.text) <= _FEW_SIGNS
    return is_few and _is_large(first, picture) and first.score < _CERTAIN


def _is_large(first: TextBox, picture: np.ndarray) -> bool:
    x0, y0, x1, y1 = first.box
    side = min(picture.shape[:2])
    return side >= _THUMBNAIL and min(x1 - x0, y1 - y0) * _LARGE > side


def _marker(first: TextBox, picture: np.ndarray, views: list[list[str]]) -> str:
    """The marker that two looks read, where none reads another text in its place or beside it.

    Whoever looks for lines cuts their ends off at times: *LMLO* reads as *LML* then. So the line
    is also read as a whole, with some room to both sides.
    """
    lines = [read_line(_line(picture, first.box, room)) for room in _ROOM]
    looks = [*([line] for line in lines), *views]
    read = Counter(marker for seen in looks for marker in {t.upper() for t in seen if is_marker(t)})
    beside = [text for seen in views for text in seen if _signs(text) > _BRIEF]
    likely = (
        marker
        for marker, count in read.items()
        if count >= _ENOUGH
        and all(resembles(text, marker) for text in (first.text, *lines, *beside))
    )
    return next(likely, "")


def _without_marker(line: TextBox, picture: np.ndarray) -> TextBox:
    """The time that a marker stands beside in one line, where each reads alone as in the line."""
    x0, y0, x1, y1 = line.box
    parts = time_and_marker(line.text)
    if not parts:
        return line
    near = x0 + round((x1 - x0) * len(parts[0]) / len(line.text))
    reach, step = round((x1 - x0) * _REACH), max(1, round((y1 - y0) * _STEP))
    fitting = [
        cut
        for cut in range(max(x0 + step, near - reach), min(x1, near + reach), step)
        if (read_line(picture[y0:y1, x0:cut]), read_line(picture[y0:y1, cut:x1])) == parts
    ]
    if not fitting:
        return line
    # Close to the time: its mask will be a little larger.
    is_first = is_marker(parts[0])
    return replace(line, box=(fitting[-1], y0, x1, y1) if is_first else (x0, y0, fitting[0], y1))


def _line(picture: np.ndarray, box: Box, room: float) -> np.ndarray:
    x0, y0, x1, y1 = box
    aside, above = round(room * (y1 - y0)), round(_ABOVE * (y1 - y0))
    return picture[max(0, y0 - above) : y1 + above, max(0, x0 - aside) : x1 + aside]


def _is_sure(first: TextBox) -> bool:
    if _is_strokes(first.text):
        return False
    is_brief = first.text.isascii() and _signs(first.text) <= _BRIEF
    return first.score >= (_SURE_OF_TWO if is_brief else _SURE)


def _is_short(text: str) -> bool:
    return _signs(text) < _LONG


def _signs(text: str) -> int:
    return len(_alphanumeric(text))


def _alphanumeric(text: str) -> str:
    """Its letters and digits."""
    return "".join(filter(str.isalnum, text))


def _is_strokes(text: str) -> bool:
    """Whether screws or ticks could read like this."""
    return _is_short(text) and STROKES.issuperset(_alphanumeric(text))


def _are_lines(text: str) -> bool:
    """Whether screws could read like this that cross bones: another number at each size."""
    return _LINES.issuperset(_alphanumeric(text))


def _are_strokes_but_for_one(text: str) -> bool:
    """Whether bones with a screw between them could read like this."""
    signs = _alphanumeric(text)
    return len(signs) > _FEW_SIGNS and sum(one not in STROKES for one in signs) <= 1


def _views(picture: np.ndarray, box: Box) -> Iterator[list[str]]:
    """What touches a box, as read at each size with its surroundings."""
    x0, y0, x1, y1 = box
    for height in _HEIGHTS:
        scale = min(height / max(1, min(x1 - x0, y1 - y0)), _MOST_ENLARGED)
        reach = int(max(_SIDE / scale, 2 * max(x1 - x0, y1 - y0))) // 2
        left, top = max(0, (x0 + x1) // 2 - reach), max(0, (y0 + y1) // 2 - reach)
        part = picture[top : (y0 + y1) // 2 + reach, left : (x0 + x1) // 2 + reach]
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        seen = cv2.resize(part, None, fx=scale, fy=scale, interpolation=how)
        place = [(edge - start) * scale for edge, start in zip(box, (left, top) * 2, strict=True)]
        found = [text for text in find_text(seen) if _touch(text.box, place)]
        yield [one.text for one in found if not any(_is_piece(one, other) for other in found)]


def _is_piece(text: TextBox, whole: TextBox) -> bool:
    """Whether it is letters of a marker that the same look read whole, as tiles cut them off."""
    return (
        is_marker(whole.text)
        and not is_marker(text.text)
        and is_part(text.text, whole.text)
        and share_within(text.box, whole.box) > _INSIDE
    )


def _touch(one: Box, other: list[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
