"""The plan: one rule per attribute, from the tables and a profile.

What no row of the tables covers is decided by what it is: a person's name, a date, a UID or
an address goes by its value representation; what people write freely is kept as descriptors
are; a tag that no dictionary knows goes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_description, dictionary_keyword, dictionary_VR

from hounsfield.deid.profile import Profile
from hounsfield.deid.table import PRIVATE, Row, all_rows, find_row

__all__ = ["LABELS", "WITHOUT_PLACE", "Plan", "Rule", "dictionary_vr", "resolve"]

#: Codes of PS3.15 Table E.1-1a, as they act on one value.
KEEP, CLEAN, UID, REMOVE, EMPTY, DUMMY = "K", "C", "U", "X", "Z", "D"

_DATES = {"full_dates": KEEP, "modified_dates": CLEAN}
# Attributes without a row, by value representation (PS3.5 Section 6.2).
_BY_VR: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "PN": ("X/Z/D", {}),
    "DA": ("X/Z/D", _DATES),
    "DT": ("X/Z/D", _DATES),
    "TM": ("X/Z/D", _DATES),
    "AE": ("X/Z/D", {"device": KEEP}),
    "UR": ("X/Z/D", {}),
    "UI": (UID, {"uids": KEEP}),
    "UN": (REMOVE, {}),
}
# Attributes without a row that hold what people write, by VR or by their keyword. The table
# keeps them, but a stranger's name can stand in a Segment Description too.
_PROSE_VRS: Final = frozenset({"LT", "ST", "UT"})
_DESCRIPTIVE_VRS: Final = frozenset({"LO", "SH", "UC"})
_WRITTEN: Final = re.compile(
    r"\w*(Description(Trial)?|Comments?|Explanation|Label(Vector)?|Narrative|Notes?|Purpose|Reason"
    r"|Text|Title|ReasonsForProcedure|DiagnosticTasks|TreatmentProtocols|AdditionalPosition"
    r"|ProtocolName|StageName|ViewName|BeamName|BlockName|RTImageName|ProtocolElementName"
    r"|ProtocolCreator|UserGroupName|ImageID|AccessoryCode|AcquisitionDeviceProcessingCode)"
)
#: Names of things, and not prose, whatever their VR says: Tracking ID.
LABELS: Final = frozenset({0x00620020})
_BODY_PART: Final = 0x00180015  # a code string, and people write into it what they like
# UIDs that name a class, a syntax or a vocabulary, not a thing of the patient.
_CLASS_UIDS = frozenset(
    {
        0x00080016,  # SOP Class
        0x0008001A,  # Related General SOP Class
        0x0008001B,  # Original Specialized SOP Class
        0x00080062,  # SOP Classes in Study
        0x0008010C,  # Coding Scheme
        0x0008010D,  # Context Group Extension Creator
        0x00080117,  # Context
        0x00080118,  # Mapping Resource
        0x00081150,  # Referenced SOP Class
        0x0008115A,  # SOP Classes Supported
        0x00083002,  # Available Transfer Syntax
        0x04000010,  # MAC Calculation Transfer Syntax
        0x30100052,  # Pertinent SOP Classes in Study
        0x30100053,  # Pertinent SOP Classes in Series
    }
)
_DRAWN = frozenset({0x50, 0x60})  # curves (50xx) and overlays (60xx), whole groups
_VARIABLE = range(0x7F00, 0x7FE0)  # groups of the retired Variable Pixel Data
#: Command, file meta (written anew), directory and security-scan groups say nothing of an image.
WITHOUT_PLACE: Final = frozenset({0x0000, 0x0002, 0x0004, 0x4010})
_COMMANDS = 0x0000  # group


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to one attribute.

    Attributes
    ----------
    action
        ``K``, ``C``, ``U``, ``=`` (a recipe's value), or the Basic Profile's codes, which the
        Type resolves.
    basic
        The Basic Profile's codes: what happens where cleaning fails.
    option
        The option that decided, or an empty string.
    source
        The table and edition, or the reason of an addition.
    """

    name: str
    action: str
    basic: str
    option: str
    source: str
    value: str = ""


class Plan:
    """The rules of one profile; each is worked out at its first use.

    Parameters
    ----------
    overrides
        Rules of a site's recipe by tag; they come before the tables.
    """

    def __init__(self, profile: Profile, overrides: dict[int, Rule] | None = None) -> None:
        self.profile = profile
        self.options = profile.options
        self._rules: dict[int, Rule] = dict(overrides or {})
        self.overridden = frozenset(self._rules)
        self._private = self._of_row(all_rows()[PRIVATE])

    def rule(self, tag: int) -> Rule:
        """The rule for a tag, whatever its value."""
        rule = self._rules.get(tag)
        if rule is not None:
            return rule
        if (tag >> 16) & 1:  # Memoised apart: a file may hold any number of private tags.
            return self._private
        return self._rules.setdefault(tag, self._work_out(tag))

    def _work_out(self, tag: int) -> Rule:
        row = find_row(tag)
        if tag >> 24 in _DRAWN:
            name = row.name if row else "of a curve or an overlay"
            reason = "a drawing that nothing here could clean"
            return Rule(name, REMOVE, REMOVE, "", f"{row.source}; {reason}" if row else reason)
        if tag >> 16 in _VARIABLE:
            return Rule("Variable Pixel Data", REMOVE, REMOVE, "", "a picture that nobody looks at")
        if row is not None and tag >> 16 != _COMMANDS:  # no file may have those (PS3.7 Annex E)
            return self._of_row(row)
        vr = dictionary_vr(tag)
        if vr is None:
            return Rule("unknown attribute", REMOVE, REMOVE, "", "in no dictionary")
        name = dictionary_description(tag) if tag & 0xFFFF else "Group Length"
        if tag >> 16 in WITHOUT_PLACE or not tag & 0xFFFF:
            return Rule(name, REMOVE, REMOVE, "", "has no place in a de-identified object")
        if _is_written(tag, vr):
            return Rule(name, CLEAN, "X/Z/D", "", "not in the tables: free text, kept by words")
        if tag in _CLASS_UIDS or vr not in _BY_VR:
            return Rule(name, KEEP, REMOVE, "", "not in the tables: kept")
        basic, options = _BY_VR[vr]
        return self._decide(name, basic, options, f"not in the tables: decided by its VR {vr}")

    def _of_row(self, row: Row) -> Rule:
        return self._decide(row.name, row.basic, row.options, row.source)

    def _decide(self, name: str, basic: str, options: dict[str, str], source: str) -> Rule:
        """Where several options act, cleaning comes before keeping."""
        active = {code: option for option, code in options.items() if option in self.options}
        for code in (CLEAN, KEEP):
            if code in active:
                return Rule(name, code, basic, active[code], source)
        action = UID if UID in basic else basic
        return Rule(name, action, basic, "", source)


def _is_written(tag: int, vr: str) -> bool:
    is_described = _WRITTEN.fullmatch(dictionary_keyword(tag)) is not None
    return vr in _PROSE_VRS or tag == _BODY_PART or (vr in _DESCRIPTIVE_VRS and is_described)


def resolve(codes: str, kind: str, *, is_sequence: bool = False) -> str:
    """One of X, Z, D for the Basic Profile's codes and the attribute's Type.

    A value that goes leaves an empty or a dummy one behind where the IOD asks for the
    attribute, even where the table says X alone: the value is gone either way, and the object
    stays what its SOP Class says it is. Sequences are not made up for that.

    Parameters
    ----------
    codes
        Such as ``X``, ``Z/D`` or ``X/Z/D``.
    kind
        Type of the attribute: ``1``, ``1C``, ``2``, ``2C`` or ``3``.
    """
    letters = set(codes.split("/"))
    if letters == {REMOVE}:
        needed = {"1": REMOVE if is_sequence else DUMMY, "2": EMPTY}
        return needed.get(kind, REMOVE)
    order = {"1": "DZX", "2": "ZDX", "3": "XZD"}[kind[0]]
    if kind[0] == "1" and not is_sequence:
        return DUMMY  # Z allows a dummy value too (PS3.15 Table E.1-1a)
    return next(code for code in order if code in letters)


@lru_cache(maxsize=8192)
def dictionary_vr(tag: int) -> str | None:
    """VR of a public tag in the data dictionary, the first of several; None if unknown."""
    if not tag & 0xFFFF:
        return "UL"
    try:
        return str(dictionary_VR(tag)).split(" or ")[0]
    except KeyError:
        return None
