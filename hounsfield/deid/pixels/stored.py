"""Stored pixels of one object: decoded, rendered for reading, masked, and put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import dcmread
from pydicom.pixels.utils import pack_bits
from pydicom.tag import Tag
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000MC,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from hounsfield.dicom.codecs import decode, decode_colours, pixel_dtype, transfer_syntax_of
from hounsfield.dicom.palette import PALETTE_KEYWORDS, through_palette
from hounsfield.dicom.pieces import cut
from hounsfield.dicom.surplus import surplus
from hounsfield.errors import UndecodablePixels, UnreadableFile

__all__ = ["Box", "StoredPixels", "read_pixels", "to_8_bit"]

#: (x0, y0, x1, y1), half-open, pixels from the top left of a frame.
Box = tuple[int, int, int, int]

# Image Pixel Module (PS3.3 C.7.6.3), as far as decoding and showing ask for it.
_PIXEL_ATTRIBUTES = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    *PALETTE_KEYWORDS,
)
_PIXEL_TAGS = sorted(int(Tag(keyword)) for keyword in _PIXEL_ATTRIBUTES)
# Syntaxes that may lose something → LossyImageCompressionMethod (PS3.3 C.7.6.1.1.5.1). Where the
# header does not say that nothing was lost, something may have been.
_LOSSY: Final[dict[str, str]] = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
    JPEG2000MC: "ISO_15444_2",
    HTJ2K: "ISO_15444_15",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and, with a point, its multi-frame ones
_FEW = 8  # frames
_RING = 8  # pixels around a box that tell its background
_LOW, _HIGH = 0.5, 99.5  # percentiles of the window
#: Of 8 bits: where a dim picture's window ends at most and at least; and greys of which a picture
#: must have more to be shown as it is.
_DIM, _DIMMEST = 128, 64
_FAINT = 48
#: Sides of a name of three letters in the smallest print; and how much of a film's range text
#: has to stand out by.
_NAME, _CHANGE = (24, 8), 0.25
_STEPS: Final = np.arange(_LOW, _HIGH + 0.5, 0.5)  # percentiles between which a void is looked for
#: Of the range: so much is a void, and in so much of voids what is left drowns.
_VOID, _MOSTLY_VOID = 0.25, 0.92


@dataclass(slots=True)
class StoredPixels:
    """Decoded pixels.

    Attributes
    ----------
    array
        Stored values, axes (frame, row, column) or (frame, row, column, RGB).
    dataset
        Where they came from.
    """

    array: np.ndarray
    dataset: Dataset

    @classmethod
    def decode(cls, dataset: Dataset) -> StoredPixels:
        """Stored values; colour as RGB, whatever the file holds, and palette indices as they are.

        Raises
        ------
        UndecodablePixels
            As :func:`hounsfield.dicom.codecs.decode`.
        """
        is_grey = int(dataset.get("SamplesPerPixel") or 1) == 1
        array = _writable(decode(dataset)) if is_grey else decode_colours(dataset)
        if hidden := surplus(dataset):
            raise UndecodablePixels(
                f"the pixel data hold {hidden}: nobody can say what",
                remedy="ask its source for it again, or look at it with other software",
            )
        return cls(array, dataset)

    @property
    def is_palette(self) -> bool:
        return self.dataset.get("PhotometricInterpretation") == "PALETTE COLOR"

    def pictures(self) -> Iterator[list[np.ndarray]]:
        """8-bit pictures in which text shows: frames by themselves, and the extremes over all.

        Each through all its windows (:func:`to_8_bit`).

        Every frame where each may be a page, or there are few of them. Of a film the first, the
        middle and the last: what stands in none of them shows in the extremes, unless it is
        darker than another frame there, and brighter than a third. Then :meth:`scenes` show it.
        """
        for plane in self._planes():
            yield list(to_8_bit(plane, inverted=self._is_inverted))

    def _planes(self) -> Iterator[np.ndarray]:
        array = self._displayed()
        count = len(array)
        alone = (0, count // 2, count - 1) if self._is_film else range(count)
        yield from (array[number] for number in alone)
        if count > 1:
            yield array.max(axis=0)
            yield array.min(axis=0)

    def scenes(self) -> Iterator[list[np.ndarray]]:
        """As :meth:`pictures`, of the extremes over each scene of a film; none of anything else.

        In a scene no place as large as a name changes by more than a quarter of the film's range.
        Text has to be hidden in both extremes, so what stands out by more shows in one of them.
        There are as many extremes as frames at most.
        """
        if self._is_film:
            for plane in _extremes_of_scenes(self._displayed()):
                yield list(to_8_bit(plane, inverted=self._is_inverted))

    @property
    def _is_film(self) -> bool:
        are_pages = str(self.dataset.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE)
        return len(self.array) > _FEW and not are_pages

    @property
    def _is_inverted(self) -> bool:
        return self.dataset.get("PhotometricInterpretation") == "MONOCHROME1"

    def _displayed(self) -> np.ndarray:
        return through_palette(self.array, self.dataset) if self.is_palette else self.array

    def mask(self, boxes: Iterable[Box]) -> bool:
        """Fills boxes with their surroundings, in every frame; says whether a value changed."""
        boxes = self.inside(boxes)
        covered = np.zeros(self.array.shape[1:3], bool)
        for x0, y0, x1, y1 in boxes:
            covered[y0:y1, x0:x1] = True
        changed = False
        for box in boxes:
            changed |= self._fill(box, covered)
        return changed

    def _fill(self, box: Box, covered: np.ndarray) -> bool:
        x0, y0, x1, y1 = box
        rows = slice(max(0, y0 - _RING), y1 + _RING)
        columns = slice(max(0, x0 - _RING), x1 + _RING)
        around = self.array[:, rows, columns][:, ~covered[rows, columns]]
        if not around.shape[1]:
            around = self.array[:, ~covered]
        if not around.shape[1]:
            around = np.zeros((len(self.array), 1, *self.array.shape[3:]), self.array.dtype)
        # A colour between two palette indices is no index, and a bit has no middle.
        middle = _most_frequent if self.is_palette else _middle
        fill = middle(around)[:, None, None]
        before = self.array[:, y0:y1, x0:x1]
        changed = bool((before != fill).any())
        self.array[:, y0:y1, x0:x1] = fill
        return changed

    def inside(self, boxes: Iterable[Box]) -> list[Box]:
        """What of each box lies in a frame; those of which nothing does are left out."""
        return [box for box in map(self._clipped, boxes) if box[0] < box[2] and box[1] < box[3]]

    def _clipped(self, box: Box) -> Box:
        rows, columns = self.array.shape[1:3]
        x0, y0, x1, y1 = box
        return max(0, x0), max(0, y0), min(columns, x1), min(rows, y1)

    def put_back(self) -> str:
        """Writes the values into the dataset, without loss; gives the transfer syntax UID.

        What was uncompressed stays in its syntax, what was compressed becomes RLE Lossless, or
        uncompressed where that has no words for it, as 8 bits stored in words of 16; what it may
        have lost before stays stated.
        """
        dataset = self.dataset
        syntax = transfer_syntax_of(dataset)
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in dataset:
                delattr(dataset, keyword)
        if self.array.ndim == 4:
            dataset.PhotometricInterpretation = "RGB"
            dataset.PlanarConfiguration = 0
        if dataset.BitsAllocated == 1:
            dataset.PixelData = pack_bits(self.array.astype(np.uint8), pad=True)
        else:
            if syntax.is_encapsulated:
                self._state_losses(syntax)
                if self._compress():
                    return str(RLELossless)
                syntax = dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                del dataset.PixelData  # with its undefined length
            big = syntax == ExplicitVRBigEndian
            content = self.array.astype(pixel_dtype(dataset).newbyteorder(">" if big else "<"))
            dataset.PixelData = content.tobytes() + b"\0" * (content.nbytes % 2)
        wide = dataset.BitsAllocated > 8 or syntax == ImplicitVRLittleEndian
        dataset["PixelData"].VR = "OW" if wide else "OB"
        return str(syntax)

    def _compress(self) -> bool:
        """Whether they could be."""
        array = self.array if len(self.array) > 1 else self.array[0]
        # Not gdcm's encoder: it ends the process on frames with an odd count of pixels.
        options = {"encoding_plugin": "pylibjpeg", "generate_instance_uid": False}
        try:
            self.dataset.compress(RLELossless, array, **options)
        except Exception:  # pydicom raises whatever the encoder does
            return False
        return True

    def _state_losses(self, syntax: UID) -> None:
        """Says in words what the syntax alone said so far, before it goes."""
        dataset = self.dataset
        if syntax not in _LOSSY or dataset.get("LossyImageCompression"):
            return
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = _LOSSY[syntax]
        dataset.LossyImageCompressionRatio = f"{self.array.nbytes / len(dataset.PixelData):.2f}"


def read_pixels(path: Path) -> Dataset:
    """The attributes that describe the pixels of a file, and the pixels; nothing else.

    Raises
    ------
    UnreadableFile
        If the file cannot be parsed.
    """
    with suppress(Exception):  # pydicom says what is wrong with it, or reads it all the same
        if (dataset := _cut_out(path)) is not None:
            return dataset
    try:
        return dcmread(path, force=True, specific_tags=[*_PIXEL_ATTRIBUTES, "PixelData"])
    except Exception as error:  # its message may quote a value
        raise UnreadableFile(
            "the pixels of a file cannot be read", where=type(error).__name__
        ) from None


def _cut_out(path: Path) -> Dataset | None:
    """In half of the time; None of a file that is out of the common."""
    pieces = cut(path.read_bytes())
    if pieces is None or pieces.pixels is None:
        return None
    tags = [tag for tag in _PIXEL_TAGS if tag in pieces.elements]
    dataset = pieces.dataset(tags, pixels=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pieces.syntax
    return dataset


def _extremes_of_scenes(film: np.ndarray) -> Iterator[np.ndarray]:
    """Where the whole film is one scene, its extremes are known."""
    least, most = film.min(axis=0), film.max(axis=0)
    change = _CHANGE * (float(most.max()) - float(least.min()))
    if not _changes(least, most, change):
        return
    least = most = film[0]
    for frame in film[1:]:
        darkest, brightest = np.minimum(least, frame), np.maximum(most, frame)
        if not _changes(darkest, brightest, change):
            least, most = darkest, brightest
            continue
        yield from _both(least, most)
        least = most = frame
    yield from _both(least, most)


def _changes(least: np.ndarray, most: np.ndarray, change: float) -> bool:
    """Whether a place as large as a name, upright or lying, changes by more on average."""
    range_ = np.subtract(most, least, dtype=np.float32)
    return any(bool((cv2.blur(range_, size) > change).any()) for size in (_NAME, _NAME[::-1]))


def _both(least: np.ndarray, most: np.ndarray) -> Iterator[np.ndarray]:
    yield most
    if least is not most:
        yield least


def to_8_bit(plane: np.ndarray, *, inverted: bool = False) -> Iterator[np.ndarray]:
    """A plane as one 8-bit picture, or as two where much lies above the usual window.

    Burned-in text has the highest value that the pixel can take, often far above the
    anatomy: windowed on the anatomy it may drown in bone, over the full range it stands out.
    What has 8 bits is shown as it is, but where it has few of its greys; a dim one, in which grey
    print is easily overlooked, also windowed. Where padding far away (PS3.3 C.7.5.1.1.2) leaves
    little of the range to all else, what lies between is also shown as if it were all.
    """
    values = plane.astype(np.float32)
    least, most = float(values.min()), float(values.max())
    if plane.dtype == np.uint8 and most - least >= _FAINT:
        yield 255 - plane if inverted else plane
        high = float(np.percentile(plane, _HIGH))
        windows = [(0.0, max(high, _DIMMEST))] if high < _DIM else []
    else:
        part = values[:: 1 + len(values) // 512]
        windows = _windows(part, least, most)
        for crowd in _crowds(part):
            windows += _windows(crowd, float(crowd.min()), float(crowd.max()))
    for bottom, top in dict.fromkeys(windows):
        if top > bottom:
            picture = (np.clip((values - bottom) / (top - bottom), 0, 1) * 255).astype(np.uint8)
            yield 255 - picture if inverted else picture


def _windows(part: np.ndarray, least: float, most: float) -> list[tuple[float, float]]:
    low, high = (float(edge) for edge in np.percentile(part, (_LOW, _HIGH)))
    windows = [(low, high)] if high > low else [(least, most)]
    if max(most - high, low - least) > 0.25 * (high - low):
        windows.append((least, most))
    return windows


def _crowds(values: np.ndarray) -> Iterator[np.ndarray]:
    """The values on each side of the voids, where these are most of the range; else none.

    The pixels tell, not PixelPaddingValue: it is often missing, and the extremes over a stack of
    slices have none.
    """
    steps = np.percentile(values, _STEPS, method="lower")
    span, jumps = steps[-1] - steps[0], np.diff(steps)
    voids = np.flatnonzero(jumps > _VOID * span)
    if jumps[voids].sum() <= _MOSTLY_VOID * span:
        return
    below, above = (-np.inf, *steps[voids]), (*steps[voids + 1], np.inf)
    for bottom, top in zip(below, above, strict=True):
        yield values[(values > bottom) & (values < top)]


def _middle(values: np.ndarray) -> np.ndarray:
    return np.median(values, axis=1).astype(values.dtype)


def _most_frequent(values: np.ndarray) -> np.ndarray:
    modes = []
    for frame in values:
        found, counts = np.unique(frame, return_counts=True)
        modes.append(found[counts.argmax()])
    return np.array(modes, values.dtype)


def _writable(array: np.ndarray) -> np.ndarray:
    return array if array.flags.writeable else array.copy()
