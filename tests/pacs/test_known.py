"""What is known of instances is forgotten to the byte."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hounsfield.errors import StoreUnavailable
from hounsfield.pacs.known import Known


def test_what_is_forgotten_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by an SQLite that would only unlist it."""
    connect = sqlite3.connect

    def lax(*args: Any, **options: Any) -> sqlite3.Connection:
        database = connect(*args, **options)
        database.execute("PRAGMA secure_delete=OFF")
        return database

    monkeypatch.setattr(sqlite3, "connect", lax)
    known = Known(tmp_path / "known.db")
    known.note("st-a", ["1.2.3.4.1815"])
    known.note("st-b", ["1.2.3.4.1866"])
    known.forget_study("st-a")
    content = (tmp_path / "known.db").read_bytes()
    assert b"1.2.3.4.1815" not in content and b"1.2.3.4.1866" in content


@pytest.mark.parametrize("start", [0, 100])
def test_what_is_damaged_is_begun_anew(tmp_path: Path, start: int) -> None:
    path = tmp_path / "known.db"
    known = Known(path)
    known.note("st-a", [f"1.2.{number}" for number in range(1000)])
    content = path.read_bytes()
    path.write_bytes(content[:start] + b"?" * (len(content) - start))
    journal = tmp_path / "known.db-journal"
    journal.write_bytes(b"of the damaged one")
    with pytest.raises(StoreUnavailable, match="begun anew"):
        known.studies_of(["1.2.7"])
    assert not journal.exists()
    known.note("st-b", ["1.3"])
    assert known.studies_of(["1.2.7", "1.3"]) == {"st-b"}
