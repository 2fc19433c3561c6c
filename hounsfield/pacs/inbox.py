"""The landing folder: where pushed instances wait until their study is quiet.

::

    landing/.receiver                   whose folder it is; locked while it runs
    landing/.incoming/*.part            what is on its way in (PHI)
    landing/.incoming/*.whole           what is on the disk, and on its way to its study (PHI)
    landing/.known.db                   which study an instance belongs to, for a while (PHI)
    landing/<study_key>/<blake3>.dcm    an instance, as it came (PHI)
    landing/<study_key>/<blake3>.unreadable    what the disk gives no more (PHI)
    landing/<study_key>/.announce       a revision of which nobody was told yet

Instances are named by their BLAKE3, which takes a quarter of the time of SHA-256: a receiver hashes
while senders wait. The manifest of the revision that they become has their SHA-256. By their names
it is seen whether they still are what was acknowledged.

All that a receiver must remember lies here, so that one that was killed goes on where it was.

Success is answered after one fsync an instance, where the file system keeps the order of what it
is told (ext4 with a journal, XFS): a file is whole, gets a name that says so and for which study,
and both go onto the disk together; then it moves to its study. A power cut takes that move back at
worst, and who starts next makes it again. Elsewhere the move itself is seen onto the disk.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from blake3 import blake3

from hounsfield.errors import ConfigError, StoreUnavailable
from hounsfield.pacs.known import Known
from hounsfield.pacs.landing import Part, name_anew, sync_entry

__all__ = ["Inbox", "Intake", "is_lost", "is_sound", "replace_text", "sync_tree", "unreadable_name"]

log = logging.getLogger(__name__)

_ANNOUNCE = ".announce"
_WHOLE = ".whole"
_UNREADABLE = ".unreadable"
_BAD_DISK = frozenset((errno.EIO, errno.EUCLEAN, errno.EBADMSG))
_TRIES = 100  # to put a file into a folder that is being emptied
_REMEMBERED = 1000  # folders
_PIECE = 1 << 20  # bytes that are hashed at once


class Intake:
    """A landing folder as those see it who store. Threads and processes may, side by side.

    Raises
    ------
    StoreUnavailable
        If the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known = Known(root / ".known.db")
        self._incoming = root / ".incoming"
        self._synced: set[str] = set()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._incoming.mkdir(exist_ok=True)
            self._is_ordered = _keeps_order(root)
        except OSError as error:
            raise _unwritable(error) from None

    def part(self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> Part:
        """The beginning of an instance.

        Raises
        ------
        StoreUnavailable
            If the disk is full or cannot be written.
        """
        return Part(
            self._incoming,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            hasher=blake3,
        )

    def land(self, study_key: str, part: Part) -> bool:
        """Keeps a whole instance; when this returns, it survives a power cut.

        Returns
        -------
        bool
            Whether its like does not wait here already.

        Raises
        ------
        StoreUnavailable
            If the disk is full or cannot be written.
        """
        folder = self.root / study_key
        name = f".{study_key}.{part.digest}.{uuid.uuid4().hex}{_WHOLE}"
        part.settle(name if self._is_ordered else "")
        for _ in range(_TRIES):
            try:
                with self._made(folder):
                    _make_way(f"{folder}/{part.digest}.dcm")
                    return part.publish(folder, sync=not self._is_ordered)
            except FileNotFoundError:  # The folder was empty, and removed just now.
                continue
            except OSError as error:
                part.discard()
                raise _unwritable(error) from None
        part.discard()
        raise StoreUnavailable("an instance could not be put into its folder", remedy="send again")

    @contextmanager
    def _made(self, folder: Path) -> Iterator[None]:
        """Makes a study's folder, and sees it onto the disk when something was put into it.

        One that this process has seen there before is taken to be there still; where it is
        not, what is put into it raises FileNotFoundError, and the next try makes it.
        """
        is_known = folder.name in self._synced
        self._synced.discard(folder.name)
        if not is_known:
            folder.mkdir(exist_ok=True)
        yield
        if not is_known and not self._is_ordered:
            sync_entry(self.root)  # Another process may have made it, and not yet synchronised it.
        if len(self._synced) >= _REMEMBERED:
            self._synced.clear()
        self._synced.add(folder.name)


class Inbox(Intake):
    """A landing folder that one receiver holds.

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
        super().__init__(root)
        try:
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
        self.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.close()

    def clear(self, idle_seconds: float = 0) -> None:
        """Ends what a receiver that died was about: the whole is kept, halves are removed.

        The senders of halves have them still.

        Parameters
        ----------
        idle_seconds
            Only of what did not grow for so long; 0: of all.
        """
        for part in (*self._incoming.iterdir(), *self.root.glob("*/.*.part")):
            with suppress(FileNotFoundError):
                if not idle_seconds or time.time() - part.stat().st_mtime > idle_seconds:
                    if part.suffix == _WHOLE:
                        self._move_on(part)
                    part.unlink()

    def _move_on(self, whole: Path) -> None:
        """Puts what was on its way to its study there, if it is what its name says."""
        study_key, digest, _ = whole.stem.removeprefix(".").rsplit(".", 2)
        # What the disk gives no more may have been acknowledged: it is set apart there.
        if _digest(whole) not in (digest, None):
            log.warning(
                "Study %s: an instance that was on its way is cut short, and removed: its sender "
                "was not answered, or else the disk is at fault.",
                study_key,
            )
            return
        folder = self._folder(study_key)
        folder.mkdir(exist_ok=True)
        name_anew(whole, folder / f"{digest}.dcm")
        sync_entry(folder)
        sync_entry(self.root)

    def studies(self) -> list[str]:
        """Keys of the studies that have something here.

        Raises
        ------
        StoreUnavailable
            If the folder itself is gone.
        """
        try:
            found = list(self.root.iterdir())
        except OSError as error:
            raise StoreUnavailable(
                f"the landing folder cannot be read: {error.strerror}",
                remedy="is its disk mounted? Start the receiver again when it is",
            ) from None
        return sorted(path.name for path in found if path.is_dir() and path.name[0] != ".")

    def landed(self, study_key: str) -> list[Path]:
        """The instances of a study, in order of arrival."""
        return [path for _, path in self._arrivals(study_key)]

    def is_quiet(self, study_key: str, seconds: float) -> bool:
        """Whether a study has instances, and none came for so many seconds."""
        if self._is_busy(study_key, seconds):
            return False
        arrivals = self._arrivals(study_key)
        if not arrivals:
            return False
        age = time.time() - arrivals[-1][0] / 1e9
        # A clock that was set back would keep a study waiting for as long.
        return not -seconds <= age < seconds

    def _is_busy(self, study_key: str, seconds: float) -> bool:
        """Whether its folder changed just now: of a study that grows, no file need be looked at."""
        try:
            age = time.time() - self._folder(study_key).stat().st_mtime
        except FileNotFoundError:
            return False
        return 0 <= age < seconds

    def remove(self, study_key: str, paths: Iterable[Path]) -> None:
        """Forgets instances that are safe elsewhere; what came meanwhile stays."""
        for path in paths:
            path.unlink(missing_ok=True)
        self._tidy(study_key)

    def leave(self, landed: Path) -> None:
        """Keeps what the disk gives no more, for whoever can still read it, till it comes again."""
        with suppress(FileNotFoundError):
            landed.replace(unreadable_name(landed))

    def owe(self, study_key: str, digest: str) -> None:
        """Notes that somebody is to be told of a revision; the last one is told of."""
        folder = self._folder(study_key)
        try:
            with self._made(folder):
                replace_text(folder / _ANNOUNCE, digest)
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

    def _arrivals(self, study_key: str) -> list[tuple[int, Path]]:
        """When each instance came, in nanoseconds since 1970, and where it is."""
        found = []
        for path in self._folder(study_key).glob("*.dcm"):
            with suppress(FileNotFoundError):  # Somebody tidies up.
                found.append((path.stat().st_mtime_ns, path))
        return sorted(found)

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

    def _tidy(self, study_key: str) -> None:
        with suppress(OSError):  # Something lies in it, or came just now.
            self._folder(study_key).rmdir()


def is_sound(landed: Path) -> bool:
    """Whether a landed instance still is what was acknowledged."""
    return _digest(landed) == landed.stem


def is_lost(error: OSError) -> bool:
    """Whether a file cannot be read ever: it is gone, or the disk gives it no more."""
    return error.errno == errno.ENOENT or error.errno in _BAD_DISK


def unreadable_name(landed: Path) -> Path:
    """The name of a landed instance that the disk gives no more."""
    return landed.with_suffix(_UNREADABLE)


def replace_text(path: Path, text: str) -> None:
    """Writes a small file that is there as a whole or not at all, and survives a power cut."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    part.write_text(text)
    sync_entry(part)
    part.replace(path)
    sync_entry(path.parent)


def sync_tree(path: Path) -> None:
    """Sees a local file, or a folder with all that is in it, and its place onto the disk."""
    for item in (path, *path.rglob("*"), *path.parents[:2]):
        sync_entry(item)


def _make_way(path: str) -> None:
    """For what comes again, where the one that landed is damaged."""
    if os.path.exists(path) and not is_sound(Path(path)):  # noqa: PTH110
        log.error("A landed instance was damaged; it has come again. Look at the disk.")
        Path(path).unlink(missing_ok=True)


def _digest(path: Path) -> str | None:
    """Of a file; None where the disk does not give it."""
    digest = blake3()
    try:
        with path.open("rb") as file:  # Not mapped: a bad sector would end the process.
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        if error.errno in _BAD_DISK:
            return None
        raise
    return digest.hexdigest()


def _keeps_order(folder: Path) -> bool:
    """Whether names go onto the disk in the order in which they were given.

    And the newest name of a file with the file. Of overlays and networks we do not know, and
    ext4 without a journal does not.
    """
    number = folder.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
    if Path("/sys/fs/ext4", device).exists():
        return any(Path("/proc/fs/jbd2").glob(f"{device}-*"))
    return Path("/sys/fs/xfs", device).exists()


def _unwritable(error: OSError) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(
        f"the landing folder cannot be written: {error.strerror}",
        remedy="see its space and its permissions",
    )
