"""Reading one file: YAML with variables of the environment in it, to a frozen object."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hounsfield.errors import ConfigError

__all__ = ["Frozen", "configs_folder", "load_yaml", "parse", "root_folder"]

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^${}]*))?\}")
_DOLLAR = "\x00"  # No YAML has it.


class Frozen(BaseModel):
    """Base of every settings object."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Section = TypeVar("Section", bound=Frozen)


def root_folder(variables: Mapping[str, str]) -> Path:
    """Of configs/ and models/, by default (``HOUNSFIELD_ROOT``): where this code lies."""
    return Path(variables.get("HOUNSFIELD_ROOT") or Path(__file__).resolve().parents[2])


def configs_folder(variables: Mapping[str, str]) -> Path:
    """Of the YAML files (``HOUNSFIELD_CONFIGS``)."""
    return Path(variables.get("HOUNSFIELD_CONFIGS") or root_folder(variables) / "configs")


def load_yaml(path: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A YAML mapping with its variables filled in.

    Raises
    ------
    ConfigError
        If the file is missing, is not a mapping, or names a variable that is not set.
    """
    try:
        text = path.read_text()
    except OSError:
        raise ConfigError(
            "the file cannot be read",
            where=f"configs/{path.name}",
            remedy="HOUNSFIELD_CONFIGS names the folder that stands for configs/",
        ) from None
    try:
        data = yaml.safe_load(_expand(text, os.environ if variables is None else variables, path))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise ConfigError("not YAML", where=f"configs/{path.name} line {line}") from None
    if not isinstance(data, dict):
        raise ConfigError("not a mapping of keys to values", where=f"configs/{path.name}")
    return data


def parse(
    section: type[Section], path: Path, variables: Mapping[str, str] | None = None
) -> Section:
    """A settings file as a frozen object.

    Raises
    ------
    ConfigError
        Naming the first key that is wrong and why.
    """
    try:
        return section.model_validate(load_yaml(path, variables))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(first["msg"], where=f"configs/{path.name}: {key}") from None


def _expand(text: str, variables: Mapping[str, str], path: Path) -> str:
    """Fills in variables, the innermost first, so that a default may name another.

    As in a shell, one that is empty is as good as one that is not set. What a variable holds is
    taken as it is: a password may have a dollar and braces.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if variables.get(name):
            return variables[name].replace("$", _DOLLAR)
        if default is None:
            raise ConfigError(f"the variable {name} is not set", where=f"configs/{path.name}")
        return str(default)

    while _VARIABLE.search(text):
        text = _VARIABLE.sub(value, text)
    return text.replace(_DOLLAR, "$")
