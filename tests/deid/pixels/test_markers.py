"""What is a marker, and what could be a name."""

from __future__ import annotations

import pytest

from hounsfield.deid.pixels.markers import is_marker, is_telling


@pytest.mark.parametrize("text", ["L", "R", "AP", "RMLO", "PA ERECT", "(L)", "R LAT"])
def test_markers(text: str) -> None:
    assert is_marker(text)
    assert not is_telling(text)


@pytest.mark.parametrize(
    "text", ["LAURA", "R. Paulson", "12-04-1950", "AP 4711", "王伟RMLO", "Ким L"]
)
def test_no_markers(text: str) -> None:
    assert is_telling(text)


@pytest.mark.parametrize(
    ("text", "is_one"), [("1|1 " * 8, True), ("111111111", False), ("1" * 9 + "7", False)]
)
def test_a_ruler_tells_of_nobody(text: str, is_one: bool) -> None:
    """But nine ones can be a number, and so can ones with another digit."""
    assert is_telling(text) != is_one
