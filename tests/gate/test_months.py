"""The gate has its own list of months, and knows at least those that the cleaner takes out."""

from __future__ import annotations

import pytest

from hounsfield.deid import KnownIdentifiers
from hounsfield.deid.months import _NAMES
from hounsfield.deid.text import TextCleaner
from hounsfield.gate.months import MONTHS
from hounsfield.gate.search import Search
from hounsfield.gate.sentinels import Sentinels

FORMS = ("17 {} 1952", "17. {}", "{} 17", "{} 1952", "1952 {} 17", "17th of {}")


@pytest.mark.parametrize("month", range(1, 13))
def test_each_side_knows_the_months_of_the_other(month: int) -> None:
    day = f"1952{month:02}17"
    cleaner = TextCleaner(KnownIdentifiers(dates=frozenset({day})))
    search = Search(Sentinels({}, {}, {}, frozenset(), {day: frozenset()}, {}))
    cleaned = {name.replace("_", " ") for name in _NAMES[month - 1].split()}
    searched = {name.replace("_", " ") for name in MONTHS[month - 1] if "*" not in name}
    for form in FORMS:
        assert {name for name in cleaned if not search.text(form.format(name))} == set()
        left = {
            name for name in searched if any(map(str.isdigit, cleaner.known(form.format(name))))
        }
        assert left == set()
