"""Check: no text is left in the pixels of the output; and what a person is shown of it.

The pictures are rendered here, not by the cleaner's code, and another frame is read. What is
looked at, it decides; over input and output the stricter decision counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian

from hounsfield.deid.pixels.candidates import Look, how_to_look
from hounsfield.deid.pixels.codes import find_codes
from hounsfield.deid.pixels.markers import is_telling
from hounsfield.deid.pixels.ocr import TextBox, find_text, is_same_place
from hounsfield.dicom.codecs import decode, decode_colours
from hounsfield.dicom.palette import PALETTE_KEYWORDS, through_palette
from hounsfield.dicom.surplus import surplus
from hounsfield.errors import UndecodablePixels
from hounsfield.gate.elements import Element
from hounsfield.gate.report import Box, Finding
from hounsfield.gate.search import Search

__all__ = ["CHECK", "Group", "Headers", "grouped", "pictures", "read_group"]

CHECK = "pixels"

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and, with a point, its multi-frame ones
_FEW = 8  # frames, or objects of a stack
_RUN = 16  # frames
_PRINT, _NAME = 8, 18  # Below these sides, the shorter and the longer, no name is legible.
_LONG = 6  # letters and digits: a date has as many
_LOW, _HIGH = 1.0, 99.0  # percentiles of the narrower window
_FAINT = 48  # greys of 8 bits: with fewer, a viewer's window shows what nobody sees without it
#: What share of the pixels may be padding, how far it lies, and what is little of the range.
_SHARED, _FAR, _LITTLE = 0.005, 0.25, 0.08
_PIXEL_ATTRIBUTES: Final = (
    *("SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelData"),
    *PALETTE_KEYWORDS,
)
_TRANSFER_SYNTAX = 0x00020010
_NUMBERS: Final = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
_LOOK_ATTRIBUTES: Final = {
    keyword: int(Tag(keyword))
    for keyword in (
        *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "ImageType"),
        *("BurnedInAnnotation", "PixelData", *_NUMBERS),
    )
}
_STRICTER: Final = {Look.EACH: 0, Look.PROJECTION: 1, Look.NONE: 2}


@dataclass(frozen=True, slots=True)
class Group:
    """Objects that are looked at as one: a single one, or a stack of slices of one size.

    Attributes
    ----------
    object
        New SOPInstanceUID, or SeriesInstanceUID of a stack.
    raw, output
        Files as received and as de-identified, in the same order.
    size
        ``rows x columns`` of a stack.
    """

    object: str
    raw: tuple[Path, ...]
    output: tuple[Path, ...]
    size: str = ""


class Headers:
    """What decides how each file is looked at, as the second reader or pydicom reads it."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, Any]] = {}

    def note(self, path: Path, elements: Iterable[Element]) -> None:
        """Keeps what a file says, so that it need not be read again."""
        found = {element.tag: element for element in elements if len(element.path) == 1}
        if _TRANSFER_SYNTAX not in found or found[_TRANSFER_SYNTAX].text == ExplicitVRBigEndian:
            return  # The numbers' order of bytes is pydicom's to know.
        self._known[path] = {
            keyword: _value(keyword, found[tag])
            for keyword, tag in _LOOK_ATTRIBUTES.items()
            if tag in found
        }

    def of(self, path: Path) -> Mapping[str, Any] | Dataset:
        """Values by keyword.

        Raises
        ------
        UndecodablePixels
            The file cannot be read.
        """
        return self._known[path] if path in self._known else _header(path)


def _value(keyword: str, element: Element) -> Any:
    if keyword in _NUMBERS:
        return int.from_bytes(element.value[:2], "little")
    if keyword == "PixelData":
        return element.encapsulated or element.value
    return element.text.split("\\") if keyword == "ImageType" else element.text


def grouped(pairs: Iterable[tuple[Path, Path]], headers: Headers | None = None) -> list[Group]:
    """Sorts the files of a study (raw, output) into what is looked at as one.

    What no person could have written on is left out.
    """
    headers = headers or Headers()
    stacks: dict[tuple[str, int, int], list[tuple[Path, Path]]] = {}
    groups = []
    for raw, output in pairs:
        cleaned = headers.of(output)
        look = min(how_to_look(headers.of(raw)), how_to_look(cleaned), key=_STRICTER.__getitem__)
        if look is Look.EACH:
            groups.append(Group(str(cleaned.get("SOPInstanceUID", "")), (raw,), (output,)))
        elif look is Look.PROJECTION:
            size = (int(cleaned.get("Rows") or 0), int(cleaned.get("Columns") or 0))
            key = (str(cleaned.get("SeriesInstanceUID", "")), *size)
            stacks.setdefault(key, []).append((raw, output))
    for (series, rows, columns), files in stacks.items():
        raws, outputs = zip(*files, strict=True)
        groups.append(Group(series, raws, outputs, f"{rows} x {columns}"))
    return groups


def read_group(group: Group, search: Search) -> list[tuple[Finding, Box]]:
    """Every telling text in the output pixels of a group, with where it stands.

    What reads the same in the same place of several pictures is told once: a mask covers it in all
    of them, and a reviewer looks through some regions, not through hundreds of one text.

    Raises
    ------
    DeidentificationError
        The reader failed: what was not read is not released.
    """
    found: dict[tuple[str, Box], Finding] = {}
    places: dict[str, list[Box]] = {}
    try:
        for name, picture in pictures(group.output, is_stack=bool(group.size)):
            for text in _texts(picture):
                known = places.setdefault(text.text, [])
                if any(is_same_place(text.box, box) for box in known):
                    continue
                known.append(text.box)
                told = sorted(search.text(text.text) | search.text(text.text.replace(" ", "")))
                rule = f"text left: {', '.join(told)}" if told else "text left"
                finding = Finding(CHECK, rule, name, object=group.object)
                found.setdefault((name.split(",")[0], text.box), finding)
    except UndecodablePixels:
        unread = Finding(CHECK, "pixels that cannot be decoded", "", object=group.object)
        return [(unread, (0, 0, 0, 0))]
    return [(finding, box) for (_, box), finding in found.items()]


def _texts(picture: np.ndarray) -> Iterator[TextBox]:
    """What could identify somebody: each upright reading, long ones that run up or down, codes.

    Nothing here doubts what was read, and a person is asked about each; turned, bones and grids
    read as a few letters.
    """
    yield from find_codes(picture)
    upright = find_text(picture, turned=False)
    yield from (text for text in upright if is_telling(text.text))
    for text in find_text(picture, upright=False):
        is_long = sum(map(str.isalnum, text.text)) >= _LONG and is_telling(text.text)
        if is_long and not any(is_same_place(text.box, known.box) for known in upright):
            yield text


def pictures(
    paths: Sequence[Path], *, is_stack: bool = False, each: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """8-bit pictures in which text of any frame shows, each by its name.

    Of one object, and of each in a stack of few, every frame, where each may be a page or there
    are few; of a film those a quarter from its ends (the cleaner reads these, and the middle). Of
    all frames, and of each run of them in a film that is no stack, the brightest and the darkest
    value of each pixel. uint8, axes (row, column) or (row, column, RGB).

    Parameters
    ----------
    each
        Whether every frame is shown besides, however many there are.
    """
    most: np.ndarray | None = None
    least: np.ndarray | None = None
    count = 0
    for order, path in enumerate(paths, 1):
        array, inverted, are_pages = _stored(path)
        count += len(array)
        if each or len(paths) <= _FEW:
            of = f"object {order} " if len(paths) > 1 else ""
            last = len(array) - 1
            is_short = are_pages or len(array) <= _FEW
            ends = (last // 4, last - last // 4)
            for number in range(len(array)) if each or is_short else ends:
                yield from _windows(f"{of}frame {number + 1}", array[number], inverted)
            if not (is_short or is_stack):
                yield from _runs(array, inverted)
        one = len(array) == 1
        bright = array[0] if one else array.max(axis=0)
        dark = array[0] if one else array.min(axis=0)
        most = bright if most is None else np.maximum(most, bright)
        least = dark if least is None else np.minimum(least, dark)
    if count > 1 and most is not None and least is not None:
        yield from _windows("brightest of all", most, inverted)
        yield from _windows("darkest of all", least, inverted)


def _runs(film: np.ndarray, inverted: bool) -> Iterator[tuple[str, np.ndarray]]:
    """What stands in all frames of a run stands out in one of its extremes, whatever moves."""
    last: dict[str, np.ndarray] = {}
    for start in range(0, len(film), _RUN):
        run = film[start : start + _RUN]
        for which, plane in (("brightest", run.max(axis=0)), ("darkest", run.min(axis=0))):
            if which not in last or not np.array_equal(last[which], plane):
                name = f"{which} of frames {start + 1} to {start + len(run)}"
                yield from _windows(name, plane, inverted)
            last[which] = plane


def _windows(name: str, plane: np.ndarray, inverted: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Over the full range, and narrower where most of the picture is crowded in a part of it.

    Where padding leaves little of the range to the picture, this is shown without it, too.
    """
    shorter, longer = sorted(plane.shape[:2])
    if shorter < _PRINT or longer < _NAME:
        return
    if plane.dtype == np.uint8 and not 0 < np.ptp(plane) < _FAINT:
        yield name, 255 - plane if inverted else plane
        return
    values = plane.astype(np.float32)
    least, most = float(values.min()), float(values.max())
    ranges = _ranges(name, values[::4], least, most)
    crowd = _without_padding(values[::4])
    if crowd.size:
        unpadded = f"{name}, without padding"
        ranges |= _ranges(unpadded, crowd, float(crowd.min()), float(crowd.max()))
    for each, (bottom, top) in ranges.items():
        if top > bottom:
            scaled = (np.clip((values - bottom) / (top - bottom), 0, 1) * 255).astype(np.uint8)
            yield each, 255 - scaled if inverted else scaled


def _ranges(
    name: str, values: np.ndarray, least: float, most: float
) -> dict[str, tuple[float, float]]:
    low, high = (float(each) for each in np.percentile(values, (_LOW, _HIGH)))
    ranges = {name: (least, most)}
    if high > low and most - least > 1.25 * (high - low):
        ranges[f"{name}, narrow window"] = (low, high)
    return ranges


def _without_padding(values: np.ndarray) -> np.ndarray:
    """Values but an end of the range that many pixels share, far away from all others.

    Padding (PS3.3 C.7.5.1.1.2) is known by that, whatever the header states. Empty where there is
    none, or where the picture has enough of the range beside it.
    """
    ends = float(values.min()), float(values.max())
    whole, crowd = ends[1] - ends[0], values
    for end in ends:
        rest = crowd[crowd != end]
        is_shared = 0 < rest.size <= (1 - _SHARED) * crowd.size
        if is_shared and np.percentile(np.abs(rest - end), _LOW) > _FAR * whole:
            crowd = rest
    low, high = np.percentile(crowd, (_LOW, _HIGH))
    return crowd if crowd is not values and high - low < _LITTLE * whole else values[:0]


def _stored(path: Path) -> tuple[np.ndarray, bool, bool]:
    """Values of all frames, colour as RGB; whether low ones are bright, and each frame a page."""
    with _named_failures():
        dataset = dcmread(path, force=True, specific_tags=list(_PIXEL_ATTRIBUTES))
    are_pages = str(dataset.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE)
    array, inverted = _displayed(dataset)
    if surplus(dataset):
        raise UndecodablePixels("the pixel data hold more than the frames")
    return array, inverted, are_pages


def _displayed(dataset: Dataset) -> tuple[np.ndarray, bool]:
    if int(dataset.get("SamplesPerPixel") or 1) > 1:
        return decode_colours(dataset), False
    array = decode(dataset)
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return through_palette(array, dataset), False
    return array, dataset.get("PhotometricInterpretation") == "MONOCHROME1"


def _header(path: Path) -> Dataset:
    """What decides how an object is looked at; its pixels only as far as they are there."""
    with _named_failures():
        dataset = dcmread(path, force=True, specific_tags=list(_LOOK_ATTRIBUTES), defer_size=4096)
    return dataset


@contextmanager
def _named_failures() -> Iterator[None]:
    """pydicom's messages may quote a value."""
    try:
        yield
    except Exception as error:
        raise UndecodablePixels(
            "the pixels of a file cannot be read", where=type(error).__name__
        ) from None
