"""Overlays that lie in the pixels, in bits beside the stored values, as overlays of their own.

So they were kept once (PS3.3-2004 Section C.9.2, since retired): OverlayBitPosition says in which
bit of each word. Who keeps the values alone, and writes them again, has to take such bits along.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from hounsfield.dicom.attributes import Instance, JsonDataset
from hounsfield.dicom.codecs import decode_words

__all__ = ["is_bit_position", "with_overlays"]

#: Group 60xx → OverlayBitPosition.
_BIT_POSITION: Final = 0x60000102
_ANY_GROUP: Final = 0xFF01FFFF  # the even ones from 6000 on: PS3.5 Section 7.6


def is_bit_position(tag: int) -> bool:
    """Whether a tag is OverlayBitPosition of one of the groups."""
    return tag & _ANY_GROUP == _BIT_POSITION


def with_overlays(instance: Instance, dataset: Dataset) -> Instance:
    """The instance with the bits of such overlays as OverlayData (PS3.3 Section C.9.2).

    Parameters
    ----------
    instance
        Given back as it is where no overlay lies in the pixels.
    dataset
        The same, with its pixel data.

    Raises
    ------
    UndecodablePixels
        The pixels cannot be decoded.
    """
    positions = _positions(instance.elements)
    values = _bits_of_values(dataset)
    positions = {group: bit for group, bit in positions.items() if bit not in values}
    if not positions or dataset.get("SamplesPerPixel", 1) != 1:
        return instance
    words = decode_words(dataset)
    elements = dict(instance.elements)
    for group, bit in positions.items():
        elements |= {f"{group}{name}": value for name, value in _overlay(words, bit).items()}
    return Instance(instance.file_meta, dict(sorted(elements.items())))


def _positions(elements: JsonDataset) -> dict[str, int]:
    """Of each group without data of its own, in which bit of the words the overlay lies."""
    found = {
        name[:4]: element.get("Value", [0])[0]
        for name, element in elements.items()
        if is_bit_position(int(name, 16)) and f"{name[:4]}3000" not in elements
    }
    return {group: bit for group, bit in found.items() if isinstance(bit, int) and bit}


def _bits_of_values(dataset: Dataset) -> range:
    stored = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0)
    high = int(dataset.get("HighBit") or stored - 1)
    return range(high - stored + 1, high + 1)


def _overlay(words: np.ndarray, bit: int) -> dict[str, dict[str, Any]]:
    """What a group says of an overlay with its data, by element number."""
    bits = words >> bit & 1 if bit < 8 * words.itemsize else np.zeros_like(words)
    packed = np.packbits(bits.astype(np.uint8), axis=None, bitorder="little").tobytes()
    packed += b"\0" * (len(packed) % 2)
    frames, rows, columns = words.shape
    numbers = {"0010": rows, "0011": columns, "0100": 1, "0102": 0}
    told: dict[str, dict[str, Any]] = {
        number: {"vr": "US", "Value": [value]} for number, value in numbers.items()
    }
    if frames > 1:
        told["0015"] = {"vr": "IS", "Value": [frames]}
        told["0051"] = {"vr": "US", "Value": [1]}
    return told | {"3000": {"vr": "OW", "InlineBinary": base64.b64encode(packed).decode()}}
