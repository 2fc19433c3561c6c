"""Profiles: the options of PS3.15 Section E.3 as switches in a file, with a digest."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from pydantic import model_validator

from hounsfield.deid.table import EDITION, table_digest
from hounsfield.errors import ConfigError
from hounsfield.records import Code, digest_of
from hounsfield.settings import Frozen, configs_folder, parse

__all__ = ["METHODS", "Profile"]

# Switch → (column of Table E.1-1, code of CID 7050). Clean Pixel Data has no column.
_SWITCHES: dict[str, tuple[str, str, str]] = {
    "clean_pixel_data": ("", "113101", "Clean Pixel Data Option"),
    "clean_graphics": ("graphics", "113103", "Clean Graphics Option"),
    "clean_structured_content": ("structured", "113104", "Clean Structured Content Option"),
    "clean_descriptors": ("descriptors", "113105", "Clean Descriptors Option"),
    "retain_full_dates": (
        "full_dates",
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    "retain_modified_dates": (
        "modified_dates",
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    "retain_patient_characteristics": (
        "patient",
        "113108",
        "Retain Patient Characteristics Option",
    ),
    "retain_device_identity": ("device", "113109", "Retain Device Identity Option"),
    "retain_uids": ("uids", "113110", "Retain UIDs Option"),
    "retain_safe_private": ("safe_private", "113111", "Retain Safe Private Option"),
    "retain_institution_identity": ("institution", "113112", "Retain Institution Identity Option"),
}
_BASIC = Code("113100", "DCM", "Basic Application Confidentiality Profile")
#: CID 7050 De-identification Method of PS3.16, by code value.
METHODS: Final[dict[str, Code]] = {
    code.value: code
    for code in (
        _BASIC,
        Code("113102", "DCM", "Clean Recognizable Visual Features Option"),
        *(Code(value, "DCM", meaning) for _, value, meaning in _SWITCHES.values()),
    )
}


class Switches(Frozen):
    """What a profile file may say: each option of the Standard, off unless turned on.

    Attributes
    ----------
    recipe
        Name of a `deid` recipe beside the file, with a site's own overrides.
    """

    description: str = ""
    retain_uids: bool = False
    retain_device_identity: bool = False
    retain_institution_identity: bool = False
    retain_patient_characteristics: bool = False
    retain_full_dates: bool = False
    retain_modified_dates: bool = False
    retain_safe_private: bool = False
    clean_descriptors: bool = False
    clean_structured_content: bool = False
    clean_graphics: bool = False
    clean_pixel_data: bool = False
    recipe: str = ""

    @model_validator(mode="after")
    def _dates_are_one_or_the_other(self) -> Self:
        if self.retain_full_dates and self.retain_modified_dates:
            raise ValueError("full dates and modified dates exclude each other")
        return self


class Profile(Switches):
    """The Basic Profile with the options that its file turns on.

    Attributes
    ----------
    name
        Of the file; written into DeidentificationMethod.
    recipe_text
        Content of the recipe, so that it is part of the digest.
    """

    name: str
    recipe_text: str = ""

    @classmethod
    def load(cls, name_or_path: str | Path) -> Profile:
        """A profile by name (``configs/deid/<name>.yaml``) or by path.

        Raises
        ------
        ConfigError
            If there is none, or a key is unknown or wrong.
        """
        path = _find(name_or_path)
        switches = parse(Switches, path)
        text = _recipe_text(path, switches.recipe)
        return cls(name=path.stem, recipe_text=text, **switches.model_dump())

    @property
    def options(self) -> frozenset[str]:
        """The columns of Table E.1-1 that are on."""
        return frozenset(
            column for switch, (column, _, _) in _SWITCHES.items() if column and self._is_on(switch)
        )

    @cached_property
    def digest(self) -> str:
        """Over everything that decides what happens to a value: switches, recipe, tables."""
        switches = {switch: self._is_on(switch) for switch in _SWITCHES}
        return digest_of([switches, self.recipe_text, EDITION, table_digest()])

    @property
    def methods(self) -> tuple[str, ...]:
        """What was done, in words: the values of DeidentificationMethod."""
        return (
            f"Hounsfield, PS3.15 {EDITION}, profile {self.name[:24]}",
            f"Profile digest {self.digest[:16]}",
        )

    def codes(self, *, pixels_cleaned: bool) -> tuple[Code, ...]:
        """What was done, in the codes of CID 7050 De-identification Method.

        Parameters
        ----------
        pixels_cleaned
            Whether the pixels of this very object were looked at, as Clean Pixel Data asks.
        """
        return _BASIC, *(
            METHODS[value]
            for switch, (_, value, _) in _SWITCHES.items()
            if self._is_on(switch) and (pixels_cleaned or switch != "clean_pixel_data")
        )

    def _is_on(self, switch: str) -> bool:
        return bool(getattr(self, switch))


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    if path.name != str(name_or_path):
        raise ConfigError("a profile is a name or a .yaml file", where="de-identification profile")
    configs = configs_folder(os.environ) / "deid"
    if not (configs / f"{path.name}.yaml").is_file():
        known = ", ".join(sorted(file.stem for file in configs.glob("*.yaml"))) or "none"
        raise ConfigError(
            "there is no such profile",
            where="configs/deid",
            remedy=f"profiles here: {known}",
        )
    return configs / f"{path.name}.yaml"


def _recipe_text(path: Path, recipe: str) -> str:
    if not recipe:
        return ""
    try:
        return (path.parent / recipe).read_text()
    except OSError:
        raise ConfigError(
            "the recipe cannot be read", where=f"configs/{path.name}: recipe"
        ) from None
