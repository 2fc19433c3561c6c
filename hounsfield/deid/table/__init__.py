"""The tables that de-identification goes by, pinned by edition and digest.

``ps3.15_e1-1_2024e.csv``
    DICOM PS3.15 Table E.1-1, 621 rows, with the option columns of Section E.3.
``additions.csv``
    Attributes that the edition misses, reviewed one by one, each with its reason.
``safe_private.csv``
    Private attributes of PS3.15 Table E.3.10-1, by (group, creator, low byte).
``vocabulary.csv``
    Words of the examination, which descriptors keep: those of the code meanings of PS3.16 and
    of PS3.6, words of protocols and anatomy in a dozen languages, without people's names;
    where a word is both, it is marked.
``attribute_types.json``
    The Type (PS3.5 Section 7.4) of those attributes, and of all others that hold text, names or
    dates, in each IOD of PS3.3.
"""

from __future__ import annotations

from hounsfield.deid.table.attribute_types import AttributeTypes
from hounsfield.deid.table.pinned import EDITION, table_digest
from hounsfield.deid.table.private import SafePrivate
from hounsfield.deid.table.rows import OPTIONS, PRIVATE, Row, all_rows, find_row

__all__ = [
    "EDITION",
    "OPTIONS",
    "PRIVATE",
    "AttributeTypes",
    "Row",
    "SafePrivate",
    "all_rows",
    "find_row",
    "table_digest",
]
