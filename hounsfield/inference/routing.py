"""Which models want which series of a study: configs/routing.yaml, as a table of rules.

Routing looks at one study at a time: for each model it takes the series that suit, and of
those the best one, since a second reconstruction of the same scan tells the model nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hounsfield.settings import Frozen, parse

__all__ = ["Decision", "ModelRule", "Range", "Route", "Routes", "load_routes", "route"]


class Range(Frozen):
    """Both ends included, mm."""

    least: Annotated[float, Field(gt=0)]
    most: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is above most")
        return self


class ModelRule(Frozen):
    """What one model wants.

    Attributes
    ----------
    modality
        Modality (0008,0060), one of these.
    body_part
        BodyPartExamined (0018,0015), one of these, whatever the case; empty for any.
    description
        Or else: this regular expression is found in the series' or the study's description,
        or in the protocol's name. Cases do not matter.
    refuse_description
        Never, where this one is found in the series' description.
    refuse_image_type
        Never, where ImageType (0008,0008) has one of these values.
    slice_thickness_mm, least_slices
        Of the volume: the larger of SliceThickness and the distance of slices; the count.
    regular
        Only one stack of axes (z, y, x) whose slices are equally far apart; else any volume.
    prefer
        Which series, where several suit: the thinnest slices or the most of them.
    """

    modality: Annotated[tuple[str, ...], Field(min_length=1)]
    body_part: tuple[str, ...] = ()
    description: str = ""
    refuse_description: str = ""
    refuse_image_type: tuple[str, ...] = ()
    slice_thickness_mm: Range | None = None
    least_slices: Annotated[int, Field(ge=1)] = 1
    regular: bool = True
    prefer: Literal["thinnest", "most-slices"] = "thinnest"

    @field_validator("description", "refuse_description")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Routes(Frozen):
    """configs/routing.yaml"""

    models: dict[str, ModelRule]


@dataclass(frozen=True, slots=True)
class Route:
    """One series goes to one model."""

    model: str
    series_key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Of one study.

    Attributes
    ----------
    routes
        By model, in the order of the configuration.
    declined
        For each other model, why it wants none of the series.
    """

    routes: tuple[Route, ...]
    declined: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Series:
    """The facts of a series, parsed once."""

    series_key: str
    modality: str
    body_part: str
    description: str
    context: str
    image_type: frozenset[str]
    thickness_mm: float | None
    slices: int
    regular: bool

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        spacing, shape = facts.get("spacing_zyx"), facts.get("shape")
        known = [_number(facts.get("SliceThickness")), _number(spacing[0] if spacing else None)]
        thickness = [value for value in known if value]
        names = ("SeriesDescription", "StudyDescription", "ProtocolName")
        return cls(
            series_key=_text(facts, "series_key"),
            modality=_text(facts, "Modality").upper(),
            body_part=_text(facts, "BodyPartExamined").upper(),
            description=_text(facts, "SeriesDescription"),
            context="\n".join(_text(facts, name) for name in names),
            image_type=_values(facts.get("ImageType")),
            thickness_mm=max(thickness, default=None),
            slices=int(shape[0] if shape else facts.get("instance_count") or 0),
            regular=bool(facts.get("regular", True)),
        )


def load_routes(path: Path) -> Routes:
    """Reads configs/routing.yaml.

    Raises
    ------
    ConfigError
        Naming the file and the key that is unknown, missing or wrong.
    """
    return parse(Routes, path)


def route(series: Sequence[Mapping[str, Any]], routes: Routes) -> Decision:
    """Decides for one study.

    Parameters
    ----------
    series
        The facts of each series: ``series_key``; DICOM's attributes by keyword
        (``Modality``, ``BodyPartExamined``, ``SeriesDescription``, ``StudyDescription``,
        ``ProtocolName``, ``ImageType``, ``SliceThickness``); and of its volume ``shape``
        (z, y, x), ``spacing_zyx`` in mm, and whether it is ``regular``. What is not known may
        be missing.
    """
    known = [_Series.from_facts(facts) for facts in series]
    chosen: list[Route] = []
    declined: dict[str, str] = {}
    for model, rule in routes.models.items():
        found = _choose(model, rule, known)
        if isinstance(found, Route):
            chosen.append(found)
        else:
            declined[model] = found
    return Decision(tuple(chosen), declined)


def _choose(model: str, rule: ModelRule, series: Sequence[_Series]) -> Route | str:
    """The route to the model, or why there is none."""
    refusals = {one.series_key: _refusal(rule, one) for one in series}
    suitable = [one for one in series if not refusals[one.series_key]]
    if not suitable:
        return _summed_up([reason for reason in refusals.values() if reason])
    best = min(suitable, key=_PREFERENCES[rule.prefer])
    reason = f"{best.modality}, {best.slices} slices of {_mm(best.thickness_mm)}"
    if len(suitable) > 1:
        reason += f", {rule.prefer} of {len(suitable)} series that suit"
    return Route(model, best.series_key, reason)


def _refusal(rule: ModelRule, series: _Series) -> str:
    """The first reason of the table below, or nothing. Free text is never quoted."""
    return next((reason for check in _CHECKS if (reason := check(rule, series))), "")


def _modality(rule: ModelRule, series: _Series) -> str:
    if series.modality in rule.modality:
        return ""
    return f"the modality {series.modality or '(none)'} is not {' or '.join(rule.modality)}"


def _image_type(rule: ModelRule, series: _Series) -> str:
    refused = sorted(series.image_type & {value.upper() for value in rule.refuse_image_type})
    return f"the image type is {refused[0]}" if refused else ""


def _description(rule: ModelRule, series: _Series) -> str:
    refused = rule.refuse_description and _found(rule.refuse_description, series.description)
    return "its description is refused" if refused else ""


def _region(rule: ModelRule, series: _Series) -> str:
    if not rule.body_part and not rule.description:
        return ""
    if series.body_part in {part.upper() for part in rule.body_part}:
        return ""
    if rule.description and _found(rule.description, series.context):
        return ""
    return "neither body part nor descriptions name the region"


def _thickness(rule: ModelRule, series: _Series) -> str:
    wanted = rule.slice_thickness_mm
    if wanted is None:
        return ""
    if series.thickness_mm is None:
        return "the slice thickness is not known"
    # Scanners round to two digits: 0.62 stands for 0.625.
    if wanted.least - 0.01 <= series.thickness_mm <= wanted.most + 0.01:
        return ""
    return (
        f"slices of {_mm(series.thickness_mm)} are not within {wanted.least:g} to {wanted.most:g}"
    )


def _slices(rule: ModelRule, series: _Series) -> str:
    if series.slices >= rule.least_slices:
        return ""
    return f"{series.slices} slices are fewer than {rule.least_slices}"


def _regular(rule: ModelRule, series: _Series) -> str:
    if series.regular or not rule.regular:
        return ""
    return "the volume is no stack of slices that are equally far apart"


_CHECKS: tuple[Callable[[ModelRule, _Series], str], ...] = (
    _modality,
    _image_type,
    _description,
    _region,
    _regular,
    _thickness,
    _slices,
)

# The smallest wins; the series key settles what is left, so that a repeat decides alike.
_PREFERENCES: Mapping[str, Callable[[_Series], tuple[float, float, str]]] = {
    "thinnest": lambda s: (s.thickness_mm or float("inf"), -s.slices, s.series_key),
    "most-slices": lambda s: (-s.slices, s.thickness_mm or float("inf"), s.series_key),
}


def _summed_up(reasons: Sequence[str]) -> str:
    if not reasons:
        return "the study has no volume"
    return "; ".join(
        reason if count == 1 else f"{reason} ({count} series)"
        for reason, count in Counter(reasons).items()
    )


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _mm(value: float | None) -> str:
    return "unknown thickness" if value is None else f"{value:g} mm"


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return "" if value is None else str(value).strip()


def _values(value: Any) -> frozenset[str]:
    """Values of a CS element, as a list or as DICOM writes them, with backslashes."""
    parts = value.split("\\") if isinstance(value, str) else value or ()
    return frozenset(str(part).strip().upper() for part in parts)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
