"""Private elements, and who reserves their blocks (PS3.5 Section 7.8)."""

from __future__ import annotations

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from hounsfield.deid.forms import CLASSES
from hounsfield.dicom.raw import is_sound, text_of

__all__ = ["block_of", "creators_of", "is_creator", "is_private"]


def is_private(tag: int) -> bool:
    """Whether a group is odd (PS3.5 Section 7.8)."""
    return bool(tag & 0x10000)


def is_creator(tag: int) -> bool:
    """Whether an element reserves a private block (PS3.5 Section 7.8.1)."""
    return is_private(tag) and 0x10 <= tag & 0xFFFF <= 0xFF


def block_of(tag: int) -> int:
    """Tag of the element that reserves the block of a private element."""
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF


def creators_of(dataset: Dataset) -> dict[int, str]:
    """Tag of each element that reserves a block → who reserves it."""
    tags = [tag for tag in dataset.keys() if is_creator(tag)]  # noqa: SIM118
    return {tag: _creator(dataset, tag) for tag in tags}


def _creator(dataset: Dataset, tag: BaseTag) -> str:
    """Who reserved a block; empty where the bytes do not tell."""
    raw = dataset.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.VR in ("LO", None) and is_sound(raw, "LO"):
        return text_of(raw)
    try:
        element = dataset[tag]
        return str(element.value) if CLASSES.get(element.VR) == "text" else ""
    except Exception:  # pydicom raises whatever the bytes lead it to
        return ""
