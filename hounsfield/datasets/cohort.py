"""A cohort: which series belong to a training set, as a question to the catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from sqlalchemy import Select, func, select

from hounsfield.catalog.models import GOING, Product, Series, Study
from hounsfield.errors import ConfigError

__all__ = ["PHANTOMS", "PREPARED", "Cohort"]

#: The project of generated studies.
PHANTOMS = "phantoms"

#: States of a study that has been through ``prepare`` and stands.
PREPARED = ("prepared", "no-model", "reported")


@dataclass(frozen=True, slots=True)
class Cohort:
    """The question. What is left at its default does not restrict.

    Attributes
    ----------
    modality, body_part, manufacturer
        Equal to the de-identified header's value, whatever the case.
    description
        A regular expression that is found somewhere in SeriesDescription.
    slice_thickness_mm
        The least and the greatest, inclusive; a series without one is then left out.
    min_slices
        Instances that a series has at least.
    project
        Of the study; empty: any but ``phantoms``, so that no phantom is taken for a patient.
    label
        Kind of reference label that a series must have; empty: labels are not asked for.
    region
        That the study may not leave; a snapshot is of one region.
    """

    modality: str = ""
    body_part: str = ""
    description: str = ""
    manufacturer: str = ""
    slice_thickness_mm: tuple[float, float] | None = None
    min_slices: int = 1
    project: str = ""
    label: str = ""
    region: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.description)
        except re.error as error:
            raise ConfigError(
                f"not a regular expression: {error}", where=_at("description")
            ) from None
        limits = self.slice_thickness_mm
        if limits is not None and not 0 <= limits[0] <= limits[1]:
            raise ConfigError(
                "the limits are not in order", where=_at("slice_thickness_mm"), remedy="[0.5, 3.0]"
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Parses a form's or a file's answer.

        Raises
        ------
        ConfigError
            Naming the key that is unknown, or whose value cannot be.
        """
        unknown = sorted(set(data) - {item.name for item in fields(cls)})
        if unknown:
            raise ConfigError(f"unknown key {unknown[0]!r}", where="cohort")
        given = {name: value for name, value in data.items() if value is not None}
        parsed: dict[str, Any] = {
            name: _PARSERS.get(name, _text)(name, value) for name, value in given.items()
        }
        return cls(**parsed)

    def to_dict(self) -> dict[str, Any]:
        limits = self.slice_thickness_mm
        told = {**asdict(self), "slice_thickness_mm": list(limits) if limits else None}
        if not self.region:  # So that what was frozen before there were regions keeps its digest.
            del told["region"]
        return told

    def query(self) -> Select[Series, Study, Product]:
        """The series, their studies and volumes, the oldest volume first; none that is going.

        All but the regular expression is asked of the database.
        """
        equal = {
            Series.modality: self.modality,
            Series.body_part: self.body_part,
            Series.manufacturer: self.manufacturer,
        }
        query = (
            select(Series, Study, Product)
            .join(Study, Study.study_key == Series.study_key)
            .join(Product, Product.series_key == Series.series_key)
            .where(Product.kind == "volume", Study.state.in_(PREPARED))
            .where(Series.instance_count >= self.min_slices)
            .where(Product.product_id.not_in(GOING))
        )
        query = query.where(
            Study.project == self.project if self.project else Study.project != PHANTOMS
        )
        for column, value in equal.items():
            if value:
                query = query.where(func.lower(column) == value.lower())
        if self.slice_thickness_mm is not None:
            query = query.where(Series.slice_thickness_mm.between(*self.slice_thickness_mm))
        return query.order_by(Product.created_at, Product.product_id)

    def describes(self, series: Series) -> bool:
        """Whether the description fits; databases differ in their regular expressions."""
        return re.search(self.description, series.description, re.IGNORECASE) is not None


def _at(name: str) -> str:
    return f"cohort: {name}"


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError("not a text", where=_at(name))
    return value.strip() if name != "description" else value


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError("not a whole number from 1", where=_at(name))
    return value


def _range(name: str, value: Any) -> tuple[float, float]:
    try:
        least, greatest = (float(limit) for limit in value)
    except (TypeError, ValueError):
        raise ConfigError("not two numbers", where=_at(name), remedy="[0.5, 3.0]") from None
    return least, greatest


_PARSERS = {"min_slices": _count, "slice_thickness_mm": _range}
