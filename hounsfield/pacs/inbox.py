"""The landing folder: where pushed instances wait until their study is quiet.

::

    landing/.receiver                   whose folder it is; locked while it runs
    landing/<study_key>/<sha256>.dcm    an instance, as it came (PHI)
    landing/<study_key>/.announce       a revision of which nobody was told yet

All that a receiver must remember lies here, so that one that was killed goes on where it was.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Self

from hounsfield.errors import ConfigError, StoreUnavailable
from hounsfield.pacs.landing import write_instance
from hounsfield.records import InstanceEntry

__all__ = ["Inbox", "sync_tree"]

_ANNOUNCE = ".announce"


class Inbox:
    """A landing folder that one receiver holds. Threads may store at the same time.

    Attributes
    ----------
    id
        Of the folder; the same after a restart.

    Raises
    ------
    ConfigError
        If another receiver holds the folder.
    StoreUnavailable
        If the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._guard = threading.Lock()
        self._writing: Counter[str] = Counter()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._holder = (root / ".receiver").open("a+")
        except OSError as error:
            raise _unwritable(error) from None
        try:
            fcntl.flock(self._holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._holder.close()
            raise ConfigError(
                "another receiver uses the landing folder", remedy="give this one its own"
            ) from None
        self.id = self._identity()
        for part in root.glob("*/.*.part"):  # Never acknowledged: its sender has it still.
            part.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.close()

    def store(
        self,
        study_key: str,
        data: BytesIO,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
    ) -> InstanceEntry:
        """Keeps an instance; when this returns, it survives a power cut.

        Raises
        ------
        StoreUnavailable
            If the disk is full or cannot be written.
        """
        with self._open(study_key) as folder:
            return write_instance(
                folder,
                data,
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
            )

    def studies(self) -> list[str]:
        """Keys of the studies that have something here."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def landed(self, study_key: str) -> list[Path]:
        """The instances of a study, in order of arrival."""
        found = ((path.stat().st_mtime_ns, path) for path in self._folder(study_key).glob("*.dcm"))
        return [path for _, path in sorted(found)]

    def is_quiet(self, study_key: str, seconds: float) -> bool:
        """Whether a study has instances, and none came for so many seconds."""
        paths = self.landed(study_key)
        if not paths:
            return False
        age = time.time() - paths[-1].stat().st_mtime
        # A clock that was set back would keep a study waiting for as long.
        return not -seconds <= age < seconds

    def remove(self, study_key: str, paths: Iterable[Path]) -> None:
        """Forgets instances that are safe elsewhere; what came meanwhile stays."""
        for path in paths:
            path.unlink(missing_ok=True)
        self._tidy(study_key)

    def owe(self, study_key: str, digest: str) -> None:
        """Notes that somebody is to be told of a revision; the last one is told of."""
        with self._open(study_key) as folder:
            part = folder / f".{uuid.uuid4().hex}.part"
            try:
                part.write_text(digest)
                _sync(part)
                part.replace(folder / _ANNOUNCE)
                _sync(folder)
            except OSError as error:
                raise _unwritable(error) from None

    def owed(self, study_key: str) -> str | None:
        """Digest of the revision that somebody is to be told of."""
        try:
            return (self._folder(study_key) / _ANNOUNCE).read_text()
        except FileNotFoundError:
            return None

    def settle(self, study_key: str) -> None:
        """Notes that somebody was told."""
        (self._folder(study_key) / _ANNOUNCE).unlink(missing_ok=True)
        self._tidy(study_key)

    def _folder(self, study_key: str) -> Path:
        return self.root / study_key

    def _identity(self) -> str:
        self._holder.seek(0)
        known = self._holder.read()
        if not known:
            known = uuid.uuid4().hex
            self._holder.write(known)
            self._holder.flush()
        return known

    @contextmanager
    def _open(self, study_key: str) -> Iterator[Path]:
        """The folder of a study, which nobody removes while this lasts."""
        folder = self._folder(study_key)
        with self._guard:
            self._writing[study_key] += 1
        try:
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                _sync(self.root)
            yield folder
        except OSError as error:
            raise _unwritable(error) from None
        finally:
            with self._guard:
                self._writing[study_key] -= 1

    def _tidy(self, study_key: str) -> None:
        with self._guard:
            if not self._writing[study_key]:
                del self._writing[study_key]
                with suppress(OSError):  # Something lies in it.
                    self._folder(study_key).rmdir()


def sync_tree(path: Path) -> None:
    """Sees a local file, or a folder with all that is in it, and its place onto the disk."""
    for item in (path, *path.rglob("*"), *path.parents[:2]):
        _sync(item)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(
        f"the landing folder cannot be written: {error.strerror}",
        remedy="see its space and its permissions",
    )
