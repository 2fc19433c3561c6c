"""A trust zone: one root URL, a local folder or an object store, by fsspec."""

from __future__ import annotations

import errno
import hashlib
import os
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

from hounsfield.errors import (
    ConfigError,
    IntegrityError,
    NotFound,
    NotYet,
    StoreUnavailable,
    WrongRegion,
)
from hounsfield.settings import StoreSettings
from hounsfield.store import s3
from hounsfield.store.packed import is_packed, unpacked, whole_files
from hounsfield.store.product import MANIFEST, MANIFESTS, UNPACKED, Product, damaged, read_product

__all__ = ["Zone"]

#: The disk, or one's share of it, is full.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

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
    store
        How its store is reached and written to.
    region
        Of the root: data of another one are refused.
    """

    def __init__(
        self, name: str, root: str, store: StoreSettings | None = None, region: str = ""
    ) -> None:
        self.name = name
        self.region = region
        self.root = root.rstrip("/")
        self._store = store or StoreSettings()
        self._is_s3 = self.root.startswith(("s3://", "s3a://"))
        if self._is_s3:
            self._fs, self._base = s3.connect(self.root, self._store)
        else:
            self._fs, self._base = fsspec.core.url_to_fs(self.root, **self._store.options)

    def is_at(self, other: Zone) -> bool:
        """Whether both are one place, however their roots are written."""
        return bool(self._fs == other._fs) and self._base == other._base

    @property
    def is_archive(self) -> bool:
        """Whether what lies here has to be recalled before it is read."""
        return self._is_s3 and self._store.storage_class in s3.ARCHIVED

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
        NotYet
            It lies in an archive.
        """
        try:
            return Product.from_json(self._fs.cat_file(self._path(relative, MANIFEST)))
        except OSError as error:
            if self._is_lost(error):
                raise NotFound("no whole product lies there", where=self.name) from None
            raise self._unread(error) from None

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
        except OSError as error:
            if error.errno in _FULL:
                raise self._refusal(error) from None
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def admit(self, region: str) -> None:
        """Whether data of a region may be written here.

        Raises
        ------
        WrongRegion
            They may not: nothing was written.
        """
        if region != self.region:
            raise WrongRegion(
                f"data of the region {region or 'none'} may not be written to a root of the "
                f"region {self.region or 'none'}",
                where=self.name,
                remedy="see region in configs/sources.yaml, and the roots of each region",
            )

    @contextmanager
    def staging(self, name: str, *, region: str = "") -> Iterator[Path]:
        """A local folder that outlasts the block, whatever ends it: what came so far of a product.

        Where the zone is local it is the folder itself, so that a killed run loses nothing of
        it; of an object store it is a copy, and what is new in it goes up when the block ends.
        One at a time may have it. It goes with `unstage`, or when nobody has touched it for a
        month; in an object store a lifecycle rule on ``.staging/`` has to see to the latter.

        Raises
        ------
        WrongRegion
            What comes there is of another `region`.
        """
        self.admit(region)
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

    def half_uri(self, relative: str) -> str:
        """Where a product is before its seal, if its zone is local; see `Assembly`."""
        return self.uri(_staged(relative))

    def unstage(self, folder: Path) -> None:
        """Empties what `staging` gave: the product is published, or not wanted any more."""
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)

    def commit(self, draft: Path, relative: str) -> None:
        """Makes a sealed draft appear at `relative` as a whole, or not at all.

        On a local zone the draft is renamed; to an object store the data goes up first and
        ``product.json`` last. Where another run was first, its product stands: equal
        addresses mean equal content.

        Raises
        ------
        WrongRegion
            It was sealed with another region.
        """
        if not (draft / MANIFEST).is_file():
            raise ValueError("the draft was not sealed")
        self.admit(read_product(draft).region)
        if not self.has(relative):
            self._put(draft, relative)

    @contextmanager
    def open(self, relative: str) -> Iterator[Path]:
        """A local folder with the product: the product itself, or a copy that goes away.

        What is packed is unpacked for it.

        Raises
        ------
        NotYet
            It lies in an archive, and was asked for.
        StoreUnavailable
            It was moved or deleted while the block read it.
        """
        product = self.recall(relative)
        packed = is_packed(product)
        if self._is_local and not packed:
            with self._undisturbed(relative):
                yield Path(self._path(relative))
            return
        with tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
            target = Path(scratch) / "product"
            for path, name, _ in (unpacked if packed else whole_files)(self, relative):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / name)
            manifest = self.read_file(relative, UNPACKED if packed else MANIFEST)
            (target / MANIFEST).write_bytes(manifest)
            yield target

    @contextmanager
    def _undisturbed(self, relative: str) -> Iterator[None]:
        """Nothing was missing of a product that is there still: what deletes it begins with that.

        Else nobody would know. A chunk that is missing is zeros, to Zarr.
        """
        try:
            yield
        except Exception:
            if self.has(relative):
                raise
        if not self.has(relative):
            raise StoreUnavailable(
                "a product was moved or deleted while it was read",
                where=self.name,
                remedy="run it again: where it lies now, the catalog knows",
            )

    @contextmanager
    def file(self, relative: str, name: str) -> Iterator[Path]:
        """One file of a product as a local one: itself, or a copy that goes away.

        Raises
        ------
        NotYet
            It lies in an archive, and was asked for.
        """
        place = self._path(relative, name)
        if self._is_local:
            if not Path(place).is_file():
                raise NotFound("no such file lies there", where=self.name)
            yield Path(place)
            return
        with tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
            self._get(place, Path(scratch) / "file")
            yield Path(scratch) / "file"

    def recall(self, relative: str) -> Product:
        """The manifest of a product that can be read now, all of it.

        Raises
        ------
        NotYet
            It lies in an archive, and was asked for.
        NotFound
            No whole product lies there, or a file of it is missing in the archive.
        StoreUnavailable
            The store gives nothing back now: it has no room for the speed that was asked for, or
            the right ``s3:RestoreObject`` is missing.
        """
        try:
            product = self.product(relative)
        except NotYet:  # The bucket's own rules put it there.
            self._recall([self._path(relative, MANIFEST)], self.name)
            raise
        if self.is_archive:
            places = [self._path(relative, name) for name in product.files]
            self._recall(places, product.study_key)
        return product

    def verify(self, relative: str) -> Product:
        """Reads every byte of a product where it lies, and compares.

        Raises
        ------
        IntegrityError
            If a file is missing, or its checksum is another.
        NotYet
            It lies in an archive, and is left there.
        """
        product = self.product(relative)
        for name, (_, sha256) in product.files.items():
            if self.digest(relative, name) != sha256:
                raise damaged(product)
        return product

    def digest(self, relative: str, name: str) -> str | None:
        """SHA-256 of a file of a product, read in pieces; None where nothing can be read.

        Raises
        ------
        NotYet
            It lies in an archive, and is left there.
        """
        try:
            with self._fs.open(self._path(relative, name), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            if self._is_lost(error):
                return None
            raise self._unread(error) from None

    def replace(self, source: Path, relative: str, name: str) -> None:
        """Puts a file of a product in the place of one that was damaged, whole or not at all."""
        target = self._path(relative, name)
        if not self._is_local:
            self._upload_file(source, target)
            return
        draft = Path(f"{target}.draft")  # Whoever mends it after a kill writes over it.
        try:
            _copy_durably(source, draft)
            draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._refusal(error) from None

    @contextmanager
    def assembly(self, relative: str) -> Iterator[Assembly]:
        """A product to put together file by file, where each is proven; see `Assembly`.

        Raises
        ------
        StoreUnavailable
            The disk is full, here or where a file is packed: nothing is left.
        NotFound
            What it is put together from is no more: nothing is left.
        ConfigError
            What lies in this archive cannot be proven: nothing is left.
        """
        assembly = Assembly(self, relative)
        try:
            yield assembly
        except (ConfigError, IntegrityError, NotFound):
            assembly.discard()
            raise
        except OSError as error:
            if error.errno not in _FULL:
                raise
            assembly.discard()
            raise self._refusal(error) from None

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

    def put_file(self, relative: str, source: Path, *, region: str = "") -> None:
        """One file, whole or not at all; equal names mean equal content here.

        Raises
        ------
        WrongRegion
            It is of another `region`.
        """
        self.admit(region)
        target = self._path(relative)
        if self._fs.exists(target):
            return
        if not self._is_local:
            self._upload_file(source, target)
            return
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            shutil.copyfile(source, draft)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._refusal(error) from None

    def files(self, relative: str = "") -> dict[str, int]:
        """Path within the zone → bytes, of all files below a folder; below the root by default."""
        self._fs.invalidate_cache()
        below = self._path(relative) if relative else self._base
        found = self._fs.find(below, detail=True)
        return {
            path.removeprefix(f"{self._base}/"): int(info["size"])
            for path, info in found.items()
            if info["type"] == "file"  # what was deleted leaves folders in some stores
        }

    def unnamed(self, relative: str) -> list[str]:
        """Files in the folder of a product that its manifest does not name."""
        named = (MANIFEST, *self.product(relative).files)
        return sorted(self.files(relative).keys() - {f"{relative}/{name}" for name in named})

    def delete(self, relative: str) -> None:
        """Removes a product: its manifest first, so that no half of one is taken for whole."""
        manifest = self._path(relative, MANIFEST)
        if self._fs.exists(manifest):
            self._fs.rm_file(manifest)
        if self._fs.exists(self._path(relative)):
            self._fs.rm(self._path(relative), recursive=True)

    def purge(self, relative: str) -> None:
        """Removes a product for good: of a store that keeps versions, each of them, too.

        And what a killed run had put together of it here (see `Assembly`), or uploaded in part.

        Raises
        ------
        ObjectLocked
            An object lock keeps some. All others are gone.
        StoreUnavailable
            The store does not tell what it keeps: the right ``s3:ListBucketVersions`` or
            ``s3:ListBucketMultipartUploads`` is missing.
        """
        self.delete(relative)
        if self._is_local:
            self.delete(_staged(relative))
        if not self._is_s3:
            return
        try:
            s3.purge(self._fs, self._path(relative), where=self.name)
        except OSError as error:
            raise self._refusal(error) from None

    def versions(self, relative: str) -> int:
        """How many versions the store keeps below a folder, beside the files that are there.

        And how many files are there in part, of uploads that were killed.
        """
        if not self._is_s3:
            return 0
        place = self._path(relative)
        return len(s3.versions(self._fs, place)) + len(s3.uploads(self._fs, place))

    def locked_until(self, relative: str) -> str:
        """When the last object lock ends on what the store keeps of what was deleted there.

        In ISO 8601; empty where none stands, or the store does not tell.

        Raises
        ------
        StoreUnavailable
            As `purge`.
        """
        if not self._is_s3:
            return ""
        try:
            return s3.locked_until(self._fs, self._path(relative))
        except OSError as error:
            raise self._refusal(error) from None

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
                    self._upload_file(copy / name, f"{place}/{name}")
                for name in sorted(before.keys() - after.keys()):
                    self._fs.rm_file(f"{place}/{name}")

    def _upload(self, draft: Path, relative: str) -> None:
        for path in sorted(draft.rglob("*")):
            if path.is_file() and path.name != MANIFEST:
                name = path.relative_to(draft).as_posix()
                self._upload_file(path, self._path(relative, name))
        self._upload_file(draft / MANIFEST, self._path(relative, MANIFEST))

    def _upload_file(self, source: Path, target: str) -> None:
        if self._is_s3:
            is_data = PurePosixPath(target).name not in MANIFESTS
            s3.put(self._fs, source, target, s3.asked(self._store, is_data=is_data))
        else:
            self._fs.put_file(str(source), target)

    def _get(self, place: str, target: Path) -> None:
        try:
            self._fs.get_file(place, str(target))
        except FileNotFoundError:
            raise NotFound("no such file lies there", where=self.name) from None
        except OSError as error:
            if s3.is_away(error):
                self._recall([place], self.name)
            raise self._refusal(error) from None

    def _recall(self, places: list[str], where: str) -> None:
        try:
            s3.recall(self._fs, places, self._store, where=where)
        except FileNotFoundError:
            raise NotFound("no such file lies there", where=self.name) from None
        except OSError as error:
            raise self._refusal(error) from None

    def _is_lost(self, error: OSError) -> bool:
        """Whether a file is not there, or the disk cannot read it any more."""
        is_unreadable = self._is_local and error.errno == errno.EIO
        return is_unreadable or isinstance(error, FileNotFoundError)

    def _unread(self, error: OSError) -> StoreUnavailable | NotYet:
        """Why; also the bucket's own rules may have put it into an archive."""
        if s3.is_away(error):
            seconds = self._store.recall_poll_seconds
            return NotYet("it lies in an archive", where=self.name, seconds=seconds)
        return self._refusal(error)

    def _refusal(self, error: OSError) -> StoreUnavailable:
        """An error of the store as one of ours; its own text may name a file."""
        if isinstance(error, StoreUnavailable):
            return error
        if error.errno in _FULL:
            return StoreUnavailable(
                "there is no space left, so nothing was written",
                where=self.name,
                remedy="make room; what was to be written is tried again",
            )
        code = s3.code_of(error) or type(error).__name__
        return StoreUnavailable(f"the store does not do what it should ({code})", where=self.name)


class Assembly:
    """A product that is put together file by file at its place, and is none before its seal.

    A file that was put is on the disk, and is what it was: read back, or, where it lies in an
    archive at once, by the checksum that S3 keeps. What a killed run put is found again and not
    put twice; in a local zone it lies in ``.staging`` till the seal.
    """

    def __init__(self, zone: Zone, relative: str) -> None:
        self._zone = zone
        self._relative = relative
        self._is_there = zone.has(relative)
        is_staged = zone._is_local and not self._is_there
        self._place = _staged(relative) if is_staged else relative

    def put(self, source: Path, name: str, sha256: str) -> None:
        """Puts one file, if it is not there.

        Raises
        ------
        IntegrityError
            What lies there afterwards is another; or before, in a product that is sealed.
        ConfigError
            It lies in an archive of which nobody can say what lies there.
        """
        if self._is_same(source, name, sha256):
            return
        if not self._is_there:
            self._write(source, name)
            self._check_provable(name)
        if self._is_there or not self._is_same(source, name, sha256):
            raise IntegrityError(
                "the copy is not what it is a copy of",
                where=f"{self._zone.name} {self._relative}",
                remedy="nothing was deleted: look at the disk, then clear the task",
            )

    def seal(self, manifest: bytes) -> None:
        """Makes the product appear; where it was before, it stands."""
        self._zone.admit(Product.from_json(manifest).region or self._zone.region)
        if self._is_there:
            return
        with tempfile.TemporaryDirectory(prefix="hounsfield-") as scratch:
            written = Path(scratch) / MANIFEST
            written.write_bytes(manifest)
            self._write(written, MANIFEST)
        if self._zone._is_local:
            staged = Path(self._zone._path(self._place))
            for folder in (*(path for path in staged.rglob("*") if path.is_dir()), staged):
                _sync(folder)
            self._zone._put(staged, self._relative)
            _sync(Path(self._zone._path(self._relative)).parent)

    def discard(self) -> None:
        """Takes away what was put and is not sealed."""
        if not self._is_there:
            self._zone.delete(self._place)

    def _is_same(self, source: Path, name: str, sha256: str) -> bool:
        zone = self._zone
        if self._is_archived(name):
            return s3.is_same(zone._fs, source, zone._path(self._place, name))
        return zone.digest(self._place, name) == sha256

    def _is_archived(self, name: str) -> bool:
        """Whether a file is not readable once it is put."""
        return self._zone.is_archive and name not in MANIFESTS

    def _check_provable(self, name: str) -> None:
        zone = self._zone
        if self._is_archived(name) and not s3.checksum(zone._fs, zone._path(self._place, name)):
            raise ConfigError(
                "the store keeps no SHA-256 checksum of what it archives, by which alone a copy "
                "there is proven",
                where=zone.name,
                remedy="nothing was deleted: choose another storage_class under stores in "
                "configs/site.yaml, or a store that keeps checksums, then clear the task",
            )

    def _write(self, source: Path, name: str) -> None:
        place = self._zone._path(self._place, name)
        try:
            if self._zone._is_local:
                _copy_durably(source, Path(place))
            else:
                self._zone._upload_file(source, place)
        except OSError as error:
            if error.errno in _FULL:  # Else what is there already serves the next try.
                self.discard()
            raise self._zone._refusal(error) from None


def _staged(relative: str) -> str:
    """Where a product is put together in a local zone."""
    return f"{_STAGING}/{relative.replace('/', '~')}"


def _sync(folder: Path) -> None:
    """Makes the names in a folder last, as its files do."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_durably(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())


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
