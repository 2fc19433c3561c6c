"""Which studies are written: whole ones, and the hard cases that a pipeline meets."""

from __future__ import annotations

from dataclasses import dataclass

from hounsfield.phantom.habits import CANON, GE, HABITS, PHILIPS, SIEMENS, Habit
from hounsfield.phantom.tomography import Acquisition

__all__ = ["HARD_CASES", "Case", "whole_case"]


@dataclass(frozen=True)
class Case:
    """One study to write, and what the pipeline should do with it."""

    kind: str
    habit: Habit
    acquisition: Acquisition | None
    expected: str
    why: str


#: slices, mm, lesions, emphysema, contrast: about 300 mm each, as a chest is high.
_WHOLE = (
    Acquisition(60, 5.0, 2, 0.0, False),
    Acquisition(75, 4.0, 0, 0.03, True),
    Acquisition(96, 3.0, 1, 0.12, False),
    Acquisition(120, 2.5, 3, 0.0, True),
    Acquisition(60, 5.0, 0, 0.28, False),
    Acquisition(75, 4.0, 1, 0.06, False),
)

#: The order is that of the issue that asked for them.
HARD_CASES = (
    Case(
        "missing-slice",
        SIEMENS,
        Acquisition(60, 5.0, 1, 0.0, False),
        "quarantined",
        "One slice in the middle does not exist, so the spacing has a gap.",
    ),
    Case(
        "truncated-file",
        GE,
        Acquisition(60, 5.0, 1, 0.0, False),
        "quarantined",
        "The pixel data of one slice stop half-way.",
    ),
    Case(
        "duplicate-instance",
        PHILIPS,
        Acquisition(60, 5.0, 1, 0.05, False),
        "done",
        "One instance is there twice, byte for byte: it counts once.",
    ),
    Case(
        "dose-report",
        CANON,
        Acquisition(60, 5.0, 1, 0.0, True),
        "done",
        "The CT series is whole; the dose report beside it has the name in its pixels.",
    ),
    Case("ultrasound", GE, None, "no-model", "No model reads ultrasound; the name is burned in."),
    Case("radiograph", PHILIPS, None, "no-model", "No model reads radiographs."),
)


def whole_case(number: int) -> Case:
    """The `number`-th study without a flaw, from 0: makers and findings take turns."""
    habit = HABITS[number % len(HABITS)]
    acquisition = _WHOLE[number % len(_WHOLE)]
    return Case("whole", habit, acquisition, "done", "Nothing is wrong with it.")
