"""Folders of files: every file in one order, and an output apart from the input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hounsfield.errors import ConfigError, NotFound, UnreadableFile

__all__ = ["check_apart", "walk_files"]


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


def check_apart(source: Path, destination: Path) -> None:
    """Makes sure that what is written is not read as input, now or the next time.

    Raises
    ------
    ConfigError
        If one lies in the other.
    """
    ours, theirs = source.resolve(), destination.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise ConfigError(
            "input and output lie in one another", remedy="name an output folder apart from it"
        )
