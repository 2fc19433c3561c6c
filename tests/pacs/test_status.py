from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.errors import ConfigError, PacsUnavailable
from hounsfield.pacs import DimsePeer
from hounsfield.pacs.status import plain_words, query_error, store_meaning

PEER = DimsePeer("PACS", "127.0.0.1", 104)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, "stored"),
        (0xB000, "warning"),
        (0xB006, "warning"),
        (0xB007, "warning"),
        (0xA700, "busy"),
        (0xA7FF, "busy"),
        (0x0110, "busy"),
        (0x0122, "refused"),
        (0x0124, "refused"),
        (0xA900, "refused"),
        (0xA9FF, "refused"),
        (0xC000, "refused"),
        (0xCFFF, "refused"),
        (0xD000, "refused"),
    ],
)
def test_store_statuses(status: int, verdict: str) -> None:
    assert store_meaning(status).verdict == verdict


def test_only_0_is_plain_success() -> None:
    stored = [s for s in range(0x10000) if store_meaning(s).verdict == "stored"]
    assert stored == [0]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0xA700, PacsUnavailable),
        (0xC001, PacsUnavailable),
        (0xA801, ConfigError),
        (0xA900, ConfigError),
        (0x0122, ConfigError),
    ],
)
def test_query_statuses(status: int, error: type[Exception]) -> None:
    assert type(query_error(PEER, status)) is error


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("Unknown patient ID", "Unknown patient ID"),
        ("Patient DOE^JANE (4711) already exists", "Patient … already exists"),
        ("1.2.840.113619.2 not found", "… not found"),
        ("Jane Doe", ""),
        ("", ""),
    ],
)
def test_a_comment_keeps_its_plain_words(comment: str, words: str) -> None:
    assert plain_words(comment) == words


@given(st.text(max_size=100), st.from_regex(r"[A-Z][a-z]{4,12}\^[A-Z][a-z]{3,10}", fullmatch=True))
def test_no_name_passes(noise: str, name: str) -> None:
    assert name not in plain_words(f"{noise} {name} {noise}")
