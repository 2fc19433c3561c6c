"""Values of an element as strings, whatever pydicom made of them."""

from __future__ import annotations

from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

__all__ = ["strings"]


def strings(element: DataElement) -> list[str]:
    """Each value of a text element; one empty string where there is none."""
    value = element.value
    if value is None or isinstance(value, str):
        return [value or ""]
    if isinstance(value, (list, tuple, MultiValue)):
        return [str(item) for item in value]
    return [str(value)]  # a person name can be walked over, letter by letter: it is one value
