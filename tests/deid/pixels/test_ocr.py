"""Every tile is read upright and turned, and nothing is fetched."""

from __future__ import annotations

import socket

import pytest

from hounsfield.deid.pixels import find_text
from hounsfield.deid.pixels.ocr import TextBox
from tests.deid.pixels.drawing import NAME, drawn


def test_text_is_read_upright_and_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turned reading counts unless its place reads more surely upright."""
    readings = iter(
        [
            [TextBox((20, 30, 60, 50), "AP", 0.9), TextBox((200, 30, 240, 50), "L", 0.6)],
            [
                TextBox((30, 320 - 60, 50, 320 - 20), "PV", 0.8),
                TextBox((30, 320 - 240, 50, 320 - 200), "Ng", 0.7),
                TextBox((100, 320 - 12, 190, 320 - 2), "Quill", 0.8),
            ],
        ]
    )
    monkeypatch.setattr("hounsfield.deid.pixels.ocr._read", lambda _: next(readings))
    found = {text.text: text.box for text in find_text(drawn("")[0])}
    assert found.keys() == {"AP", "L", "Ng", "Quill"}
    assert found["Ng"] == (200, 30, 240, 50)
    assert found["Quill"] == (2, 100, 12, 190)


def test_reading_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from hounsfield.deid.pixels.ocr import _engine

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    _engine.cache_clear()
    assert any("QUILL" in text.text for text in find_text(drawn(NAME)[0]))
