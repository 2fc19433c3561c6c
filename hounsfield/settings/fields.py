"""Kinds of values that several settings have, each refused before anything uses it."""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = ["Pattern", "Region", "Regions", "Text", "TimeZone", "Words"]


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
#: A regular expression; empty: none.
Pattern = Annotated[Text, AfterValidator(_pattern)]
#: Such as ``Europe/Zurich``.
TimeZone = Annotated[str, AfterValidator(_zone)]
#: Part of the names of roots and of queues.
Region = Annotated[Text, Field(pattern=r"^[a-z0-9-]*$")]
Regions = Annotated[tuple[Region, ...], BeforeValidator(_words)]
