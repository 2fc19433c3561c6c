"""Records from mappings of configs/: each mistake is told with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from hounsfield.errors import ConfigError

__all__ = ["parse_mapping"]

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Parsed = TypeVar("Parsed", bound="DataclassInstance")

# What a value must be, by the type of its field; other types are looked at by who makes them.
_PLAIN: Mapping[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text is wanted here"),
    int: ((int,), "a whole number is wanted here"),
    float: ((int, float), "a number is wanted here"),
    bool: ((bool,), "true or false is wanted here"),
}


def parse_mapping(cls: type[Parsed], data: Any, where: str) -> Parsed:
    """A dataclass from a mapping of configs/, at the place `where`.

    Raises
    ------
    ConfigError
        On unknown or missing keys, on values of another type, and on what `cls` itself refuses.
    """
    if not isinstance(data, Mapping):
        raise ConfigError("not a mapping of keys to values", where=where)
    known = {item.name: item for item in fields(cls)}
    for name in data:
        if name not in known:
            raise ConfigError(
                f"unknown setting {name!r}", where=where, remedy=f"known are {', '.join(known)}"
            )
    for name, item in known.items():
        if name not in data and item.default is item.default_factory is MISSING:
            raise ConfigError("this setting is missing", where=f"{where}.{name}")
    hints = get_type_hints(cls)
    values = {name: _value(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        place = f"{where}.{error.where}"
        raise ConfigError(error.what, where=place, remedy=error.remedy) from None


def _value(hint: Any, value: Any, where: str) -> Any:
    """A value as a field of this type has it. An empty path is none."""
    if hint == Path | None:
        if not isinstance(value, str | Path | None):
            raise ConfigError("a path is wanted here", where=where)
        return Path(value) if value else None
    types, wanted = _PLAIN.get(hint, ((object,), ""))
    is_no_number = isinstance(value, bool) and hint in (int, float)
    if is_no_number or not isinstance(value, types):
        raise ConfigError(wanted, where=where)
    return value
