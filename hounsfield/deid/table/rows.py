"""Rows of PS3.15 Table E.1-1 and of the project's additions, as frozen records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from hounsfield.deid.table.pinned import EDITION, read_pinned

__all__ = ["OPTIONS", "PRIVATE", "Row", "all_rows", "find_row"]

#: The option columns of Table E.1-1, in its order.
OPTIONS = (
    "uids",
    "device",
    "institution",
    "patient",
    "full_dates",
    "modified_dates",
    "descriptors",
    "structured",
    "graphics",
    "safe_private",
)

PRIVATE = "PRIVATE"
_STANDARD, _ADDITIONS = "ps3.15_e1-1_2024e.csv", "additions.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what the Basic Profile does, and what each option does instead.

    Attributes
    ----------
    tag
        Eight hexadecimal digits; ``X`` stands for any digit of a repeating group (50XX, 60XX);
        or ``PRIVATE``.
    basic
        The action codes of the Basic Profile, such as ``X/Z/D`` (PS3.15 Table E.1-1a).
    options
        Option → ``K`` (keep) or ``C`` (clean).
    source
        The table and edition, or why the project added the row.
    """

    tag: str
    name: str
    basic: str
    options: dict[str, str]
    source: str


@cache
def all_rows() -> dict[str, Row]:
    """Every row by its tag; the Standard's wins where both tables have one."""
    rows = {row.tag: row for row in _read(_ADDITIONS)}
    return rows | {row.tag: row for row in _read(_STANDARD)}


@cache
def _repeating() -> dict[tuple[int, int], Row]:
    """Rows of repeating groups by (first byte of the group, element); element −1 is any."""
    found = {}
    for tag, row in all_rows().items():
        if tag != PRIVATE and "X" in tag:
            element = -1 if "X" in tag[4:] else int(tag[4:], 16)
            found[int(tag[:2], 16), element] = row
    return found


@cache
def _exact() -> dict[int, Row]:
    return {int(t, 16): row for t, row in all_rows().items() if t != PRIVATE and "X" not in t}


def find_row(tag: int) -> Row | None:
    """The row that covers a tag: private, exact, or of a repeating group."""
    if (tag >> 16) & 1:
        return all_rows()[PRIVATE]
    row = _exact().get(tag)
    if row is not None:
        return row
    first, element = tag >> 24, tag & 0xFFFF
    return _repeating().get((first, element)) or _repeating().get((first, -1))


def _read(name: str) -> Iterator[Row]:
    for line in csv.DictReader(io.StringIO(read_pinned(name))):
        yield Row(
            tag=line["tag"],
            name=line["name"],
            basic=line["basic"],
            options={option: line[option] for option in OPTIONS if line[option]},
            source=line.get("reason") or f"PS3.15 Table E.1-1 {EDITION}",
        )
