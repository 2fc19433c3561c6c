"""The suites under configs/quality: files that a data engineer edits, parsed once.

``configs/quality/README.md`` describes the format. Everything is checked when the files are
loaded, except what only Great Expectations knows: that an expectation exists and takes these
arguments is checked when the checks are built, and refused with the same error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hounsfield.dicom.table import COLUMNS
from hounsfield.errors import ConfigError
from hounsfield.records import digest_of
from hounsfield.settings import Frozen, parse

__all__ = ["Check", "Severity", "Suite", "Suites", "load_suites"]

#: Arguments of expectations that name a column.
_COLUMN_ARGUMENTS = ("column", "column_A", "column_B")

Severity = Literal["error", "warning"]
Kind = Literal["slice", "localizer", "frames", "image", "object", "unreadable"]
Text = Annotated[str, Field(min_length=1)]


class _AppliesTo(Frozen):
    each: Literal["study", "series"]
    kinds: tuple[Kind, ...] = ()
    modalities: tuple[str, ...] = ()


class _Meta(Frozen):
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    reason: Text
    remedy: Text


class _Expectation(Frozen):
    type: Annotated[str, Field(pattern=r"^expect_[a-z_]+$")]
    kwargs: dict[str, Any] = Field(default_factory=dict)
    columns: tuple[str, ...] = ()
    severity: Severity
    description: Text
    meta: _Meta

    @model_validator(mode="after")
    def _columns_exist(self) -> Self:
        named = [self.kwargs[name] for name in _COLUMN_ARGUMENTS if name in self.kwargs]
        named += [*self.columns, *self.kwargs.get("column_list", ())]
        unknown = [str(name) for name in named if name not in COLUMNS]
        if unknown:
            raise ValueError(f"the instance table has no column {', '.join(unknown)}")
        if self.columns and "column" in self.kwargs:
            raise ValueError("columns and kwargs.column exclude each other")
        if "{value}" in self.meta.reason and not (self.columns or "column" in self.kwargs):
            raise ValueError("{value} in the reason needs one column")
        return self


class _SuiteFile(Frozen):
    applies_to: _AppliesTo
    expectations: Annotated[tuple[_Expectation, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation, with what its failure means.

    Attributes
    ----------
    where
        Suite file and place in it, for errors in the configuration.
    type, kwargs
        As Great Expectations knows them.
    description
        What must hold.
    code, reason, remedy
        What a failure is called, what it means, and what a person can do. In the reason
        ``{attribute}`` stands for the attribute, or for several of which it is true, and
        ``{value}`` for what the column holds where the check fails.
    attribute
        Keyword of the attribute that is checked, or the name of the column.
    """

    where: str
    type: str
    kwargs: Mapping[str, Any]
    severity: Severity
    description: str
    code: str
    reason: str
    remedy: str
    attribute: str

    @property
    def measure(self) -> str | None:
        """The column whose values the reason quotes, if it does."""
        return str(self.kwargs["column"]) if "{value}" in self.reason else None


@dataclass(frozen=True, slots=True)
class Suite:
    """The checks of one file, and what they apply to; an empty set stands for any."""

    name: str
    each: Literal["study", "series"]
    kinds: frozenset[str]
    modalities: frozenset[str]
    checks: tuple[Check, ...]

    def takes(self, kind: str, modality: str | None) -> bool:
        """Whether it applies to instances of this kind and modality."""
        return (not self.kinds or kind in self.kinds) and (
            not self.modalities or modality in self.modalities
        )


@dataclass(frozen=True, slots=True)
class Suites:
    """All suites of an installation, and the digest of what they say."""

    suites: tuple[Suite, ...]
    digest: str

    def of_study(self) -> tuple[Check, ...]:
        return tuple(c for suite in self.suites if suite.each == "study" for c in suite.checks)

    def of_series(self, kind: str, modality: str | None) -> tuple[Check, ...]:
        """The checks for the instances of one kind and modality in a series."""
        return tuple(
            check
            for suite in self.suites
            if suite.each == "series" and suite.takes(kind, modality)
            for check in suite.checks
        )


def load_suites(folder: Path) -> Suites:
    """Every ``*.yaml`` in `folder`, in the order of their names.

    Raises
    ------
    ConfigError
        A file has an unknown key, names an unknown column, or there is no file at all.
    """
    files = {path.stem: _parse(path) for path in sorted(folder.glob("*.yaml"))}
    if not files:
        raise ConfigError(
            "there are no quality suites", where="configs/quality", remedy="see its README.md"
        )
    digest = digest_of({name: file.model_dump(mode="json") for name, file in files.items()})
    return Suites(tuple(_suite(name, file) for name, file in files.items()), digest)


def _parse(path: Path) -> _SuiteFile:
    try:
        return parse(_SuiteFile, path, {})
    except ConfigError as error:
        where = error.where.replace("configs/", "configs/quality/", 1)
        raise ConfigError(error.what, where=where, remedy="see configs/quality/README.md") from None


def _suite(name: str, file: _SuiteFile) -> Suite:
    checks = [
        check
        for number, expectation in enumerate(file.expectations, start=1)
        for check in _checks(f"configs/quality/{name}.yaml expectation {number}", expectation)
    ]
    scope = file.applies_to
    return Suite(
        name, scope.each, frozenset(scope.kinds), frozenset(scope.modalities), tuple(checks)
    )


def _checks(where: str, expectation: _Expectation) -> list[Check]:
    """One check, or one for each of its columns."""
    variants = [{"column": column} for column in expectation.columns] or [{}]
    return [_check(where, expectation, {**expectation.kwargs, **variant}) for variant in variants]


def _check(where: str, expectation: _Expectation, kwargs: dict[str, Any]) -> Check:
    attribute = str(kwargs.get("column", "")).removeprefix("has_")

    return Check(
        where=where,
        type=expectation.type,
        kwargs=kwargs,
        severity=expectation.severity,
        description=expectation.description.replace("{attribute}", attribute),
        code=expectation.meta.code,
        reason=expectation.meta.reason,
        remedy=expectation.meta.remedy,
        attribute=attribute,
    )
