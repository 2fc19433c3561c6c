"""A palette gives the same colours, however its entries are stored."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from hounsfield.dicom.palette import through_palette
from hounsfield.errors import UndecodablePixels

RAMPS = np.array([range(256), range(255, -1, -1), [7] * 256], np.uint16)


def with_palette(syntax: str, entries: np.ndarray, depth: int) -> Dataset:
    """A dataset whose red, green and blue are the rows of `entries`."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    for colour, row in zip(("Red", "Green", "Blue"), entries, strict=True):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, depth])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", row.tobytes())
    return dataset


@pytest.mark.parametrize(
    ("syntax", "entries", "depth"),
    [
        (ExplicitVRLittleEndian, RAMPS.astype("u1"), 8),
        (ExplicitVRLittleEndian, (RAMPS * 257).astype("<u2"), 16),
        (ExplicitVRLittleEndian, RAMPS.astype("<u2"), 16),
        (ExplicitVRBigEndian, (RAMPS << 8).astype(">u2"), 16),
        (ExplicitVRBigEndian, RAMPS.astype(">u2"), 16),
        # Two entries a word, the first in its lower half (PS3.3 C.7.6.3.1.6).
        (ExplicitVRBigEndian, RAMPS.astype("u1").view("<u2").astype(">u2"), 8),
    ],
    ids=["8", "16", "8 in 16", "16 big", "8 in 16 big", "8 big"],
)
def test_colours(syntax: str, entries: np.ndarray, depth: int) -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    colours = through_palette(indices, with_palette(syntax, entries, depth))
    assert colours.dtype == np.uint8
    assert np.array_equal(colours.reshape(256, 3), RAMPS.T)


def test_no_palette() -> None:
    dataset = with_palette(ExplicitVRLittleEndian, RAMPS.astype("u1"), 8)
    del dataset.GreenPaletteColorLookupTableData
    with pytest.raises(UndecodablePixels):
        through_palette(np.zeros((1, 4, 4), np.uint8), dataset)
