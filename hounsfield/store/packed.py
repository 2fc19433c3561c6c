"""The cold form of a product: few large objects in place of many files, and its first manifest.

An object is a ZIP64 file whose members are stored, not compressed. It has an index, unlike a tar
file, so that one member is read without the others; each member has a CRC-32 of its own; and any
ZIP tool opens it. Its bytes follow from its members alone, so that a packing that was killed
finds what it made. Beside them lie the manifest of the study, where there is one, and
``unpacked.json``: the ``product.json`` of before, which is what a product becomes again when it
is unpacked, byte for byte.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from itertools import chain
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile, ZipInfo

from hounsfield.store.product import MANIFESTS, UNPACKED, Product, damaged, file_digest
from hounsfield.store.recode import Recoded, recode

__all__ = ["File", "Grouping", "Pack", "Source", "is_packed", "unpacked", "whole_files"]

#: A local file, its name in the product, its SHA-256.
File = tuple[Path, str, str]
#: Name of a file → name of the object that it goes into.
Grouping = Callable[[str], str]
_REST = ".rest"
_CHUNK = 1 << 20


class Source(Protocol):
    """What is asked of a zone."""

    def recall(self, relative: str) -> Product: ...

    def file(self, relative: str, name: str) -> AbstractContextManager[Path]: ...


def is_packed(product: Product) -> bool:
    return product.detail.get("form") == "packed"


def whole_files(source: Source, relative: str) -> Iterator[File]:
    """The files of a product as they lie there, each proven, and local till the next."""
    product = source.recall(relative)
    for name in product.files:
        yield from _whole_file(source, relative, product, name)


def unpacked(source: Source, relative: str) -> Iterator[File]:
    """The files that a packed product was made of, each proven, and local till the next.

    Raises
    ------
    IntegrityError
        An object, or what came out of it, is not what it was.
    """
    packed = source.recall(relative)
    first = _first(source, relative, packed)
    missing = set(first.files)
    for file in _unpacked(source, relative, packed, first):
        missing.discard(file[1])
        yield file
    if missing:
        raise damaged(packed)


class Pack:
    """Packs the files of a product, object by object.

    Parameters
    ----------
    group
        Which object a file goes into.
    recoding
        Whether pictures are recoded to JPEG-LS where their bytes can be made again.

    Attributes
    ----------
    manifest
        Of the packed product, when all objects were made.
    """

    def __init__(self, source: Source, relative: str, group: Grouping, *, recoding: bool) -> None:
        self._source, self._relative = source, relative
        self._group, self._recoding = group, recoding
        self._first = source.recall(relative)
        self._files: dict[str, tuple[int, str]] = {}
        self._recoded: dict[str, int] = {}

    def files(self, manifest: bytes) -> Iterator[File]:
        """The objects, and what lies beside them; local till the next.

        Parameters
        ----------
        manifest
            The ``product.json`` of now.
        """
        groups: dict[str, list[str]] = {}
        for name in sorted(self._first.files):
            if name in MANIFESTS:
                yield from map(self._noted, self._whole(name))
            else:
                groups.setdefault(self._group(name), []).append(name)
        with tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
            for group, names in groups.items():
                path = Path(scratch) / f"{group}.zip"
                self._zip(path, names)
                yield self._noted((path, path.name, file_digest(path)))
                path.unlink()
            path = Path(scratch) / UNPACKED
            path.write_bytes(manifest)
            yield self._noted((path, path.name, file_digest(path)))

    @property
    def manifest(self) -> bytes:
        detail: dict[str, Any] = {"form": "packed", "recoded": self._recoded}
        if self._recoding:
            kept = len(self._first.files) - len(self._recoded)
            detail["originals"] = (
                f"{len(self._recoded)} files are made again from JPEG-LS, proven at packing; "
                f"{kept} are kept as they came"
            )
        else:
            detail["originals"] = "all files are kept as they came"
        first = self._first
        facts = (first.product_id, first.kind, first.study_key, self._files, detail)
        return Product(*facts, region=first.region).to_json()

    def _zip(self, path: Path, names: list[str]) -> None:
        """Each file is read once more out of the object: no other checksum is over what went in."""
        with ZipFile(path, "w") as archive:
            for file, name, _ in chain.from_iterable(map(self._whole, names)):
                made = recode(file) if self._recoding else None
                if made is None:
                    with file.open("rb") as read, _new(archive, name) as written:
                        shutil.copyfileobj(read, written, _CHUNK)
                    continue
                self._recoded[name] = made.offset
                for member, content in ((name, made.picture), (name + _REST, made.rest)):
                    with _new(archive, member) as written:
                        written.write(content)
        proven = {name for _, name, _ in _members(path, self._first, self._first, self._recoded)}
        if proven != set(names):
            raise damaged(self._first)

    def _whole(self, name: str) -> Iterator[File]:
        return _whole_file(self._source, self._relative, self._first, name)

    def _noted(self, file: File) -> File:
        path, name, sha256 = file
        self._files[name] = (path.stat().st_size, sha256)
        return file


def _new(archive: ZipFile, name: str) -> Any:
    """A member without a time and an owner, so that equal content makes equal bytes."""
    return archive.open(ZipInfo(name), "w", force_zip64=True)


def _unpacked(source: Source, relative: str, packed: Product, first: Product) -> Iterator[File]:
    for path, name, sha256 in whole_files(source, relative):
        if name == UNPACKED:
            continue
        if name in MANIFESTS:
            yield path, name, sha256
            continue
        yield from _members(path, packed, first, packed.detail["recoded"])


def _members(
    path: Path, packed: Product, first: Product, recoded: dict[str, int]
) -> Iterator[File]:
    try:
        with ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
            for name in sorted(first.files.keys() & set(archive.namelist())):
                target = Path(scratch) / "file"
                with archive.open(name) as read, target.open("wb") as written:
                    shutil.copyfileobj(read, written, _CHUNK)
                if name in recoded:
                    rest = archive.read(name + _REST)
                    made = Recoded(target.read_bytes(), rest, recoded[name])
                    target.write_bytes(made.original())
                if file_digest(target) != first.files[name][1]:
                    raise damaged(packed)
                yield target, name, first.files[name][1]
    except BadZipFile:
        raise damaged(packed) from None


def _whole_file(
    source: Source, relative: str, product: Product, name: str
) -> Generator[File, None, None]:
    _, sha256 = product.files[name]
    with source.file(relative, name) as path:
        if file_digest(path) != sha256:
            raise damaged(product)
        yield path, name, sha256


def _first(source: Source, relative: str, packed: Product) -> Product:
    with closing(_whole_file(source, relative, packed, UNPACKED)) as files:
        path, _, _ = next(files)
        return Product.from_json(path.read_bytes())
