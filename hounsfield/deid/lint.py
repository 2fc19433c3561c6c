"""The strict check of a recipe: each line does what it says, or is refused by its number."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from pydicom import config
from pydicom.datadict import DicomDictionary, keyword_for_tag, tag_for_keyword
from pydicom.valuerep import validate_value

from hounsfield.deid.plan import WITHOUT_PLACE, dictionary_vr
from hounsfield.deid.table import SafePrivate
from hounsfield.errors import ConfigError

__all__ = ["expand", "lint"]

_PLAIN_VERBS: Final = ("BLANK", "KEEP", "REMOVE")
_VALUE_VERBS: Final = ("ADD", "REPLACE")
_TEXT_VRS: Final = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT".split())  # noqa: SIM905
# What these hold comes from the project key, or says what the object is.
_UNTOUCHABLE: Final = frozenset(
    "PatientID SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID".split()  # noqa: SIM905
)
# What these hold, every object is given after all rules. A site may add a method of its own.
_STAMPED: Final = frozenset(
    """
    PatientIdentityRemoved DeidentificationMethodCodeSequence BurnedInAnnotation
    LongitudinalTemporalInformationModified
    """.split()  # noqa: SIM905
)
# Without these, as they came, nobody reads the values of an object or its pixels (PS3.3 C.7.6.3).
_READ_BY: Final = frozenset(
    """
    SpecificCharacterSet SamplesPerPixel PhotometricInterpretation PlanarConfiguration Rows Columns
    NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation
    RedPaletteColorLookupTableDescriptor RedPaletteColorLookupTableData
    GreenPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableData
    BluePaletteColorLookupTableDescriptor BluePaletteColorLookupTableData
    PixelData FloatPixelData DoubleFloatPixelData
    """.split()  # noqa: SIM905
)
_FILE_META: Final = 0x0002  # group
_METHOD: Final = "DeidentificationMethod"
_EXPANDERS: Final[dict[str, Callable[[str, str], bool]]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": str.__contains__,
}
_FILTER = re.compile(
    r"(contains|notcontains|equals|notequals) (\w+) (\S.*)|(missing|empty|present) (\w+)"
)
_BOX = re.compile(r"coordinates all|(coordinates|ctpcoordinates) (\d+),(\d+),(\d+),(\d+)")
_UNSPLIT: Final = frozenset({"LT", "ST", "UR", "UT"})  # a backslash is a letter (PS3.5 6.2)


@dataclass(slots=True)
class _State:
    """Where the check is: the section, and what the label at hand has so far."""

    where: str
    line: int = 0
    section: str = ""
    label_line: int = 0
    filters: int = 0
    boxes: int = 0
    seen: set[int] = field(default_factory=set)

    def refuse(self, what: str, remedy: str = "", line: int = 0) -> ConfigError:
        return ConfigError(what, where=f"{self.where} line {line or self.line}", remedy=remedy)


def lint(text: str, where: str) -> None:
    """Checks a recipe.

    Raises
    ------
    ConfigError
        With the number of the first line that `deid` would skip or misread.
    """
    state = _State(where)
    for state.line, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line and not line.startswith("#"):
            _check_line(state, line)
    _close_label(state)


def _check_line(state: _State, line: str) -> None:
    if "#" in line:
        raise state.refuse("a comment after a rule", "put it on a line of its own")
    if line.startswith("%"):
        _open_section(state, line)
    elif line.upper().startswith("FORMAT"):
        if line != "FORMAT dicom":
            raise state.refuse("the format is not dicom", "write: FORMAT dicom")
    elif state.section == "header":
        _check_action(state, line)
    elif state.section == "filter":
        _check_filter(state, line)
    else:
        raise state.refuse("a rule outside a section", "begin with %header or %filter NAME")


def _open_section(state: _State, line: str) -> None:
    _close_label(state)
    if not re.fullmatch(r"%header|%filter \w+", line):
        raise state.refuse("an unknown section", "known: %header, %filter NAME")
    state.section = line.split()[0][1:]


def _check_action(state: _State, line: str) -> None:
    verb, _, rest = line.partition(" ")
    name, _, value = rest.strip().partition(" ")
    if verb not in _PLAIN_VERBS + _VALUE_VERBS:
        raise state.refuse(
            "an unknown verb", f"known, in capitals: {', '.join(_PLAIN_VERBS + _VALUE_VERBS)}"
        )
    if bool(value.strip()) != (verb in _VALUE_VERBS):
        wanted = "needs a value" if verb in _VALUE_VERBS else "takes no value"
        raise state.refuse(f"{verb} {wanted}")
    if re.match(r"(var|func|deid_func):", value.strip()):
        raise state.refuse("a value that is computed", "recipes here give literal values")
    tags = expand(name)
    if not tags:
        raise state.refuse("an unknown keyword", "use the keyword of PS3.6, such as StationName")
    _check_tags(state, verb, tags)
    if verb in _VALUE_VERBS and not all(_fits(tag, value.strip()) for tag in tags):
        raise state.refuse("a value that the attribute cannot have", "see its VR in PS3.5 6.2")


def _check_tags(state: _State, verb: str, tags: list[int]) -> None:
    keywords = {keyword_for_tag(tag) for tag in tags}
    if _UNTOUCHABLE & keywords:
        raise state.refuse("an attribute that the project key decides")
    if _STAMPED & keywords or (_METHOD in keywords and verb in ("BLANK", "REMOVE")):
        raise state.refuse("an attribute that every object is given anew")
    if verb != "KEEP" and (broken := sorted(_READ_BY & keywords)):
        raise state.refuse(
            f"{broken[0]}, without which nobody can read the object",
            "to hide a part of its pixels, name the region under %filter",
        )
    groups = {tag >> 16 for tag in tags} & WITHOUT_PLACE
    if _FILE_META in groups or (groups and verb != "REMOVE"):
        raise state.refuse("an attribute of a file or a message, not of an object")
    if verb in _VALUE_VERBS and any(dictionary_vr(tag) not in _TEXT_VRS for tag in tags):
        raise state.refuse(f"{verb} on an attribute that holds no text")
    if verb != "REMOVE" and any(tag & 0x10000 and not _is_safe(verb, tag) for tag in tags):
        raise state.refuse("a private attribute that is not known to be safe: it is removed")
    if state.seen & set(tags):
        raise state.refuse("a second rule for one attribute")
    state.seen |= set(tags)


def _is_safe(verb: str, tag: int) -> bool:
    """Whether some creator makes it safe; none is known before an object is seen."""
    return verb == "KEEP" and bool(SafePrivate.creators(tag))


def _fits(tag: int, value: str) -> bool:
    """Whether a text has the form of the attribute's VR; a range is none (PS3.4 C.2.2.2.5)."""
    vr = dictionary_vr(tag) or ""
    if vr in ("DA", "TM") and "-" in value:
        return False
    try:
        for one in [value] if vr in _UNSPLIT else value.split("\\"):
            validate_value(vr, one, config.RAISE)
    except ValueError:
        return False
    return True


def _check_filter(state: _State, line: str) -> None:
    if line.startswith("LABEL "):
        _close_label(state)
        state.label_line, state.filters, state.boxes = state.line, 0, 0
    elif not state.label_line:
        raise state.refuse("a filter outside a label", "begin with LABEL and a name")
    elif box := _BOX.fullmatch(line):
        _check_box(state, box)
    else:
        _check_filters(state, line)


def _check_filters(state: _State, line: str) -> None:
    """`deid` takes each line for a further condition, and the values of a line in their order."""
    if line.startswith("||"):
        raise state.refuse(
            "an or between two lines, which would be an and", "write both on one line: A || B"
        )
    are_valued = []
    for part in re.split(r"\s+(?:\|\||\+)\s+", re.sub(r"^\+\s*", "", line)):
        match = _FILTER.fullmatch(part)
        if match is None:
            raise state.refuse("neither a filter nor coordinates")
        if tag_for_keyword(match[2] or match[5]) is None:
            raise state.refuse("an unknown keyword")
        if (match[1] or "").endswith("contains"):
            _check_expression(state, match[3])
        are_valued.append(match[1] is not None)
    if are_valued != sorted(are_valued, reverse=True):
        raise state.refuse(
            "a filter without a value, which would take that of the next",
            "put missing, empty and present behind the others",
        )
    state.filters += len(are_valued)


def _check_box(state: _State, box: re.Match[str]) -> None:
    kind, *numbers = box.groups()
    if kind is not None:
        x0, y0, x1, y1 = map(int, numbers)
        if kind == "ctpcoordinates":  # a corner, width and height
            x0, y0 = 0, 0
        if x1 <= x0 or y1 <= y0:
            raise state.refuse(
                "coordinates that cover nothing",
                "write: coordinates x0,y0,x1,y1 or ctpcoordinates x,y,width,height",
            )
    state.boxes += 1


def _check_expression(state: _State, expression: str) -> None:
    """`deid` takes what it compares with for a regular expression, in small letters."""
    try:
        re.compile(expression.lower())
    except re.error:
        raise state.refuse(
            "an expression that cannot be read", r"write \( and \[ for ( and ["
        ) from None
    if re.search(r"\\[A-Z]", expression):
        raise state.refuse("an expression that means another thing in small letters")


def _close_label(state: _State) -> None:
    if state.label_line and not state.filters:
        raise state.refuse("a label without a filter masks every image", line=state.label_line)
    if state.label_line and not state.boxes:
        raise state.refuse("a label without coordinates masks nothing", line=state.label_line)
    state.label_line = 0


@cache
def _keywords() -> dict[str, int]:
    return {entry[4]: tag for tag, entry in DicomDictionary.items() if entry[4]}


def expand(name: str) -> list[int]:
    """Tags of a field: a keyword, eight hexadecimal digits, or an expander with keywords."""
    expander, _, pattern = name.partition(":")
    if expander in _EXPANDERS and pattern:
        matches = _EXPANDERS[expander]
        return [tag for keyword, tag in _keywords().items() if matches(keyword, pattern)]
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return [int(name, 16)]
    return [_keywords()[name]] if name in _keywords() else []
