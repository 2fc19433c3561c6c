"""When a delivery is tried again: a rule of the settings and of how long it has been tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.settings import DestinationSettings
from hounsfield.stages.ledger import wait_seconds

PEER = {"ae_title": "A", "host": "127.0.0.1", "port": 104}


def settings(first: float, longest: float, give_up: float) -> DestinationSettings:
    return DestinationSettings(
        peer=PEER,
        first_retry_seconds=first,
        longest_retry_seconds=longest,
        give_up_after_seconds=give_up,
    )


def test_the_waits_of_the_defaults() -> None:
    rule, age, waits = DestinationSettings(peer=PEER), 0.0, []
    for _ in range(8):
        waits.append(wait_seconds(rule, age))
        age += waits[-1]
    assert waits == [15, 30, 60, 120, 240, 480, 900, 900]


def test_the_last_try_is_when_it_is_given_up() -> None:
    assert wait_seconds(settings(15, 900, 100), 90) == pytest.approx(10)


@given(
    first=st.floats(0.1, 1e3),
    more=st.floats(0, 1e4),
    give_up=st.floats(1, 1e6),
    done=st.floats(0, 1, exclude_max=True),
    share=st.floats(0, 1),
)
def test_a_wait_is_bounded(
    first: float, more: float, give_up: float, done: float, share: float
) -> None:
    rule, age = settings(first, first + more, give_up), done * give_up
    wait = wait_seconds(rule, age, share)
    assert 0 < wait <= rule.longest_retry_seconds
    assert age + wait <= give_up * (1 + 1e-9)
    assert wait >= min(0.9 * first, give_up - age) * (1 - 1e-9)
