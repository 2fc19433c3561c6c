"""Check: the object says of itself what PS3.15 Section E.1.1 asks, and holds nothing that goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from hounsfield.deid.profile import METHODS, Profile
from hounsfield.deid.table import AttributeTypes, SafePrivate, find_row
from hounsfield.gate.elements import PIXELS, PREAMBLE, Element
from hounsfield.gate.report import Finding, place_of
from hounsfield.gate.sentinels import Sentinels

__all__ = ["CHECK", "check_object"]

CHECK = "standard"

_IDENTITY_REMOVED, _METHOD, _METHOD_CODES = 0x00120062, 0x00120063, 0x00120064
_DATES_MODIFIED, _BURNED_IN = 0x00280303, 0x00280301
_CODE: Final = (0x00080100, 0x00080102, 0x00080104)  # its value, scheme and meaning
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_META_CLASS, _META_INSTANCE = 0x00020002, 0x00020003
_CLEAN_PIXELS = "113101"
_PIXEL_DATA, _PARAMETRIC_MAP = 0x7FE00010, "1.2.840.10008.5.1.4.1.1.30"
_PIXELS, _VARIABLE = 0x7FE0, range(0x7F00, 0x7FE0)  # groups; the second is of retired ones
# Of content items (PS3.3 Section 10.2): what is told, its unit, how much, and when.
_CONCEPT, _UNIT = 0x0040A043, 0x004008EA
_MEASURED, _NUMBER = 0x0040A300, 0x0040A30A
_TIMES: Final = frozenset({0x0040A120, 0x0040A121})
_OLDEST: Final = {"mo": 90 * 12, "wk": 90 * 52, "d": 90 * 365}  # by unit of UCUM, else in years
_AGE = re.compile(r"121033|397669002|424144002|30525-0|.*\b(?:age|alter)\b.*", re.I | re.S)
_FREE: Final = frozenset("LO LT SH ST UC UT".split())  # noqa: SIM905
_OLD_IN_TEXT = re.compile(
    r"(?:(?<!\d)(?:9\d|1[01]\d)[\s-]*|(?<![a-z])ninety(?:[\s-](?:one|two|three|four|five|six|seven"
    r"|eight|nine))?[\s-]+)(?:y/?o|y(?:ea)?rs?)(?![^\W\d_])",
    re.I,
)
_BIRTH = re.compile(r"121031|184099003|21112-8|.*(?:birth|geburt|\bdob\b).*", re.I | re.S)
_NO_DAY = "19000101"  # what stands where the IOD asks for a date


@dataclass(frozen=True)
class _Object:
    """One output file as the checks see it."""

    elements: Sequence[Element]
    profile: Profile
    overridden: frozenset[int]
    sentinels: Sentinels

    @cached_property
    def top(self) -> dict[int, Element]:
        return {element.tag: element for element in self.elements if len(element.path) == 1}

    @cached_property
    def codes(self) -> set[str]:
        """Of DeidentificationMethodCodeSequence."""
        return {text for path, text in self.stated if path == (_METHOD_CODES, _CODE[0])}

    @cached_property
    def stated(self) -> list[tuple[tuple[int, ...], str]]:
        """Paths and texts of all that stands in DeidentificationMethodCodeSequence."""
        elements = (element for element in self.elements if element.path[0] == _METHOD_CODES)
        return [(element.path, element.text) for element in elements]

    @cached_property
    def content(self) -> list[tuple[Element, list[str], str]]:
        """Values of content items, with code and meaning of their concepts, and their units."""
        return list(_of_content(element for element in self.elements if len(element.path) > 1))

    @cached_property
    def methods(self) -> set[bytes]:
        """Values of DeidentificationMethod."""
        return _split(self.top[_METHOD].value) if _METHOD in self.top else set()

    @cached_property
    def own_methods(self) -> set[bytes]:
        """Those that the profile has."""
        return {method.encode() for method in self.profile.methods}

    def text(self, tag: int) -> str:
        return self.top[tag].text if tag in self.top else ""


def _split(value: bytes) -> set[bytes]:
    return {one.strip(b" \0") for one in value.split(b"\\")}


def check_object(
    elements: Sequence[Element],
    profile: Profile,
    overridden: frozenset[int],
    sentinels: Sentinels,
) -> list[Finding]:
    """Findings of every rule over one output file.

    Parameters
    ----------
    overridden
        Tags that the site's recipe decides on; its rules come before the table's.
    """
    seen = _Object(elements, profile, overridden, sentinels)
    instance = seen.text(_SOP_INSTANCE)
    found = {(rule, place) for rule, broken in _RULES.items() for place in broken(seen)}
    return [Finding(CHECK, rule, place, object=instance) for rule, place in sorted(found)]


def _says_so(seen: _Object) -> Iterator[str]:
    if seen.text(_IDENTITY_REMOVED) != "YES":
        yield place_of((_IDENTITY_REMOVED,))


def _names_its_method(seen: _Object) -> Iterator[str]:
    if not seen.methods >= seen.own_methods:
        yield place_of((_METHOD,))
    # What was done before it came to us stays stated.
    codes = seen.profile.codes(pixels_cleaned=_CLEAN_PIXELS in seen.codes)
    if not seen.codes >= {code.value for code in codes}:
        yield place_of((_METHOD_CODES,))


def _names_no_other_method(seen: _Object) -> Iterator[str]:
    """Free text about an earlier de-identification may name who did it."""
    raw = seen.sentinels.values.get(_METHOD, set())
    received = {method for value in raw for method in _split(value)}
    if _METHOD not in seen.overridden and seen.methods & received - seen.own_methods:
        yield place_of((_METHOD,))


def _tells_it_in_known_codes(seen: _Object) -> Iterator[str]:
    """Sentinels are not looked for in these meanings: they say what PS3.16 says, or it shows."""
    values = [text for path, text in seen.stated if path == (_METHOD_CODES, _CODE[0])]
    codes = [METHODS[value] for value in values if value in METHODS]
    expected = [
        ((_METHOD_CODES, tag), text)
        for code in codes
        for tag, text in zip(_CODE, (code.value, code.scheme, code.meaning), strict=True)
    ]
    if seen.stated != expected:
        yield place_of((_METHOD_CODES,))


def _tells_of_its_dates(seen: _Object) -> Iterator[str]:
    expected = "REMOVED"
    if seen.profile.retain_full_dates:
        expected = "UNMODIFIED"
    elif seen.profile.retain_modified_dates:
        expected = "MODIFIED"
    if seen.text(_DATES_MODIFIED) != expected:
        yield place_of((_DATES_MODIFIED,))


def _tells_of_burned_in_text(seen: _Object) -> Iterator[str]:
    """NO where the pixels were cleaned; what was not looked at may not claim it."""
    cleaned, said = _CLEAN_PIXELS in seen.codes, seen.text(_BURNED_IN)
    was_no = b"NO" in {value.strip() for value in seen.sentinels.values.get(_BURNED_IN, ())}
    if (cleaned and said != "NO") or (not cleaned and said == "NO" and not was_no):
        yield place_of((_BURNED_IN,))


def _can_be_seen(seen: _Object) -> Iterator[str]:
    """Fractions are measured in a parametric map; elsewhere they may be a picture."""
    if not seen.profile.clean_pixel_data or seen.text(_SOP_CLASS) == _PARAMETRIC_MAP:
        return
    for tag in PIXELS - {_PIXEL_DATA}:
        if tag in seen.top and seen.top[tag].value:
            yield place_of((tag,))


def _meta_agrees(seen: _Object) -> Iterator[str]:
    for meta, own in ((_META_INSTANCE, _SOP_INSTANCE), (_META_CLASS, _SOP_CLASS)):
        if not seen.text(own) or seen.text(meta) != seen.text(own):
            yield place_of((meta,))
    if any(seen.top[PREAMBLE].value if PREAMBLE in seen.top else b""):
        yield place_of((PREAMBLE,))


def _private_is_safe(seen: _Object) -> Iterator[str]:
    for element in seen.elements:
        tag = element.tag
        if not tag >> 16 & 1 or 0x10 <= tag & 0xFFFF <= 0xFF:
            continue
        safe = SafePrivate.find(tag, element.creator) if element.creator else None
        if safe is None or not seen.profile.retain_safe_private:
            yield place_of(element.path)


def _removed_is_gone(seen: _Object) -> Iterator[str]:
    """What the table removes (X, and no option of the profile says else) is not there."""
    types = AttributeTypes.of(seen.text(_SOP_CLASS))
    for element in seen.elements:
        row = find_row(element.tag)
        if row is None or row.basic != "X" or element.tag >> 16 & 1 or not element.value:
            continue
        if element.path == (_METHOD,):  # Written anew; rules of their own look at it.
            continue
        if element.tag in seen.overridden or row.options.keys() & seen.profile.options:
            continue
        parent = element.path[-2] if len(element.path) > 1 else None
        was = seen.sentinels.values.get(element.tag, set())
        # A dummy stands where the object's IOD asks for a value; the value itself never does.
        if types.find(element.tag, parent)[0] != "1" or element.value in was:
            yield place_of(element.path)


def _pictures_are_its_own(seen: _Object) -> Iterator[str]:
    """One in a sequence or beside the pixel data is read by nobody."""
    for element in seen.elements:
        group = element.tag >> 16
        is_nested = group == _PIXELS and len(element.path) > 1
        if element.value and (is_nested or group in _VARIABLE):
            yield place_of(element.path)


def _tells_no_great_age(seen: _Object) -> Iterator[str]:
    """Over 89 years all are of one category: 45 CFR 164.514(b)(2)(i)(C)."""
    for element in seen.elements:
        if element.vr == "AS" and any(_is_over(age) for age in element.text.split("\\")):
            yield place_of(element.path)
        is_free = element.vr in _FREE and element.tag not in seen.overridden
        if is_free and _OLD_IN_TEXT.search(element.text):
            yield place_of(element.path)
    for element, concepts, unit in seen.content:
        if element.tag == _NUMBER and any(map(_AGE.fullmatch, concepts)):
            most = _OLDEST.get(unit.partition("_")[0], 90)
            if any(_number(value) > most for value in element.text.split("\\")):
                yield place_of(element.path)


def _tells_no_birth(seen: _Object) -> Iterator[str]:
    """With another date that moved as it did, the age to the day."""
    for element, concepts, _ in seen.content:
        is_birth = element.tag in _TIMES and any(map(_BIRTH.fullmatch, concepts))
        if is_birth and element.text and not element.text.startswith(_NO_DAY):
            yield place_of(element.path)


def _of_content(elements: Iterable[Element]) -> Iterator[tuple[Element, list[str], str]]:
    """As they stand in the file: what a value is of comes before it, in its item."""
    concepts: dict[tuple[int, ...], list[str]] = {}
    last: dict[tuple[int, ...], int] = {}
    units: dict[tuple[int, ...], str] = {}
    for element in elements:
        *item, around, tag = element.path
        if around == _CONCEPT and tag in _CODE:
            is_next = tag <= last.get(tuple(item), tag)  # Tags go up within an item.
            begun = [] if is_next else concepts[tuple(item)]
            concepts[tuple(item)], last[tuple(item)] = [*begun, element.text], tag
        elif around == _UNIT and tag == _CODE[0]:
            units[tuple(item)] = element.text
        elif tag == _NUMBER or tag in _TIMES:
            place = (*item, around)
            named = tuple(item) if around == _MEASURED else place
            yield element, concepts.get(named, []), units.pop(place, "")


def _is_over(age: str) -> bool:
    return age.endswith("Y") and _number(age[:-1]) > 90


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


_RULES: Final[dict[str, Callable[[_Object], Iterator[str]]]] = {
    "PatientIdentityRemoved is YES": _says_so,
    "the method is named, with the profile's codes of CID 7050": _names_its_method,
    "no method that the received object named in words": _names_no_other_method,
    "no code of a method but those of CID 7050": _tells_it_in_known_codes,
    "LongitudinalTemporalInformationModified is the profile's": _tells_of_its_dates,
    "BurnedInAnnotation agrees with what was done": _tells_of_burned_in_text,
    "no pixels of fractions but a parametric map's": _can_be_seen,
    "file meta names the object, and the preamble is empty": _meta_agrees,
    "no private element but those of Table E.3.10-1": _private_is_safe,
    "no attribute that the profile removes": _removed_is_gone,
    "no pixel data but the object's own": _pictures_are_its_own,
    "no age over 89": _tells_no_great_age,
    "no birth date": _tells_no_birth,
}
