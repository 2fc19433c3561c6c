"""What the gate found, as records: kinds and places, never a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pydicom.datadict import keyword_for_tag

from hounsfield.gate.elements import PREAMBLE
from hounsfield.records import digest_of

__all__ = ["Check", "Finding", "GateReport", "Region", "place_of", "summed"]

Box = tuple[int, int, int, int]


def place_of(path: Sequence[int]) -> str:
    """``SequenceKeyword > Keyword (gggg,eeee)``; private and unknown ones by their tag alone."""
    if path[-1] == PREAMBLE:
        return "preamble"
    *around, tag = path
    names = [_name(each) for each in around]
    own = keyword_for_tag(tag)
    return " > ".join([*names, f"{own} {_tag(tag)}".strip()])


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or _tag(tag)


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be, or that only a person can judge.

    Attributes
    ----------
    check
        ``sentinels``, ``pixels``, ``standard`` or ``conformance``.
    rule
        What was looked for, or what the Standard asks.
    place
        Attribute by path and tag, or the picture.
    count
        In how many objects.
    object
        New SOPInstanceUID (or of a stack, SeriesInstanceUID) of the first of them.
    """

    check: str
    rule: str
    place: str
    count: int = 1
    object: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture that a person has to look at.

    Attributes
    ----------
    number
        From 1; what a reviewer calls it.
    object
        New SOPInstanceUID, or SeriesInstanceUID of a stack of slices.
    picture
        Which picture of the object, such as ``frame 1`` or ``brightest of all``, of few that are
        looked at as one ``object 2 frame 1``; empty: any.
    box
        (x0, y0, x1, y1), half-open, pixels from the top left.
    why
        ``text left`` (with what it tells, where that is known) or ``masked``.
    size
        ``rows x columns`` of a stack: a series may have two.
    """

    number: int
    object: str
    picture: str
    box: Box
    why: str
    size: str = ""

    @property
    def kind(self) -> str:
        """Why, without what it tells."""
        return self.why.split(":")[0]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        x0, y0, x1, y1 = data["box"]
        return cls(**{**data, "box": (x0, y0, x1, y1)})


@dataclass(frozen=True, slots=True)
class Check:
    """One check: over how much, and how it ended."""

    name: str
    looked_at: int
    findings: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class GateReport:
    """The verdict over one de-identified study.

    Attributes
    ----------
    checks
        Each that was made, also those that found nothing.
    regions
        What a person is shown: the first of them, where there are more than anybody looks through.
    unshown
        Of the others, how many of each kind.
    code
        Of the gate that looked.
    """

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    regions: tuple[Region, ...] = ()
    code: str = ""
    unshown: dict[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.findings

    @property
    def verdict(self) -> str:
        return "passed" if self.passed else "doubtful"

    @property
    def findings_digest(self) -> str:
        """Of what was found: the same again, or something new."""
        return digest_of([asdict(finding) for finding in self.findings])

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict, "findings_digest": self.findings_digest}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            checks=tuple(Check(**each) for each in data["checks"]),
            findings=tuple(Finding(**each) for each in data["findings"]),
            regions=tuple(Region.from_dict(each) for each in data["regions"]),
            code=data["code"],
            unshown=data.get("unshown", {}),
        )


def summed(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding a rule and place, with the count of objects and the first of them."""
    found: dict[tuple[str, str, str], tuple[int, str]] = {}
    for finding in findings:
        key = (finding.check, finding.rule, finding.place)
        count, first = found.get(key, (0, finding.object))
        found[key] = (count + finding.count, first)
    return tuple(Finding(*key, count, first) for key, (count, first) in sorted(found.items()))
