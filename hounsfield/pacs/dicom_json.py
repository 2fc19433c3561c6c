"""DICOM JSON (PS3.18 Annex F), as far as answers to queries and stores need it.

Servers leave out, misspell and mistype: whatever cannot be read counts as not told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.datadict import tag_for_keyword

__all__ = ["Answer", "count", "items", "mappings", "objects", "text", "texts"]

Answer = Mapping[str, Any]

_COUNT = re.compile(r"[0-9]{1,12}")


def objects(body: bytes) -> list[Answer]:
    """The data sets of a body; a single one may come without its array.

    Raises
    ------
    ValueError
        If it is no JSON.
    """
    try:
        data = json.loads(body.decode()) if body.strip() else []
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return mappings(data)


def mappings(data: Any) -> list[Answer]:
    """What of parsed JSON can be data sets."""
    found = data if isinstance(data, list) else [data]
    return [item for item in found if isinstance(item, Mapping)]


def values(answer: Answer, keyword: str) -> Sequence[Any]:
    """The values of an attribute; none where it is absent or empty."""
    element = answer.get(f"{tag_for_keyword(keyword):08X}")
    found = element.get("Value") if isinstance(element, Mapping) else None
    return found if isinstance(found, list) else []


def texts(answer: Answer, keyword: str) -> tuple[str, ...]:
    """All values that are text or numbers, each once, sorted."""
    found = (_plain(value) for value in values(answer, keyword))
    return tuple(sorted({text for text in found if text}))


def text(answer: Answer, keyword: str) -> str:
    """The first value, or the empty text."""
    found = values(answer, keyword)
    return _plain(found[0]) if found else ""


def count(answer: Answer, keyword: str) -> int | None:
    """A number of objects; 0 for something that has just been listed is no count."""
    found = text(answer, keyword)
    return int(found) or None if _COUNT.fullmatch(found) else None


def items(answer: Answer, keyword: str) -> list[Answer]:
    """The items of a sequence."""
    return [item for item in values(answer, keyword) if isinstance(item, Mapping)]


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_plain = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).strip("\0 ") if is_plain else ""
