"""Kinds of values that several settings have, each refused before anything uses it."""

from __future__ import annotations

import re
from os.path import normpath
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fsspec.core import split_protocol
from fsspec.implementations.local import LocalFileSystem
from pydantic import AfterValidator, BeforeValidator, Field

__all__ = [
    "Pattern",
    "Region",
    "Regions",
    "Root",
    "RootPrefix",
    "Text",
    "TimeZone",
    "Words",
    "one_spelling",
]

_LOCAL: Final = (None, "file", "local")


def one_spelling(root: str) -> str:
    """A folder or URL in the one way that rows have it, however it is written in configs/."""
    protocol, path = split_protocol(root)
    if protocol in _LOCAL:
        return normpath(LocalFileSystem._strip_protocol(root))
    return f"{'s3' if protocol == 's3a' else protocol}://{path.rstrip('/')}"


def _prefix(value: str) -> str:
    """A slash at its end counts: ``s3://cold/`` is not the beginning of ``s3://colder``."""
    root = one_spelling(value)
    return f"{root}/" if value.endswith("/") and not root.endswith("/") else root


def _words(value: object) -> object:
    """What a variable of the environment holds is one text, or nothing."""
    return tuple((value or "").split()) if isinstance(value, str | None) else value


def _text(value: object) -> object:
    """YAML takes a variable that is empty for nothing."""
    return "" if value is None else value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error:
        raise ValueError("not a regular expression") from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones
        raise ValueError("unknown time zone: such as Europe/Zurich") from None
    return value


#: Several, one word each where it is a string.
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
#: A text; YAML takes none for nothing.
Text = Annotated[str, BeforeValidator(_text)]
#: A folder, or any URL that fsspec understands.
Root = Annotated[str, AfterValidator(one_spelling)]
#: The beginning of roots.
RootPrefix = Annotated[str, AfterValidator(_prefix)]
#: A regular expression; empty: none.
Pattern = Annotated[Text, AfterValidator(_pattern)]
#: Such as ``Europe/Zurich``.
TimeZone = Annotated[str, AfterValidator(_zone)]
#: Part of the names of roots and of queues.
Region = Annotated[Text, Field(pattern=r"^[a-z0-9-]*$")]
Regions = Annotated[tuple[Region, ...], BeforeValidator(_words)]
