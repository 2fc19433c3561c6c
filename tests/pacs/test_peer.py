from __future__ import annotations

from typing import Any

import pytest

from hounsfield.errors import ConfigError
from hounsfield.pacs import DimsePeer

GOOD: dict[str, Any] = {"ae_title": "PACS", "host": "pacs.example", "port": 104}


def test_from_dict() -> None:
    peer = DimsePeer.from_dict(
        {**GOOD, "timeouts": {"message": 5}, "move": {"ae_title": "HF", "port": 11113}}
    )
    assert peer.timeouts.message == 5
    assert peer.move is not None
    assert peer.move.port == 11113
    assert peer.get == "auto"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prot": 104},
        {"ae_title": ""},
        {"ae_title": "SEVENTEENLETTERSX"},
        {"ae_title": "BACK\\SLASH"},
        {"port": 0},
        {"port": "104"},
        {"get": "c-steal"},
        {"get": "c-move"},
        {"max_results": 0},
        {"timeouts": {"message": 0}},
        {"timeouts": {"mesage": 1}},
        {"move": {"ae_title": "HF"}},
    ],
)
def test_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DimsePeer.from_dict({**GOOD, **wrong})


def test_missing_key() -> None:
    with pytest.raises(ConfigError):
        DimsePeer.from_dict({"ae_title": "PACS"})
