"""A site's own overrides and known burned-in regions, in the recipe form of `deid`.

`deid` (pydicom.github.io/deid) parses recipes and evaluates their filters; what they say is
done by the walker and the masks here. Its parser forgives: a misspelt keyword, a lower-case
verb or a trailing comment makes it skip a rule without a word. So a recipe is checked line by
line before, and refused at the first line that would not do what it says.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset

from hounsfield.deid.lint import expand, lint
from hounsfield.deid.pixels.stored import Box
from hounsfield.deid.plan import Rule, dictionary_vr
from hounsfield.deid.profile import Profile
from hounsfield.errors import ConfigError, DeidentificationError

__all__ = ["Recipe"]

# What a verb of %header means as an action of the plan. ADD acts after the walk.
_ACTIONS = {"REMOVE": "X", "BLANK": "Z", "KEEP": "K", "REPLACE": "="}


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe, with the known regions that come with `deid`.

    Attributes
    ----------
    overrides
        Tag → rule, before the tables.
    additions
        Tag → value that every object gets.
    named
        Filters with coordinates that the site gives, as `deid` parses them.
    known
        Those that come with `deid`.
    """

    overrides: dict[int, Rule] = field(default_factory=dict)
    additions: dict[int, str] = field(default_factory=dict)
    named: tuple[dict[str, Any], ...] = ()
    known: tuple[dict[str, Any], ...] = ()
    # Regions by the values that the filters look at: slices of a series share theirs.
    _found: dict[tuple[str, ...], list[Box]] = field(default_factory=dict)

    @classmethod
    def of(cls, profile: Profile) -> Recipe:
        """The recipe that a profile names; of one that names none, the known regions alone."""
        where = f"recipe {profile.recipe}" if profile.recipe else "recipe"
        return cls.parse(profile.recipe_text, where=where)

    @classmethod
    def parse(cls, text: str, *, where: str = "recipe") -> Recipe:
        """A recipe from its text; an empty text gives the known regions alone.

        Raises
        ------
        ConfigError
            Naming the first line that `deid` would misread.
        """
        if not text:
            return cls(known=_known_labels())
        lint(text, where)
        parsed = _parse(text, where)
        overrides: dict[int, Rule] = {}
        additions: dict[int, str] = {}
        for action in parsed.get("header", ()):
            verb, value = action["action"], str(action.get("value", "")).strip()
            for tag in expand(action["field"]):
                if verb == "ADD":
                    additions[tag] = value
                else:
                    code, line = _ACTIONS[verb], f"{where}: {verb} {action['field']}"
                    overrides[tag] = Rule(action["field"], code, "X/Z/D", "", line, value)
        return cls(overrides, additions, _labels(parsed), _known_labels())

    def regions(self, dataset: Dataset, *, only_named: bool = False) -> list[Box]:
        """Boxes to mask in this object, whatever its pixels show.

        Parameters
        ----------
        only_named
            Without those that are known for devices: they belong to a search for text.

        Raises
        ------
        DeidentificationError
            A filter cannot be evaluated on this object.
        """
        labels = self.named if only_named else self.known + self.named
        if not labels or "Rows" not in dataset or "Columns" not in dataset:
            return []
        names = ("Rows", "Columns", *self.fields)
        key = (str(only_named), *(str(dataset.get(name)) for name in names))
        if key not in self._found:
            self._found[key] = _flagged(labels, dataset)
        return self._found[key]

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Keywords that the filters look at."""
        parts = (part for label in self.known + self.named for part in label["filters"])
        return tuple(sorted({name for part in parts for name in part["field"]}))

    def add(self, dataset: Dataset) -> None:
        """Writes the recipe's additions."""
        for tag, value in self.additions.items():
            dataset[tag] = DataElement(tag, dictionary_vr(tag) or "LO", value)


def _flagged(labels: tuple[dict[str, Any], ...], dataset: Dataset) -> list[Box]:
    from deid.dicom.pixels.detect import has_burned_pixels

    try:
        flagged = has_burned_pixels(_as_file(dataset), deid=_filters(labels))
        size = (int(dataset.Columns), int(dataset.Rows))
    except (Exception, SystemExit) as error:
        raise DeidentificationError(
            "the recipe's regions cannot be worked out", where=type(error).__name__
        ) from None
    return [
        _box(coordinates, size)
        for result in flagged["results"]
        for _, coordinates in result["coordinates"]
    ]


def _filters(labels: tuple[dict[str, Any], ...]) -> Any:
    """What `has_burned_pixels` takes for a recipe. It changes no label, since none takes its
    coordinates from the object, so one may serve many objects."""
    from deid.config import DeidRecipe

    recipe = DeidRecipe.__new__(DeidRecipe)
    recipe.deid = {"filter": {"known": list(labels)}}
    return recipe


@cache
def _known_labels() -> tuple[dict[str, Any], ...]:
    """Regions known to RSNA's CTP and its users, as `deid` carries them."""
    import deid

    path = Path(str(deid.__file__)).parent / "data" / "deid.dicom"
    return _labels(_parse(path.read_text(), "deid.dicom"))


def _labels(parsed: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Labels that have a filter and boxes to mask.

    Left out: boxes to keep, since they black out the rest of an ultrasound image, and boxes
    from ``SequenceOfUltrasoundRegions``: around these the scan for text doubts nothing.
    """
    labels = []
    for group in parsed.get("filter", {}).values():
        for label in group:
            boxes = [
                pair for pair in label["coordinates"] if pair[0] == 0 and "from:" not in pair[1]
            ]
            if boxes and label["filters"]:
                labels.append({**label, "coordinates": boxes})
    return tuple(labels)


def _parse(text: str, where: str) -> dict[str, Any]:
    from deid.config.utils import load_deid
    from deid.logger import bot

    bot.level = -10  # It prints; what it would say, the lint has said.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "deid.recipe")
        path.write_text(text)
        try:
            return dict(load_deid(str(path)))
        except (Exception, SystemExit):
            raise ConfigError("deid cannot parse the recipe", where=where) from None


def _box(coordinates: str, size: tuple[int, int]) -> Box:
    if coordinates == "all":
        return 0, 0, *size
    x0, y0, x1, y1 = (int(part) for part in coordinates.split(","))
    return x0, y0, x1, y1


def _as_file(dataset: Dataset) -> FileDataset:
    """`deid` takes only what was read from a file; a plain dataset is dressed up as one."""
    if isinstance(dataset, FileDataset):
        return dataset
    return FileDataset("", dataset)
