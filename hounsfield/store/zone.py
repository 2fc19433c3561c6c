"""A trust zone: one root URL, a local folder or an object store, by fsspec."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from hounsfield.errors import NotFound, StoreUnavailable
from hounsfield.store.product import MANIFEST, Product

__all__ = ["Zone"]

_DRAFTS, _STAGING = ".drafts", ".staging"
#: Subfolder → seconds after which what nobody has touched there goes, and the names it has.
_STALE = {
    _DRAFTS: (2 * 24 * 3600, ("hounsfield-" + "[0-9a-f]" * 32, "rubbish-" + "[0-9a-f]" * 32)),
    _STAGING: (30 * 24 * 3600, ("*",)),
}


class Zone:
    """Publishes whole products and gives them back.

    Parameters
    ----------
    name
        ``raw``, ``deid``, ``volumes``, …
    root
        A URL that fsspec understands; a plain path is a local folder.
    """

    def __init__(self, name: str, root: str) -> None:
        self.name = name
        self.root = root.rstrip("/")
        self._fs, self._base = fsspec.core.url_to_fs(self.root)

    def is_at(self, other: Zone) -> bool:
        """Whether both are one place, however their roots are written."""
        return bool(self._fs == other._fs) and self._base == other._base

    def uri(self, relative: str) -> str:
        return f"{self.root}/{relative}"

    def relative(self, uri: str) -> str:
        """The path within this zone of one of its URIs.

        Raises
        ------
        NotFound
            If the URI belongs to another zone.
        """
        prefix = f"{self.root}/"
        if not uri.startswith(prefix):
            raise NotFound(f"the address is not in the zone {self.name}")
        return uri.removeprefix(prefix)

    def has(self, relative: str) -> bool:
        """Whether a whole product lies there."""
        return bool(self._fs.exists(self._path(relative, MANIFEST)))

    def product(self, relative: str) -> Product:
        """The manifest of the product there.

        Raises
        ------
        NotFound
            If no whole product lies there.
        """
        try:
            return Product.from_json(self._fs.cat_file(self._path(relative, MANIFEST)))
        except FileNotFoundError:
            raise NotFound("no whole product lies there", where=self.name) from None

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A local folder to build a product in; it is gone when the block ends.

        Beside the zone's products where the zone is local, so that ``commit`` is a rename.
        What a killed run left there goes after two days.
        """
        parent = Path(self._base) / _DRAFTS if self._is_local else Path(tempfile.gettempdir())
        folder = parent / f"hounsfield-{uuid.uuid4().hex}"
        _sweep(parent, _DRAFTS)
        try:
            folder.mkdir(parents=True)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A local folder that outlasts the block, whatever ends it: what came so far of a product.

        Where the zone is local it is the folder itself, so that a killed run loses nothing of
        it; of an object store it is a copy, and what is new in it goes up when the block ends.
        One at a time may have it. It goes with `unstage`, or when nobody has touched it for a
        month; in an object store a lifecycle rule on ``.staging/`` has to see to the latter.
        """
        if not self._is_local:
            with self._staged_copy(self._path(_STAGING, name)) as copy:
                yield copy
            return
        folder = Path(self._path(_STAGING, name))
        _sweep(folder.parent, _STAGING)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            raise StoreUnavailable("a folder could not be made", where=self.name) from None
        try:
            yield folder
        finally:
            with suppress(OSError):  # Something was left in it, as it should be.
                folder.rmdir()

    def staging_uri(self, name: str) -> str:
        return self.uri(f"{_STAGING}/{name}")

    def unstage(self, folder: Path) -> None:
        """Empties what `staging` gave: the product is published, or not wanted any more."""
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)

    def commit(self, draft: Path, relative: str) -> None:
        """Makes a sealed draft appear at `relative` as a whole, or not at all.

        On a local zone the draft is renamed; to an object store the data goes up first and
        ``product.json`` last. Where another run was first, its product stands: equal
        addresses mean equal content.
        """
        if not (draft / MANIFEST).is_file():
            raise ValueError("the draft was not sealed")
        if not self.has(relative):
            self._put(draft, relative)

    @contextmanager
    def open(self, relative: str) -> Iterator[Path]:
        """A local folder with the product: the product itself, or a copy that goes away."""
        if not self.has(relative):
            raise NotFound("no whole product lies there", where=self.name)
        if self._is_local:
            yield Path(self._path(relative))
            return
        with tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
            target = Path(scratch) / "product"
            self._fs.get(self._path(relative), str(target), recursive=True)
            yield target

    def read_file(self, relative: str, name: str) -> bytes:
        """One file of a product, without the others.

        Raises
        ------
        NotFound
            If no such file lies there.
        """
        try:
            return bytes(self._fs.cat_file(self._path(relative, name)))
        except FileNotFoundError:
            raise NotFound("no such file lies there", where=self.name) from None

    def put_file(self, relative: str, source: Path) -> None:
        """One file, whole or not at all; equal names mean equal content here."""
        target = self._path(relative)
        if self._fs.exists(target):
            return
        if not self._is_local:
            self._fs.put_file(str(source), target)
            return
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            shutil.copyfile(source, draft)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise StoreUnavailable("a file could not be written", where=self.name) from None

    def files(self, relative: str = "") -> dict[str, int]:
        """Path within the zone → bytes, of all files below a folder; below the root by default."""
        self._fs.invalidate_cache()
        below = self._path(relative) if relative else self._base
        found = self._fs.find(below, detail=True)
        return {
            path.removeprefix(f"{self._base}/"): int(info["size"]) for path, info in found.items()
        }

    def delete(self, relative: str) -> None:
        """Removes a product: its manifest first, so that no half of one is taken for whole."""
        manifest = self._path(relative, MANIFEST)
        if self._fs.exists(manifest):
            self._fs.rm_file(manifest)
        if self._fs.exists(self._path(relative)):
            self._fs.rm(self._path(relative), recursive=True)

    @property
    def _is_local(self) -> bool:
        return isinstance(self._fs, LocalFileSystem)

    def _path(self, *parts: str) -> str:
        path = PurePosixPath(*parts)
        is_zone = not PurePosixPath(parts[0]).parts  # What deletes a product would delete all.
        if path.is_absolute() or ".." in path.parts or is_zone:
            raise ValueError("a path may not leave its zone, nor be the zone itself")
        return f"{self._base}/{path}"

    def _put(self, draft: Path, relative: str) -> None:
        if not self._is_local:
            self._upload(draft, relative)
            return
        target = Path(self._path(relative))
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in (1, 2):
            try:
                draft.rename(target)
                return
            except OSError:
                if self.has(relative):  # Another run was faster: the same product.
                    return
                if attempt == 1:
                    self._clear(target)
        raise StoreUnavailable("a product could not be published", where=self.name)

    def _clear(self, target: Path) -> None:
        """Takes the rubbish of a crash out of the way, but never a product."""
        aside = Path(self._base) / _DRAFTS / f"rubbish-{uuid.uuid4().hex}"
        with suppress(OSError):
            target.rename(aside)
            if (aside / MANIFEST).is_file():  # Published since we looked: it goes back.
                aside.rename(target)
        shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def _staged_copy(self, place: str) -> Iterator[Path]:
        """What lies in an object store, as a local folder; afterwards it is as the folder is."""
        with tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
            copy = Path(scratch) / "staged"
            if self._fs.exists(place):
                self._fs.get(place, str(copy), recursive=True)
            copy.mkdir(exist_ok=True)
            before = _states(copy)
            try:
                yield copy
            finally:
                after = _states(copy)
                for name, _ in sorted(after.items() - before.items()):
                    self._fs.put_file(str(copy / name), f"{place}/{name}")
                for name in sorted(before.keys() - after.keys()):
                    self._fs.rm_file(f"{place}/{name}")

    def _upload(self, draft: Path, relative: str) -> None:
        for path in sorted(draft.rglob("*")):
            if path.is_file() and path.name != MANIFEST:
                name = path.relative_to(draft).as_posix()
                self._fs.put_file(str(path), self._path(relative, name))
        self._fs.put_file(str(draft / MANIFEST), self._path(relative, MANIFEST))


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """Each file's size and time of change, by its path in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = ((path.relative_to(folder).as_posix(), path.stat()) for path in files)
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found}


def _sweep(parent: Path, kind: str) -> None:
    """Removes what nobody has touched for so long that nobody is writing it."""
    seconds, patterns = _STALE[kind]
    limit = time.time() - seconds
    for folder in chain.from_iterable(parent.glob(pattern) for pattern in patterns):
        with suppress(OSError):  # Another run sweeps too.
            if folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)
