"""The Type of an attribute in the object at hand, which decides compound actions.

PS3.15 Section E.1.1: ``X/Z/D`` means remove, unless the attribute is required to be there
(Type 2: empty it) or to have a value (Type 1: give a dummy), in the IOD in question.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hounsfield.deid.table.pinned import read_pinned

__all__ = ["AttributeTypes"]

_RANK = {"1": 0, "1C": 1, "2": 2, "2C": 3, "3": 4}
_CODE_MEANING = 0x00080104  # Type 1 wherever a code stands (PS3.3 Table 8.8-1)


class AttributeTypes:
    """Types for one SOP class.

    Parameters
    ----------
    sop_class_uid
        Of the object. For one that no IOD table knows (private, retired or new), the
        strictest Type that any IOD gives the attribute is taken: a needless dummy does no
        harm, a missing required attribute does.
    """

    def __init__(self, sop_class_uid: str) -> None:
        data = _tables()
        iod = data["sop_classes"].get(sop_class_uid)
        modules = data["modules"].get(iod, ()) if iod else tuple(data["root"])
        self._root: dict[str, str] = {}
        for module in modules:
            for tag, kind in data["root"].get(module, {}).items():
                self._root[tag] = min(kind, self._root.get(tag, "3"), key=_RANK.__getitem__)
        self._nested: dict[str, dict[str, str]] = data["nested"]

    @staticmethod
    @cache
    def of(sop_class_uid: str) -> AttributeTypes:
        return AttributeTypes(sop_class_uid)

    @staticmethod
    def anywhere(tag: int) -> tuple[str, ...]:
        """Each Type that an attribute has at the top of some SOP class, the laxest first."""
        classes = ("", *_tables()["sop_classes"])
        kinds = {AttributeTypes.of(sop_class_uid).find(tag, None) for sop_class_uid in classes}
        return tuple(sorted(kinds, key=_RANK.__getitem__, reverse=True))

    def find(self, tag: int, parent: int | None) -> str:
        """``1``, ``1C``, ``2``, ``2C`` or ``3``.

        Parameters
        ----------
        parent
            Tag of the sequence that the attribute lies in, None at the top. Macros make an
            attribute's Type in a sequence the same wherever the sequence is used; where it
            is not, the strictest is meant.
        """
        if parent is None:
            return self._root.get(f"{tag:08X}", "3")
        if tag == _CODE_MEANING:
            return "1"
        return self._nested.get(f"{parent:08X}", {}).get(f"{tag:08X}", "3")


@cache
def _tables() -> dict[str, Any]:
    return dict(json.loads(read_pinned("attribute_types.json")))
