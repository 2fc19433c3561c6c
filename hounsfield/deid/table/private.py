"""Private attributes known to be safe: PS3.15 Section E.3.10, Table E.3.10-1."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache

from hounsfield.deid.table.pinned import read_pinned

__all__ = ["SafePrivate"]


@dataclass(frozen=True, slots=True)
class SafePrivate:
    """One safe private attribute.

    Attributes
    ----------
    byte
        Low byte of the element. The high byte is the block that the creator reserved in
        that very dataset (PS3.5 Section 7.8.1), so it says nothing.
    """

    group: int
    creator: str
    byte: int
    vr: str
    name: str

    @staticmethod
    def find(tag: int, creator: str) -> SafePrivate | None:
        """The entry of a private tag under its creator, or None."""
        return _entries().get((tag >> 16, creator.strip(" \0").casefold(), tag & 0xFF))

    @staticmethod
    def creators(tag: int) -> tuple[str, ...]:
        """Those under which a private tag has an entry."""
        if tag & 0xFFFF < 0x1000:
            return ()
        place = (tag >> 16, tag & 0xFF)
        found = (one.creator for one in _entries().values() if (one.group, one.byte) == place)
        return tuple(sorted(found))


@cache
def _entries() -> dict[tuple[int, str, int], SafePrivate]:
    entries = (
        SafePrivate(
            int(line["group"], 16),
            line["creator"],
            int(line["byte"], 16),
            line["vr"],
            line["name"],
        )
        for line in csv.DictReader(io.StringIO(read_pinned("safe_private.csv")))
    )
    return {(entry.group, entry.creator.casefold(), entry.byte): entry for entry in entries}
