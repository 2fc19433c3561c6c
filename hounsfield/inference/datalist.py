"""Data lists: which volumes and labels a training takes, as MONAI's bundles expect them.

The form on disk (JSON), and what a stage hands over::

    {"training":   [{"image": "<volume>", "label": "<label array>",
                     "subgroup": {"manufacturer": "..."}}, ...],
     "validation": [...]}

``image`` is the folder of an OME-Zarr volume that ``hounsfield.volume.Volume`` opens.
``label`` is a Zarr array (z, y, x) of whole numbers on the volume's grid: 0 is background,
any other value a lesion; touching lesions are told apart by their values. ``subgroup`` is
optional: what metrics are broken down by. Relative paths are relative to the list's file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hounsfield.errors import ConfigError, ModelError
from hounsfield.inference.seams import VolumeLike

__all__ = ["Datalist", "TrainingItem", "open_volume", "read_label"]

_KEYS = {"image", "label", "subgroup"}


@dataclass(frozen=True, slots=True)
class TrainingItem:
    """One volume with its label; values may be objects in memory instead of paths."""

    image: Any
    label: Any
    subgroup: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], root: Path, where: str) -> Self:
        unknown = sorted(set(data) - _KEYS)
        if unknown:
            raise ConfigError(f"unknown key {unknown[0]!r}", where=where)
        if "image" not in data or "label" not in data:
            raise ConfigError("an item needs image and label", where=where)
        subgroup = {str(k): str(v) for k, v in dict(data.get("subgroup", {})).items()}
        return cls(_located(data["image"], root), _located(data["label"], root), subgroup)

    def for_monai(self) -> dict[str, Any]:
        return {"image": self.image, "label": self.label}


@dataclass(frozen=True, slots=True)
class Datalist:
    """What to train on, and what to judge the training by."""

    training: tuple[TrainingItem, ...]
    validation: tuple[TrainingItem, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], root: Path = Path()) -> Self:
        """Parses a data list.

        Raises
        ------
        ConfigError
            Naming the item and key that is unknown or missing.
        """
        unknown = sorted(set(data) - {"training", "validation"})
        if unknown:
            raise ConfigError(f"unknown key {unknown[0]!r}", where="data list")
        return cls(*(_items(data, name, root) for name in ("training", "validation")))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the JSON form; raises ConfigError as `from_dict` does."""
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError):
            raise ConfigError("the data list cannot be read as JSON", where=path.name) from None
        return cls.from_dict(data, path.parent)


def open_volume(source: Any) -> VolumeLike:
    """The volume of an item: opened, where the item names a path.

    Raises
    ------
    GeometryError
        It is no regular stack of axes (z, y, x).
    """
    if isinstance(source, str | Path):
        from hounsfield.volume import Volume

        source = Volume.open(Path(source))
        source.check_regular()
    volume: VolumeLike = source
    return volume


def read_label(source: Any, shape: Sequence[int] | None) -> NDArray[Any]:
    """A label array (z, y, x), from memory or from a Zarr array.

    Parameters
    ----------
    shape
        Of its volume, or None where that is not known.

    Raises
    ------
    ModelError
        If it does not lie on the grid of its volume.
    """
    if isinstance(source, str | Path):
        import zarr

        source = zarr.open_array(str(source), mode="r")[...]
    label = np.asarray(source)
    if shape is not None and label.shape != tuple(shape):
        raise ModelError(
            f"a label has the shape {label.shape}, its volume {tuple(shape)}",
            remedy="write labels on the grid of their volume",
        )
    return label


def _items(data: Mapping[str, Any], name: str, root: Path) -> tuple[TrainingItem, ...]:
    return tuple(
        TrainingItem.from_dict(item, root, f"data list: {name}[{number}]")
        for number, item in enumerate(data.get(name, ()))
    )


def _located(source: Any, root: Path) -> Any:
    return str(root / source) if isinstance(source, str | Path) else source
