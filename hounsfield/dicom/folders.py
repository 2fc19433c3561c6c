"""Folders of files: every file in one order, and an output apart from the input."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path

from pydicom.uid import UID

from hounsfield.errors import ConfigError, NotFound, StoreUnavailable, UnreadableFile

__all__ = ["check_apart", "new_folder", "new_part", "sweep_parts", "uid_name", "walk_files"]


def walk_files(root: Path) -> Iterator[Path]:
    """Every regular file under `root`, or `root` itself where it is one, in one fixed order.

    Links to folders are not followed.

    Raises
    ------
    NotFound
        There is nothing at `root`.
    UnreadableFile
        A folder cannot be listed: better a refusal than a silent gap.
    """
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        raise NotFound("the folder to read does not exist", remedy="check the path")

    def refuse(_: OSError) -> None:
        raise UnreadableFile(
            "a folder of the input cannot be listed", remedy="check its permissions"
        ) from None

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file():
                yield path


def check_apart(source: Path, destination: Path, names: str = "input and output") -> None:
    """Makes sure that what is written is not read as input, now or the next time.

    Parameters
    ----------
    names
        What a person knows the two by.

    Raises
    ------
    ConfigError
        If one lies in the other.
    """
    ours, theirs = source.resolve(), destination.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise ConfigError(f"{names} lie in one another", remedy="name folders that are apart")


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `destination` when the block ends, or goes away.

    Raises
    ------
    ConfigError
        Something lies at `destination` already.
    StoreUnavailable
        The disk is full or cannot be written; nothing is left behind.
    """
    if destination.exists() and not (destination.is_dir() and not any(destination.iterdir())):
        raise ConfigError("something lies at the output already", remedy="name a new folder")
    with new_part(destination) as part:
        yield part
        part.replace(destination)


@contextmanager
def new_part(destination: Path) -> Iterator[Path]:
    """A folder beside `destination`, to write to and to rename; it is gone when the block ends.

    What killed runs left of `destination` goes first.

    Raises
    ------
    ConfigError
        A file lies where a folder is to be.
    StoreUnavailable
        The disk is full or cannot be written; nothing is left behind.
    """
    lock = -1
    part = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}.part")
    try:
        sweep_parts(destination.parent, escape(destination.name))
        while lock < 0:
            part.mkdir(parents=True, exist_ok=True)
            lock = _locked(part)
        yield part
    except StoreUnavailable:
        raise
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(
            "a file lies where the output's folder is to be", remedy="name a new folder"
        ) from None
    except OSError as error:
        raise StoreUnavailable(
            f"the output could not be written: {os.strerror(error.errno or 0)}",
            remedy="free space or mend the permissions, then run it again",
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def sweep_parts(folder: Path, name: str) -> None:
    """Removes what killed runs left in `folder` of outputs whose name matches the pattern.

    Who writes a part holds a lock on it, which dies with the process; age would prove nothing.
    """
    for part in folder.glob(f".{name}.{'[0-9a-f]' * 32}.part"):
        with suppress(OSError):  # another run sweeps too, or it has just been renamed
            held = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(part, ignore_errors=True)
            finally:
                os.close(held)


def _locked(part: Path) -> int:
    """A descriptor that holds `part`; -1 where it was swept before it could be held."""
    held = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
    # Shared, since a network file system gives no other lock for what is open for reading.
    with suppress(OSError):  # nor all file systems any: there nothing is swept
        fcntl.flock(held, fcntl.LOCK_SH)
    if part.exists() and part.stat().st_ino == os.fstat(held).st_ino:
        return held
    os.close(held)
    return -1


def uid_name(uid: str) -> str:
    """A UID as a name: itself where it is one, a hash where it holds what a path should not."""
    return uid if UID(uid).is_valid else sha256(uid.encode()).hexdigest()[:32]
