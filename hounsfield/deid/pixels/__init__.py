"""Burned-in text: where to look, reading it, masking it, and looking again.

A scan finds the text in an 8-bit rendering of the stored values; masks are laid in the stored
values themselves. Pixels without text keep their exact bytes.
"""

from __future__ import annotations

from hounsfield.deid.pixels.candidates import Look, how_to_look
from hounsfield.deid.pixels.clean import TOO_SMALL, clean_pixels, mask_known
from hounsfield.deid.pixels.ocr import TextBox, can_bear_text, find_text
from hounsfield.deid.pixels.series import Scan, scan_series
from hounsfield.deid.pixels.stored import Box, StoredPixels, read_pixels
from hounsfield.deid.pixels.unused import Words, clear_unused_bits

__all__ = [
    "TOO_SMALL",
    "Box",
    "Look",
    "Scan",
    "StoredPixels",
    "TextBox",
    "Words",
    "can_bear_text",
    "clean_pixels",
    "clear_unused_bits",
    "find_text",
    "how_to_look",
    "mask_known",
    "read_pixels",
    "scan_series",
]
