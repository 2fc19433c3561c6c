"""The Types of attributes, worked out from the tables of PS3.3 as highdicom carries them.

``python -m tests.deid.iod_types`` prints what ``hounsfield/deid/table/attribute_types.json`` holds.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from pydicom.datadict import tag_for_keyword

from hounsfield.deid.plan import dictionary_vr
from hounsfield.deid.table import find_row

SOURCE: Final = f"PS3.3 IOD tables as distributed with highdicom {version('highdicom')} (MIT)"
_NEEDED: Final = ("1", "1C", "2", "2C")  # Type 3 is what is not listed
#: What is cleaned as text, and what goes by its VR, need no row to be taken out.
_VRS: Final = frozenset("AE CS DA DT LO LT PN SH ST TM UC UR UT".split())  # noqa: SIM905
#: Said of every code at once, and written anew in every object.
_APART: Final = frozenset({"CodeMeaning", "DeidentificationMethod"})


def attribute_types() -> dict[str, Any]:
    root: dict[str, dict[str, str]] = {}
    nested: dict[str, dict[str, str]] = {}
    for module, attributes in _read("module_attribute_map").items():
        for told in attributes:
            tag, kind = tag_for_keyword(told["keyword"]), told["type"]
            if tag is None or kind not in _NEEDED or not _may_go(tag, told["keyword"]):
                continue
            places, name = root, module
            if told["path"]:
                places, name = nested, _hex(tag_for_keyword(told["path"][-1]))
            place = places.setdefault(name, {})
            place[_hex(tag)] = min(kind, place.get(_hex(tag), kind), key=_NEEDED.index)
    modules = {
        iod: sorted({one["key"] for one in told} & root.keys())
        for iod, told in _read("iod_module_map").items()
    }
    classes = _read("sop_class_iod_map")
    return {
        "modules": modules,
        "nested": nested,
        "root": root,
        "sop_classes": classes,
        "source": SOURCE,
    }


def _may_go(tag: int, keyword: str) -> bool:
    return (find_row(tag) is not None or dictionary_vr(tag) in _VRS) and keyword not in _APART


def _hex(tag: int | None) -> str:
    assert tag is not None
    return f"{tag:08X}"


def _read(name: str) -> dict[str, Any]:
    return dict(json.loads(files("highdicom").joinpath("_standard", f"{name}.json").read_bytes()))


def _printed(types: dict[str, Any]) -> str:
    """A line for each sequence and module, so that what changes is seen."""
    parts = [f"{_dump(name)}:{_lined(part)}" for name, part in sorted(types.items())]
    return "{" + ",\n".join(parts) + "}"


def _lined(part: Any) -> str:
    if not isinstance(part, dict) or isinstance(next(iter(part.values())), str):
        return _dump(part)
    return "{" + ",\n".join(f"{_dump(key)}:{_dump(part[key])}" for key in sorted(part)) + "}"


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    print(_printed(attribute_types()))
