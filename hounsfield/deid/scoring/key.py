"""The answer key: what must be true of each attribute after de-identification."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from hounsfield.errors import ConfigError

__all__ = ["AnswerKey", "Check", "Person", "find_element"]


@dataclass(frozen=True, slots=True)
class Person:
    """Whose instance it was. PHI, as all of a key."""

    patient_id: str
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true.

    Attributes
    ----------
    action
        One of the ten.
    instance
        Path of the original file, relative to its folder, with ``/``.
    path
        Where the attribute is: ``ggggeeee``, within items ``ggggeeee[0].ggggeeee``; a private
        one, at the top, ``gggg,CREATOR,bb`` with its low byte.
    values
        What the action is about: texts that must stay or go, the original date or UID. For
        ``pixels_hidden``: the box ``x0,y0,x1,y1`` (pixels, half-open, of the first frame) and
        the text in it as a bit mask of the box, row by row, most significant bit first, in
        hexadecimal.
    """

    action: str
    instance: str
    path: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """All checks of a corpus.

    Attributes
    ----------
    people
        Instance → whose it was; dates and pseudonyms are checked by that.
    """

    people: dict[str, Person]
    checks: tuple[Check, ...]

    def save(self, path: Path) -> None:
        """Writes the key as JSON. It names the patients of the corpus: keep it with them."""
        data = {
            "people": {name: asdict(person) for name, person in self.people.items()},
            "checks": [asdict(check) for check in self.checks],
        }
        path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key that :meth:`save` wrote.

        Raises
        ------
        ConfigError
            If the file is no answer key.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            people = {name: Person(**person) for name, person in data["people"].items()}
            return cls(people, tuple(_checks(data["checks"])))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(
                "the file is no answer key", remedy="give the key that belongs to the corpus"
            ) from None


def _checks(entries: Iterable[dict]) -> Iterable[Check]:
    for entry in entries:
        yield Check(**{**entry, "values": tuple(entry["values"])})


def find_element(dataset: Dataset, path: str) -> DataElement | None:
    """The element at a check's path; None where it is not, or not any more."""
    if "," in path:
        return _private(dataset, *path.split(","))
    *items, last = path.split(".")
    for step in items:
        tag, _, index = step.rstrip("]").partition("[")
        sequence = _at(dataset, tag)
        if sequence is None or sequence.VR != "SQ" or len(sequence.value) <= int(index):
            return None
        dataset = sequence.value[int(index)]
    return _at(dataset, last)


def _at(dataset: Dataset, name: str) -> DataElement | None:
    found: DataElement | None = dataset.get(int(name, 16))
    return found


def _private(dataset: Dataset, group: str, creator: str, byte: str) -> DataElement | None:
    try:
        return dataset.private_block(int(group, 16), creator)[int(byte, 16)]
    except KeyError:
        return None
