"""Images of a series that lie at one place: what tells them apart, and in which order.

The rule, which the metadata of each volume repeats: such images are stacked along one more
axis, before z, if every place has equally many of them. The attributes of `ATTRIBUTES` are
gone through in their order; one counts if it tells apart images that the ones before do not,
and takes the same values at every place. The images are ordered by the attributes that count,
the first of them first. Clock times differ from place to place, so of them the order counts.
Where all that counts is time, the axis is "t"; else it is "c" (echoes, b-values, …).

InstanceNumber is not among them: scanners number as they like.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from hounsfield.dicom.geometry import functional_groups
from hounsfield.errors import GeometryError

__all__ = ["ATTRIBUTES", "Apart", "Attribute", "marks_of", "tell_apart"]

#: Value of each of `ATTRIBUTES` for one image; None where it is not stated.
Marks = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the rule.

    Attributes
    ----------
    keyword
        Of a single-frame image; also the name under which the metadata list it.
    macro, inner
        Of an enhanced multi-frame image: the functional group, and the way into it.
    is_time
        Whether it is a point in time.
    ranked
        Only the order of its values at one place counts.
    skipped
        So many of its values do not count.
    per_frame
        Of a multi-frame image without functional groups, it has a value for each frame.
    """

    keyword: str
    macro: str
    inner: tuple[str, ...]
    is_time: bool = False
    ranked: bool = False
    skipped: int = 0
    per_frame: bool = False


# PS3.3 C.8.3.1, C.8.13.5, C.7.6.16.2.2, C.8.4.8; the quick to change last. Whether pixels are
# original or derived, the first value of ImageType, differs where text was masked in some slices.
ATTRIBUTES: Final = (
    Attribute("EchoTime", "MREchoSequence", ("EffectiveEchoTime",)),
    Attribute("InversionTime", "MRModifierSequence", ("InversionTimes",)),
    Attribute("FlipAngle", "MRTimingAndRelatedParametersSequence", ("FlipAngle",)),
    Attribute("DiffusionBValue", "MRDiffusionSequence", ("DiffusionBValue",)),
    Attribute(
        "DiffusionGradientOrientation",
        "MRDiffusionSequence",
        ("DiffusionGradientDirectionSequence", "DiffusionGradientOrientation"),
    ),
    Attribute("KVP", "CTXRayDetailsSequence", ("KVP",)),
    Attribute("ImageType", "MRImageFrameTypeSequence", ("FrameType",), skipped=1),
    Attribute("ComplexImageComponent", "MRImageFrameTypeSequence", ("ComplexImageComponent",)),
    Attribute(
        "TemporalPositionIdentifier", "FrameContentSequence", ("TemporalPositionIndex",), True
    ),
    Attribute(
        "NominalPercentageOfCardiacPhase",
        "CardiacSynchronizationSequence",
        ("NominalPercentageOfCardiacPhase",),
        True,
    ),
    Attribute("RRIntervalVector", "FrameContentSequence", (), True, per_frame=True),
    Attribute("TimeSlotVector", "FrameContentSequence", (), True, per_frame=True),
    Attribute(
        "TriggerTime",
        "CardiacSynchronizationSequence",
        ("NominalCardiacTriggerDelayTime",),
        True,
        True,
    ),
    Attribute("FrameReferenceTime", "FrameContentSequence", (), True, True),
    Attribute("AcquisitionNumber", "FrameContentSequence", ("FrameAcquisitionNumber",), True),
    Attribute(
        "AcquisitionDateTime", "FrameContentSequence", ("FrameAcquisitionDateTime",), True, True
    ),
    Attribute("AcquisitionTime", "FrameContentSequence", (), True, True),
)


@dataclass(frozen=True, slots=True)
class Apart:
    """How the images at one place are told apart.

    Attributes
    ----------
    axis
        "t" or "c".
    by
        Keywords of the attributes that count, the first decides first.
    values
        For each index of the axis, the value of each of them at the first place.
    """

    axis: str
    by: tuple[str, ...]
    values: tuple[Marks, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "axis": self.axis,
            "by": list(self.by),
            "values": [[_plain(value) for value in row] for row in self.values],
        }


def marks_of(dataset: Dataset, frame: int) -> Marks:
    """What the rule looks at, of one image or of one frame of an enhanced multi-frame."""
    return tuple(_mark(_value(dataset, frame, row), row.skipped) for row in ATTRIBUTES)


def tell_apart(
    places: Sequence[Sequence[int]], marks: Sequence[Marks]
) -> tuple[list[list[int]], Apart]:
    """Orders the images at each place.

    Parameters
    ----------
    places
        Indices of the images at each place, two or more.
    marks
        Of each image.

    Returns
    -------
    list
        The images of each place, in the order of the new axis.
    Apart
        By what.

    Raises
    ------
    GeometryError
        Places differ in how many images they have, or nothing tells these apart.
    """
    counts = sorted({len(place) for place in places})
    if len(counts) > 1:
        raise GeometryError(
            f"there are several images at one position: {counts[0]} at some, {counts[-1]} at "
            "others",
            remedy="images are missing, or two stacks share a series: see its source",
        )
    keys: dict[int, tuple[Any, ...]] = {index: () for place in places for index in place}
    chosen: list[int] = []
    for column, row in enumerate(ATTRIBUTES):
        trial = _refined(places, keys, marks, column, row.ranked)
        if _distinct(places[0], trial) > _distinct(places[0], keys) and _agree(places, trial):
            keys, chosen = trial, [*chosen, column]
    if _distinct(places[0], keys) < counts[0]:
        raise GeometryError(
            f"there are several images at one position, {counts[0]} at each, and their headers "
            "do not tell them apart",
            remedy="by echo, b-value, phase or time; see the source",
        )
    ordered = [sorted(place, key=lambda index: keys[index]) for place in places]
    rows = [ATTRIBUTES[column] for column in chosen]
    return ordered, Apart(
        axis="t" if all(row.is_time for row in rows) else "c",
        by=tuple(row.keyword for row in rows),
        values=tuple(tuple(marks[index][column] for column in chosen) for index in ordered[0]),
    )


def _refined(
    places: Sequence[Sequence[int]],
    keys: Mapping[int, tuple[Any, ...]],
    marks: Sequence[Marks],
    column: int,
    ranked: bool,
) -> dict[int, tuple[Any, ...]]:
    trial: dict[int, tuple[Any, ...]] = {}
    for place in places:
        values = {index: _sortable(marks[index][column]) for index in place}
        ranks = {value: rank for rank, value in enumerate(sorted(set(values.values())))}
        for index in place:
            value = ranks[values[index]] if ranked else values[index]
            trial[index] = (*keys[index], value)
    return trial


def _distinct(place: Sequence[int], keys: Mapping[int, tuple[Any, ...]]) -> int:
    return len({keys[index] for index in place})


def _agree(places: Sequence[Sequence[int]], keys: Mapping[int, tuple[Any, ...]]) -> bool:
    first, *others = (Counter(keys[index] for index in place) for place in places)
    return all(other == first for other in others)


def _value(dataset: Dataset, frame: int, row: Attribute) -> Any:
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return _within(functional_groups(dataset, frame, row.macro), row.inner)
    value = dataset.get(row.keyword)
    if row.per_frame and isinstance(value, MultiValue | list):
        return next(iter(value[frame : frame + 1]), None)
    return value


def _within(macro: Dataset, way: tuple[str, ...]) -> Any:
    value: Any = macro
    for keyword in way:
        if isinstance(value, Dataset):
            value = value.get(keyword)
        if keyword.endswith("Sequence"):
            value = value[0] if value else None
    return None if isinstance(value, Dataset) else value


def _mark(value: Any, skipped: int = 0) -> Hashable:
    if isinstance(value, MultiValue | list | tuple):
        return tuple(_mark(part) for part in value[skipped:])
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else str(value)


def _sortable(value: Hashable) -> tuple[Any, ...]:
    """Of one order, whatever their types: nothing, numbers, text, several."""
    if value is None:
        return (0,)
    if isinstance(value, float):
        return (1, value)
    if isinstance(value, tuple):
        return (3, tuple(_sortable(part) for part in value))
    return (2, value)


def _plain(value: Hashable) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
