"""A few images of the corpus; ``python -m tests.bench.burned_in`` judges all of it."""

from __future__ import annotations

import pytest

from tests.bench.burned_in import HELD_OUT
from tests.deid.burned_in import MODALITIES, Tally, draw

WRITTEN, CLEAN = 2, 3


@pytest.mark.parametrize("modality", MODALITIES)
def test_text_goes_and_nothing_else(modality: str) -> None:
    tally = Tally()
    for number in (WRITTEN, CLEAN):
        tally.add(draw(HELD_OUT, modality, number))
    assert tally.clean == 1 and tally.text
    assert tally.is_as_aimed, tally.missed
