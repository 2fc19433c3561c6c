"""Looking for planted identities in everything that an installation wrote.

Files are searched as bytes in each encoding that occurs; what is compressed or packed is
opened first; databases are read row by row as well, since a long value is split over pages.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from hounsfield.phantom import Canary

__all__ = ["Leak", "encodings_of", "search", "search_database"]

_TEXT = (
    "utf-8",
    "latin-1",
    "iso-8859-2",
    "utf-16-le",
    "utf-16-be",
    "shift_jis",
    "iso2022_jp",
    "gb18030",
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")


@dataclass(frozen=True)
class Leak:
    """Where a canary was found: its kind, not its value, so that a failure leaks nothing."""

    where: str
    kind: str


def encodings_of(canary: Canary) -> set[bytes]:
    """Every byte string that would show this value."""
    values = {canary.value, canary.value.upper(), canary.value.lower()}
    if canary.kind == "birth_date":
        year, month, day = canary.value[:4], canary.value[4:6], canary.value[6:]
        values |= {f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{month}/{day}/{year}"}
    found = set()
    for value in values:
        for encoding in _TEXT:
            try:
                found.add(value.encode(encoding))
            except UnicodeEncodeError:
                continue
        found.add(json.dumps(value)[1:-1].encode())  # \u0105 in JSON
        found.add(quote(value).encode())
    return {needle for needle in found if len(needle) >= 4}


class Needles:
    """Many byte strings, found in one pass over large files.

    Two tables of byte pairs pass over what cannot be the first four bytes of any of them; the
    few places that are left are compared.
    """

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self.kinds = {needle: canary.kind for canary in canaries for needle in encodings_of(canary)}
        self._first, self._second = np.zeros(65536, bool), np.zeros(65536, bool)
        self._by_start: dict[bytes, list[bytes]] = {}
        for needle in self.kinds:
            self._first[needle[0] | needle[1] << 8] = True
            self._second[needle[2] | needle[3] << 8] = True
            self._by_start.setdefault(needle[:4], []).append(needle)

    def found_in(self, data: bytes) -> set[bytes]:
        """Those that `data` holds."""
        if len(data) < 4:
            return set()
        octets = np.frombuffer(data, np.uint8).astype(np.uint16)
        pairs = octets[:-1] | octets[1:] << 8
        places = np.flatnonzero(self._first[pairs[:-2]] & self._second[pairs[2:]])
        return {
            needle
            for place in places.tolist()
            for needle in self._by_start.get(data[place : place + 4], ())
            if data.startswith(needle, place)
        }


def search(
    roots: Iterable[Path],
    canaries: Iterable[Canary],
    *,
    names_only: Callable[[Path], bool] = lambda path: False,
) -> list[Leak]:
    """Every canary in every file, and file name, under `roots`.

    Parameters
    ----------
    names_only
        Of which files only the name is looked at.
    """
    needles = Needles(canaries)
    leaks = []
    for root in roots:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            where = path.relative_to(root.parent).as_posix()
            for layer in (where.encode(), *(() if names_only(path) else _layers(path))):
                leaks += [Leak(where, needles.kinds[hit]) for hit in needles.found_in(layer)]
    return leaks


def search_database(path: Path, canaries: Iterable[Canary]) -> list[Leak]:
    """Every canary in every row of a SQLite database."""
    needles = Needles(canaries)
    leaks = []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.text_factory = bytes
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        name = table.decode()
        for row in connection.execute(f'SELECT * FROM "{name}"'):
            for value in row:
                for layer in _unpacked(value) if isinstance(value, bytes) else ():
                    hits = needles.found_in(layer)
                    leaks += [Leak(f"{path.name}:{name}", needles.kinds[hit]) for hit in hits]
    connection.close()
    return leaks


def _layers(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and of what is packed in it."""
    data = path.read_bytes()
    yield from _unpacked(data)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)


def _unpacked(data: bytes) -> Iterator[bytes]:
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:1] == b"\x78":
        with contextlib.suppress(zlib.error):
            yield zlib.decompress(data)
    if len(data) < 5_000_000:  # inline binary of the DICOM JSON model
        for text in _BASE64.findall(data):
            try:
                yield base64.b64decode(text + b"=" * (-len(text) % 4))
            except ValueError:
                continue
