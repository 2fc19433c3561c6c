"""Which rule acts on a tag, and why: for a person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag

from hounsfield.deid.plan import Plan, dictionary_vr, resolve
from hounsfield.deid.profile import Profile
from hounsfield.deid.table import AttributeTypes, all_rows
from hounsfield.errors import ConfigError

__all__ = ["Explanation", "explain"]

_MEANING: Final = {
    "K": "kept; sequences are walked into, text is searched for what is known of the patient",
    "C": "cleaned",
    "U": "replaced by a keyed UID, the same wherever it occurs",
    "X": "removed",
    "Z": "emptied, or replaced by the patient's pseudonym",
    "D": "replaced by a dummy value",
    "=": "replaced by the value that the recipe gives",
}

_DATE = "cleaned: shifted by the patient's own offset, removed where it is no date"
_SEQUENCE = "kept; walked into at every depth"
_TEXT = (
    "cleaned: what is known of patient and study goes, then what looks like a date, a number or "
    "a name; of the rest, words of the examination stay and all others go"
)
#: How a value that is cleaned is cleaned, by its VR.
_CLEANED: Final = {
    "DA": _DATE,
    "DT": _DATE,
    "TM": "kept as it is: times do not move",
    "SQ": _SEQUENCE,
    **dict.fromkeys(("SH", "LO", "UC"), _TEXT),
    **dict.fromkeys(
        ("ST", "LT", "UT"), f"{_TEXT}; in prose, words that are names too go unless written small"
    ),
}

_PATIENT_AGE: Final = 0x00101010
_SAFE_PRIVATE = "removed, unless its creator and low byte are in Table E.3.10-1"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to one attribute under one profile.

    Attributes
    ----------
    tag
        ``(gggg,eeee)``.
    basic
        Codes of the Basic Profile.
    option
        The option that decides instead, or an empty string.
    outcome
        In words.
    source
        Table and edition, or the reason of an addition.
    """

    tag: str
    name: str
    basic: str
    option: str
    outcome: str
    source: str

    def __str__(self) -> str:
        by = f"option {self.option}" if self.option else f"Basic Profile {self.basic}"
        return f"{self.tag} {self.name}: {self.outcome} [{by}; {self.source}]"


def explain(tag: str | int, profile: Profile, *, sop_class_uid: str = "") -> Explanation:
    """The rule of a top-level attribute.

    Parameters
    ----------
    tag
        Keyword, ``ggggeeee``, ``gggg,eeee``, ``(gggg,eeee)`` or a number. Of repeating groups as
        the table has them: ``OverlayData``, ``60xx3000``.
    sop_class_uid
        Settles compound actions by the Type in that object's IOD; without it, the strictest
        Type of any IOD is meant.

    Raises
    ------
    ConfigError
        If that names no tag.
    """
    number = _number(tag)
    rule = Plan(profile).rule(number)
    code = rule.action
    if code not in ("K", "C", "U", "="):
        kind = AttributeTypes.of(sop_class_uid).find(number, None)
        code = resolve(code, kind)
    return Explanation(
        tag=f"({number >> 16:04X},{number & 0xFFFF:04X})",
        name=rule.name,
        basic=rule.basic,
        option=rule.option,
        outcome=_outcome(number, code),
        source=rule.source,
    )


def _outcome(tag: int, code: str) -> str:
    if code == "K" and tag == _PATIENT_AGE:
        return "kept; an age above 89 years is given as 090Y"
    if code != "C":
        return _MEANING[code]
    if tag >> 16 & 1:
        return _SAFE_PRIVATE
    return _CLEANED.get(dictionary_vr(tag) or "", _MEANING[code])


def _number(tag: str | int) -> int:
    if isinstance(tag, int):
        return tag
    plain = tag.strip("() ").replace(",", "").replace(" ", "")
    for row, told in all_rows().items():
        if "X" in row and plain.upper() in (row, told.name.replace(" ", "").upper()):
            return int(row.replace("X", "0"), 16)
    known = tag_for_keyword(tag)
    if known is not None:
        return int(known)
    try:
        return int(Tag(int(plain, 16))) if len(plain) == 8 else _refuse()
    except (ValueError, OverflowError):
        return _refuse()


def _refuse() -> int:
    raise ConfigError(
        "this names no attribute", remedy="give a keyword or a tag, such as 0010,0010"
    )
