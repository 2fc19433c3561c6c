"""Pictures with text in them, as data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from hounsfield.deid.pixels import StoredPixels, TextBox, find_text
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset

Make = Callable[..., FileDataset]
NAME = "OTTOLINE QUILL"
ROWS, COLUMNS = 192, 320


def drawn(text: str, *, at: tuple[int, int] = (12, 40), frames: int = 1) -> np.ndarray:
    """Speckle with white text; uint8, axes (frame, row, column)."""
    noise = np.random.default_rng(3).integers(20, 60, (frames, ROWS, COLUMNS), np.uint8)
    for frame in noise:
        frame[:] = cv2.GaussianBlur(frame, (5, 5), 0)
        cv2.putText(frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 250, 2, cv2.LINE_AA)
    return noise


def picture(make: Make, array: np.ndarray, **values: Any) -> FileDataset:
    """A dataset with `array` (frame, row, column[, sample]) as its pixels."""
    bits = array.dtype.itemsize * 8
    colour = array.ndim == 4
    base: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1",
        "Modality": "US",
        "Rows": array.shape[1],
        "Columns": array.shape[2],
        "NumberOfFrames": array.shape[0],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }
    if colour:
        base["PlanarConfiguration"] = 0
    dataset = make(**{**base, **values})
    dataset.PixelData = array.tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def stored(dataset: FileDataset, syntax: str, path: Path) -> FileDataset:
    """The dataset as it reads back from a file in a transfer syntax."""
    if syntax in (RLELossless, JPEG2000Lossless):
        dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        write_dataset(dataset, path)
        return read_header(path, stop_before_pixels=False)
    big, implicit = syntax == ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    if big:
        array = np.frombuffer(dataset.PixelData, f"u{dataset.BitsAllocated // 8}")
        dataset.PixelData = array.byteswap().tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, dataset, implicit_vr=implicit, little_endian=not big, force_encoding=True)
    return read_header(path, stop_before_pixels=False)


def grey_palette(words: str) -> dict[str, Any]:
    """256 greys of 8 bits, in the upper half of words of this kind."""
    entries = (np.arange(256) << 8).astype(words).tobytes()
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = entries
    return palette


def read_words(dataset: FileDataset) -> str:
    return " ".join(text.text for text in read_all(dataset))


def read_all(dataset: FileDataset) -> list[TextBox]:
    """What is read in any picture of an object, through any window."""
    pictures = StoredPixels.decode(dataset).pictures()
    return [text for windows in pictures for window in windows for text in find_text(window)]


#: The value that pads, its share of the rows, and how far text stands out.
PADDINGS = [
    (-32768, 0.3, 1000),
    (-32768, 0.3, 300),
    (-32768, 0.02, 300),
    (65535, 0.3, 1000),
    (65535, 0.7, 300),
]


def padded(padding: int, share: float, contrast: int) -> np.ndarray:
    """A name over speckle, and padding below it; axes (frame, row, column)."""
    bright = drawn(NAME) > 200
    array = drawn("") + bright * np.int32(contrast)
    array[:, -int(share * ROWS) :] = padding
    return array.astype(np.int16 if padding < 0 else np.uint16)
