"""Bits of the pixels beside the stored values, in which overlays were drawn once.

A word may have more bits than its value: BitsAllocated, BitsStored. Overlays that lie in the
others (PS3.3 Section C.9.2, since retired) outlive the attributes that describe them, and who
decodes the values does not see them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, JPEGLossless, JPEGLosslessSV1, RLELossless

from hounsfield.deid.pixels.stored import StoredPixels
from hounsfield.dicom.codecs import decode_words, transfer_syntax_of
from hounsfield.errors import UndecodablePixels

__all__ = ["Words", "clear_unused_bits"]

#: Compressed words of which decoders hide the unused bits. What other syntaxes hold, they show.
_CODED: Final = frozenset({RLELossless, JPEGLossless, JPEGLosslessSV1})


@dataclass(frozen=True, slots=True)
class Words:
    """How stored values lie in words with more bits (PS3.5 Section 8.1.1).

    Attributes
    ----------
    dtype
        Of a word in native pixel data; signed where the values are.
    stored
        Bits of a value.
    lowest
        Its lowest bit; 0, as the Standard has it now.
    are_coded
        Whether a decoder is needed to see them.
    """

    dtype: np.dtype[Any]
    stored: int
    lowest: int
    are_coded: bool

    @classmethod
    def of(cls, dataset: Dataset) -> Words | None:
        """None where a word has no unused bits, or decoders show them.

        Raises
        ------
        UndecodablePixels
            The attributes that would tell are no numbers.
        """
        syntax = transfer_syntax_of(dataset) if "PixelData" in dataset else None
        if syntax is None or (syntax.is_encapsulated and syntax not in _CODED):
            return None
        allocated = _number(dataset, "BitsAllocated", 0)
        stored = _number(dataset, "BitsStored", allocated)
        highest = _number(dataset, "HighBit", stored - 1)
        if allocated not in (8, 16, 32, 64) or not 0 < stored < allocated:
            return None
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        kind = "i" if _number(dataset, "PixelRepresentation", 0) == 1 else "u"
        dtype = np.dtype(f"{order}{kind}{allocated // 8}")
        return cls(dtype, stored, max(0, highest - stored + 1), syntax.is_encapsulated)

    def hide(self, content: bytes | memoryview) -> bool:
        """Whether a bit beside the values of native pixel data is set.

        The sign of a value may be repeated in the bits above it, if it is in all words.
        """
        return self.hide_in(np.frombuffer(content, self.dtype, len(content) // self.dtype.itemsize))

    def hide_in(self, words: np.ndarray) -> bool:
        """As :meth:`hide`, of words that have been decoded."""
        unsigned = words.view(words.dtype.str.replace("i", "u"))
        if not words.size:
            return False
        if self.lowest:
            value = max(0, (1 << self.stored) - (1 << self.lowest))
            return bool(int(np.bitwise_or.reduce(unsigned, axis=None)) & ~value)
        limit = 1 << self.stored
        if unsigned.max() < limit:
            return False
        signed = words.view(words.dtype.str.replace("u", "i"))
        is_sign = -limit // 2 <= signed.min() and signed.max() < limit // 2
        return not (self.dtype.kind == "i" and is_sign)


def clear_unused_bits(dataset: Dataset) -> str:
    """Clears the bits beside the stored values where any is set; the values stay.

    Returns
    -------
    str
        The transfer syntax UID, as :meth:`StoredPixels.put_back` gives it; empty where no
        such bit is set and nothing was changed.

    Raises
    ------
    UndecodablePixels
        Such a bit is set, and the pixels cannot be decoded, or the values are not the lowest
        bits, where decoders look for them.
    """
    words = Words.of(dataset)
    if words is None or not _hides(dataset, words):
        return ""
    if words.lowest:
        raise UndecodablePixels(
            "the stored values are not the lowest bits of the pixels",
            remedy="ask its source for it again, with a HighBit of BitsStored - 1",
        )
    return StoredPixels.decode(dataset).put_back()


def _hides(dataset: Dataset, words: Words) -> bool:
    if words.are_coded:
        return words.hide_in(decode_words(dataset))
    return words.hide(dataset.get_item("PixelData").value or b"")


def _number(dataset: Dataset, keyword: str, default: int) -> int:
    try:
        value = dataset.get(keyword)
        return default if value is None else int(value)
    except (TypeError, ValueError):
        raise UndecodablePixels(f"{keyword} is no number") from None
