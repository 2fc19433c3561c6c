from __future__ import annotations

import json
from collections import Counter

import pytest
from pydicom.uid import SegmentationStorage

from hounsfield.deid.table import PRIVATE, AttributeTypes, SafePrivate, all_rows, find_row
from hounsfield.deid.table.pinned import DIGESTS, read_pinned
from hounsfield.errors import IntegrityError
from tests.deid.iod_types import attribute_types

CT, KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.59"


def test_the_edition_is_whole() -> None:
    rows = [row for row in all_rows().values() if row.source.startswith("PS3.15")]
    assert len(rows) == 621
    codes = Counter(row.basic for row in rows)
    assert (codes["X"], codes["D"], codes["U"], codes["Z"]) == (384, 92, 54, 42)


def test_every_addition_says_why() -> None:
    added = [row for row in all_rows().values() if not row.source.startswith("PS3.15")]
    assert added
    assert all(row.source for row in added)


def test_repeating_groups_and_private_tags_are_covered() -> None:
    assert find_row(0x50021234).name == "Curve Data"  # type: ignore[union-attr]
    assert find_row(0x60FE3000).name == "Overlay Data"  # type: ignore[union-attr]
    assert find_row(0x00091001) is all_rows()[PRIVATE]
    assert find_row(0x00280010) is None


def test_an_edited_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIGESTS, "safe_private.csv", "0" * 64)
    read_pinned.cache_clear()
    with pytest.raises(IntegrityError):
        read_pinned("safe_private.csv")
    read_pinned.cache_clear()


def test_private_tags_match_by_creator_and_low_byte() -> None:
    assert SafePrivate.find(0x0019100C, "SIEMENS MR HEADER ") is not None
    assert SafePrivate.find(0x0019AB0C, "SIEMENS MR HEADER") is not None
    assert SafePrivate.find(0x0019100C, "GEMS_ACQU_01") is None


def test_types_come_from_the_iod() -> None:
    types = AttributeTypes.of(CT)
    assert types.find(0x00080020, None) == "2"  # Study Date
    assert types.find(0x00181030, None) == "3"  # Protocol Name
    assert AttributeTypes.of(KEY_OBJECT).find(0x00080023, None) == "1"  # Content Date
    assert AttributeTypes.of("1.2.3.private").find(0x00080023, None) == "1"


def test_types_cover_text_that_the_tables_keep() -> None:
    types = AttributeTypes.of(SegmentationStorage)
    assert types.find(0x00620005, 0x00620002) == "1"  # Segment Label
    assert types.find(0x00620020, 0x00620002) == "1C"  # Tracking ID
    assert types.find(0x00700002, 0x00700060) == "1"  # Graphic Layer
    assert types.find(0x00080104, 0x00081032) == "1"  # Code Meaning
    assert types.find(0x00080104, 0x00091032) == "1"  # in a sequence that no table knows
    assert types.find(0x00700080, None) == "1"  # Content Label


def test_the_types_are_those_of_the_iod_tables() -> None:
    assert json.loads(read_pinned("attribute_types.json")) == attribute_types()
