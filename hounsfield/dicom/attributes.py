"""The attribute table of a series: every element of every instance, kept as DICOM JSON.

What all instances share is kept once; what differs, once for each. Values follow the DICOM
JSON Model (PS3.18 Annex F). The pixel data are left out, since the volume holds them; other
bulk data stay in, as ``InlineBinary``. An element whose value the model cannot carry (a
number that is none, a NaN) is kept as its bytes under VR ``UN``, so that nothing is lost.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from hounsfield.dicom.codecs import PIXEL_KEYWORDS
from hounsfield.errors import UnreadableFile

__all__ = ["AttributeTable", "Encoder", "Instance"]

#: Tag in 8 hexadecimal digits → {"vr": …, "Value" or "InlineBinary": …}.
JsonDataset = dict[str, dict[str, Any]]

_PIXEL_TAGS = frozenset(tag_for_keyword(keyword) for keyword in PIXEL_KEYWORDS)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance; its File Meta Information apart, as PS3.18 F.2 wants it."""

    file_meta: JsonDataset
    elements: JsonDataset


class Encoder:
    """Turns datasets into DICOM JSON, each distinct value once.

    The instances of a series repeat most of their elements byte for byte, so what has been
    encoded is remembered by its bytes and by all that their meaning depends on.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], dict[str, Any]] = {}

    def instance(self, dataset: Dataset) -> Instance:
        """Every element of an instance except its pixel data.

        Raises
        ------
        UnreadableFile
            An element can be carried neither by its value nor by its bytes.
        """
        meta = getattr(dataset, "file_meta", None)
        elements = self._dataset(dataset)
        return Instance(file_meta={} if meta is None else self._dataset(meta), elements=elements)

    def _dataset(self, dataset: Dataset) -> JsonDataset:
        tags = [tag for tag in sorted(dataset.keys()) if tag not in _PIXEL_TAGS]
        return {f"{tag:08X}": self.element(dataset, BaseTag(tag)) for tag in tags}

    def element(self, dataset: Dataset, tag: BaseTag) -> dict[str, Any]:
        """One element of a dataset; raises UnreadableFile as `instance` does."""
        raw = dataset.get_item(tag)
        if not isinstance(raw, RawDataElement) or _is_ambiguous(tag):
            return self._encode(dataset, tag, raw)
        creator = dataset.get_item(tag.private_creator) if _has_creator(dataset, tag) else None
        key = (
            tag,
            raw.VR,
            raw.value,
            raw.is_little_endian,
            str(dataset.original_character_set),
            getattr(creator, "value", None),
        )
        known = self._seen.get(key)
        if known is None:
            known = self._seen[key] = self._encode(dataset, tag, raw)
        return known

    def _encode(
        self, dataset: Dataset, tag: BaseTag, raw: RawDataElement | DataElement | None
    ) -> dict[str, Any]:
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                return {"vr": "SQ", "Value": [self._dataset(item) for item in element.value or []]}
            encoded = element.to_json_dict(None, bulk_data_threshold=0)
            text = json.dumps(encoded, allow_nan=False)
            if _same(_decode({f"{tag:08X}": json.loads(text)})[tag], element):
                return encoded
        except Exception:  # noqa: S110
            pass  # whatever cannot be carried as a value is carried as bytes
        content = getattr(raw, "value", None)
        if not isinstance(content, bytes):
            raise UnreadableFile("an element holds a value that its representation forbids")
        return {"vr": "UN", "InlineBinary": base64.b64encode(content).decode()}


def _is_ambiguous(tag: BaseTag) -> bool:
    """Whether the VR depends on other elements, as ``US or SS`` on PixelRepresentation."""
    try:
        return " or " in dictionary_VR(tag)
    except KeyError:
        return False


def _has_creator(dataset: Dataset, tag: BaseTag) -> bool:
    return tag.is_private and tag.elem > 0xFF and tag.private_creator in dataset


def _same(one: DataElement, other: DataElement) -> bool:
    if one.VR != other.VR:
        return False
    return (one.is_empty and other.is_empty) or bool(one.value == other.value)


def _decode(elements: Mapping[str, Any]) -> Dataset:
    dataset = Dataset()
    for name, element in elements.items():
        tag, vr = BaseTag(int(name, 16)), element["vr"]
        if vr == "SQ":
            items = [_decode(item) for item in element.get("Value", [])]
            dataset.add(DataElement(tag, vr, Sequence(items)))
        elif vr == "UN":
            # Raw, so that reading these bytes again gives what it gave the first time.
            content = base64.b64decode(element.get("InlineBinary", ""))
            dataset[tag] = RawDataElement(tag, vr, len(content), content, 0, False, True)
        else:
            dataset.update(Dataset.from_json({name: element}))
    return dataset


@dataclass(frozen=True)
class AttributeTable:
    """The instances of a series, what they share factored out.

    Attributes
    ----------
    shared
        What every instance has, with one value.
    instances
        The rest of each, in the order of the volume's z axis.
    """

    shared: Instance
    instances: tuple[Instance, ...]

    @classmethod
    def of(cls, instances: Iterable[Instance]) -> Self:
        instances = tuple(instances)
        meta, metas = _factor([instance.file_meta for instance in instances])
        elements, rests = _factor([instance.elements for instance in instances])
        own = tuple(Instance(m, e) for m, e in zip(metas, rests, strict=True))
        return cls(Instance(meta, elements), own)

    def dataset(self, index: int) -> Dataset:
        """Instance `index` again, element for element, without its pixel data."""
        own = self.instances[index]
        dataset = _decode(dict(sorted({**self.shared.elements, **own.elements}.items())))
        meta = FileMetaDataset()
        meta.update(_decode({**self.shared.file_meta, **own.file_meta}))
        dataset.file_meta = meta
        return dataset

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": "DICOM JSON Model, PS3.18 Annex F",
            "shared": {"file_meta": self.shared.file_meta, "elements": self.shared.elements},
            "instances": [
                {"file_meta": own.file_meta, "elements": own.elements} for own in self.instances
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(Instance(**data["shared"]), tuple(Instance(**own) for own in data["instances"]))


def _factor(rows: list[JsonDataset]) -> tuple[JsonDataset, list[JsonDataset]]:
    if not rows:
        return {}, []
    first, *others = rows
    shared = {
        tag: element
        for tag, element in first.items()
        if all(tag in row and row[tag] == element for row in others)
    }
    own = [{tag: row[tag] for tag in row if tag not in shared} for row in rows]
    return shared, own
