"""Palette colour as RGB (PS3.3 C.7.6.3.1.5 and .6), in whatever order of bytes it is stored."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian

from hounsfield.dicom.codecs import transfer_syntax_of
from hounsfield.errors import UndecodablePixels

__all__ = ["PALETTE_KEYWORDS", "through_palette"]

_COLOURS: Final = ("Red", "Green", "Blue")
_ENTRIES: Final = tuple(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS)
_DESCRIPTORS: Final = tuple(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS)
_SEGMENTED: Final = tuple(f"Segmented{entries}" for entries in _ENTRIES)
#: What a palette consists of.
PALETTE_KEYWORDS: Final = (*_DESCRIPTORS, *_ENTRIES, *_SEGMENTED)
_MOST_OF_8_BITS: Final = 255


def through_palette(indices: np.ndarray, dataset: Dataset) -> np.ndarray:
    """The colours that palette indices stand for.

    Parameters
    ----------
    indices
        Stored values, of any axes.
    dataset
        With its palette.

    Returns
    -------
    numpy.ndarray
        uint8, with one more axis (RGB). Of entries of 16 bits the upper 8, unless no pixel uses
        them: many writers store 8 bits in 16.

    Raises
    ------
    UndecodablePixels
        The palette is missing, or not as the Standard says.
    """
    try:
        colours = apply_color_lut(indices, _in_native_order(dataset))
    except Exception as error:
        raise UndecodablePixels(
            "the colour palette cannot be applied", where=type(error).__name__
        ) from None
    if colours.max(initial=0) > _MOST_OF_8_BITS:
        colours = colours >> 8
    return colours.astype(np.uint8)


def _in_native_order(dataset: Dataset) -> Dataset:
    """The palette with its words as this machine has them; pydicom looks them up as they lie."""
    words = [dataset[keyword] for keyword in _ENTRIES if keyword in dataset]
    if not words or transfer_syntax_of(dataset) != ExplicitVRBigEndian:
        return dataset
    palette = Dataset()
    for keyword in _DESCRIPTORS:
        palette.add(dataset[keyword])
    for element in words:
        turned = np.frombuffer(element.value, ">u2").astype(np.uint16).tobytes()
        palette.add_new(element.tag, "OW", turned)
    return palette
