"""Which rule acts on a tag, and why: for a person who asks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.tag import Tag

from hounsfield.deid.plan import (
    CLEAN,
    DUMMY,
    KEEP,
    LABELS,
    REMOVE,
    UID,
    Plan,
    Rule,
    dictionary_vr,
    resolve,
)
from hounsfield.deid.private import is_creator, is_private
from hounsfield.deid.profile import Profile
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.table import AttributeTypes, SafePrivate, all_rows, find_row
from hounsfield.errors import ConfigError

__all__ = ["Explanation", "explain"]

_TEXT = "what is known of patient and study goes"
_WORDS = (
    "what looks like a date, a number or a name; of the rest, words of the examination stay and "
    "all others go"
)
_DESCRIPTOR = f"{_TEXT}, then {_WORDS}"
_TITLED = f"{_TEXT}, and so do titled names, but from what may be called after somebody"
_CODE = f"{_TEXT}; of what has letters or signs that no code has, {_WORDS}"
_DATE = "cleaned: shifted by the patient's own offset, taken out where it is no date"
_SEQUENCE = "kept; walked into at every depth"

#: How a value that is kept is kept, by its VR; others as they are. Of one that no dictionary
#: knows, the object tells.
_KEPT: Final = {
    "": f"kept; sequences are walked into, of text {_TEXT}",
    "SQ": _SEQUENCE,
    "CS": f"kept; {_CODE}",
    **dict.fromkeys(("AE", "SH", "LO", "UC", "ST", "LT", "UT", "UR"), f"kept; {_TITLED}"),
    **dict.fromkeys(
        ("DS", "IS", "FD", "FL", "SL", "SV", "UL", "UV"),
        "kept, unless it is a number or a day of this patient",
    ),
}
#: How a value that is cleaned is cleaned, by its VR.
_CLEANED: Final = {
    "": "cleaned",
    "DA": _DATE,
    "DT": _DATE,
    "TM": "kept as it is: times do not move",
    "SQ": _SEQUENCE,
    **dict.fromkeys(("AE", "CS", "SH", "LO", "UC", "UR"), f"cleaned: {_DESCRIPTOR}"),
    **dict.fromkeys(
        ("ST", "LT", "UT"),
        f"cleaned: {_DESCRIPTOR}; in prose, words that are names too go unless written small",
    ),
}
#: What nothing here could clean goes as the Basic Profile says.
_UNCLEANED: Final = frozenset("PN AT FD FL SL SS SV UL US UV OB OD OF OL OV OW".split())  # noqa: SIM905
_GONE: Final = {"X": "removed", "Z": "emptied", "D": "replaced by a dummy value"}
_UID = "replaced by a keyed UID, the same wherever it occurs"
_REFERENCES = "kept; of each item what makes a reference stays, its UIDs replaced by keyed ones"

_PATIENT_NAME, _PATIENT_ID, _PATIENT_AGE = 0x00100010, 0x00100020, 0x00101010
_CHARACTER_SET, _PATIENT_SEX = 0x00080005, 0x00100040
_SEX_NEUTERED, _SMOKING = 0x00102203, 0x001021A0
_CODE_MEANING, _PIXEL_DATA, _IMAGE_TYPE = 0x00080104, 0x7FE00010, 0x00080008
_SELECTOR_AS_VALUE, _NUMERIC_VALUE, _ICC_PROFILE = 0x0072005F, 0x0040A30A, 0x00282000
_SPECIAL: Final = {
    _CHARACTER_SET: "kept, unless it names no character set",
    **dict.fromkeys(
        (_PATIENT_SEX, _SEX_NEUTERED, _SMOKING), f"kept; {_TEXT}, and of the rest, {_WORDS}"
    ),
    _IMAGE_TYPE: f"kept; {_CODE}; its first value is DERIVED where a picture was masked",
    **dict.fromkeys(
        (_PATIENT_AGE, _SELECTOR_AS_VALUE), "kept; an age above 89 years is given as 090Y"
    ),
    _NUMERIC_VALUE: "kept; of an item that tells an age, one above 89 years is given as 90",
    _ICC_PROFILE: "kept; of a profile the numbers of its colours stay; what is none is removed",
    _CODE_MEANING: (
        f"kept; {_TEXT}; where no standard gives the coding scheme, or PS3.16 gives the code "
        f"another meaning, so does {_WORDS}"
    ),
}
_BUT: Final = dict.fromkeys(
    (0x0040A120, 0x0040A121), "; of an item that tells a birth date, replaced by a dummy value"
)
_BURNED_IN: Final = 0x00280301
#: A private element in whatever block its creator reserved: (0019,xx23).
_XX: Final = re.compile(r"([0-9a-f]{3}[13579bdf])xx(?=[0-9a-f]{2}$)", re.IGNORECASE)
#: What is written after all rules, whatever stood there, and who asks for it.
_WRITTEN: Final = {
    0x00020002: ("the SOP Class UID of the object", "PS3.10 Section 7.1"),
    0x00020003: ("the new SOP Instance UID of the object", "PS3.10 Section 7.1"),
    0x00020010: ("the syntax that the object is stored in", "PS3.10 Section 7.1"),
    0x00120062: ("YES", "PS3.15 Section E.1.1"),
    0x00120063: ("the edition, the profile and its digest", "PS3.15 Section E.1.1"),
    0x00120064: ("the codes of the profile, and of what was done before", "PS3.15 Section E.1.1"),
    0x00280303: ("REMOVED, MODIFIED or UNMODIFIED, as the profile says", "PS3.15 Section E.3.6"),
    _BURNED_IN: ("NO where there are pixels that were looked at", "PS3.15 Section E.3.1"),
}
_READ = (
    "kept; text that is burned in is read and masked, and so are regions that are known to bear "
    "text for a device; segmentations and doses are not read; below the top level, removed"
)
_NOT_READ = (
    "kept; no pixels are looked at, and text that is burned in stays but where the site's recipe "
    "names a region; below the top level, removed"
)
_CREATOR = "kept where an element of the block that it reserves is kept, else removed"
_SAFE = "kept from {}, as PS3.15 Table E.3.10-1 has it; from any other creator removed"
_UNSAFE = "removed: no creator has it in PS3.15 Table E.3.10-1"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to one attribute under one profile.

    Attributes
    ----------
    tag
        ``(gggg,eeee)``.
    basic
        Codes of the Basic Profile; empty where its table has no row.
    option
        The option that decides instead, or an empty string.
    outcome
        In words.
    source
        Table and edition, or the reason of an addition.
    recipe
        The line of the site's recipe that decides before all these, or an empty string.
    """

    tag: str
    name: str
    basic: str
    option: str
    outcome: str
    source: str
    recipe: str = ""

    @property
    def by(self) -> str:
        """What decides: the recipe's line, option or Basic Profile, and the table or the reason."""
        reasons = [self.source]
        if self.option or self.basic:
            basic = f"Basic Profile {self.basic}"
            reasons.insert(0, f"option {self.option}" if self.option else basic)
        if self.recipe:
            reasons.insert(0, f"{self.recipe}, before the tables")
        return "; ".join(reasons)

    def __str__(self) -> str:
        return f"{self.tag} {self.name}: {self.outcome} [{self.by}]"


def explain(tag: str | int, profile: Profile, *, pixels: bool = True) -> Explanation:
    """The rule of a top-level attribute.

    Parameters
    ----------
    tag
        Keyword, ``ggggeeee``, ``gggg,eeee``, ``(gggg,eeee)`` or a number. Of repeating groups as
        the table has them: ``OverlayData``, ``60xx3000``. Of private ones any block, or ``xx``.
    pixels
        Whether burned-in text is looked for, where the profile asks for it.

    Raises
    ------
    ConfigError
        If that names no tag, or the profile's recipe is wrong.
    """
    number = _number(tag)
    rule, recipe = Plan(profile).rule(number), Recipe.of(profile)
    own = recipe.overrides.get(number)
    looks = pixels and profile.clean_pixel_data
    reads = number == _PIXEL_DATA and looks
    outcome, source = _outcome(number, own or rule, reads=reads), rule.source
    line = own.source if own else ""
    if number in _WRITTEN and (looks or number != _BURNED_IN):
        what, asked_by = _WRITTEN[number]
        outcome = f"written anew: {what}"
        source = f"{source}; {asked_by}" if find_row(number) else asked_by
    if number in recipe.additions:
        outcome = f"set to {recipe.additions[number]!r} in every object"
        line = f"recipe {profile.recipe}: ADD {keyword_for_tag(number)}"
    return Explanation(
        tag=f"({number >> 16:04X},{number & 0xFFFF:04X})",
        name=rule.name,
        basic=rule.basic if find_row(number) else "",
        option="clean_pixel_data" if reads else rule.option,
        outcome=outcome,
        source=source,
        recipe=line,
    )


def _outcome(tag: int, rule: Rule, *, reads: bool) -> str:
    vr = dictionary_vr(tag) or ""
    if is_private(tag):
        return _private(tag) if rule.action in (KEEP, CLEAN) else _GONE[REMOVE]
    if rule.action == "=":
        return f"replaced by {rule.value!r}, which the recipe gives"
    if rule.action == UID:
        return _REFERENCES if vr == "SQ" else _UID
    if tag == _PIXEL_DATA and rule.action == KEEP:
        return _READ if reads else _NOT_READ
    action = rule.basic if rule.action == CLEAN and vr in _UNCLEANED else rule.action
    if action == CLEAN and vr in _CLEANED:
        return _CLEANED["LO" if tag in LABELS else vr] + _BUT.get(tag, "")
    if action in (KEEP, CLEAN):
        return (_SPECIAL.get(tag) or _KEPT.get(vr, "kept as it is")) + _BUT.get(tag, "")
    return _by_type(tag, vr, action)


def _private(tag: int) -> str:
    if is_creator(tag):
        return _CREATOR
    creators = SafePrivate.creators(tag)
    return _SAFE.format(" or ".join(creators)) if creators else _UNSAFE


def _by_type(tag: int, vr: str, codes: str) -> str:
    """What is left of a value that goes: where the Types of the IODs differ in that, by Type."""
    kinds: dict[str, list[str]] = {}
    for kind in AttributeTypes.anywhere(tag):
        code = resolve(codes, kind, is_sequence=vr == "SQ")
        kinds.setdefault(_gone(tag, vr, code), []).append(kind)
    if len(kinds) == 1:
        return next(iter(kinds))
    told = (f"{outcome} as Type {' or '.join(types)}" for outcome, types in kinds.items())
    return f"by its Type in the IOD of the object: {', '.join(told)}"


def _gone(tag: int, vr: str, code: str) -> str:
    if tag in (_PATIENT_NAME, _PATIENT_ID) and code != REMOVE:
        return "replaced by the patient's pseudonym"
    if vr == "UN":
        return _GONE[REMOVE]
    return _UID if vr == "UI" and code == DUMMY else _GONE[code]


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
    plain = _XX.sub(r"\g<1>10", plain)
    try:
        return int(Tag(int(plain, 16))) if len(plain) == 8 else _refuse()
    except (ValueError, OverflowError):
        return _refuse()


def _refuse() -> int:
    raise ConfigError(
        "this names no attribute", remedy="give a keyword or a tag, such as 0010,0010"
    )
