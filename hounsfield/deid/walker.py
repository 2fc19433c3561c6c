"""The walker: applies a plan to every element of a dataset, at every depth.

Each element meets exactly one rule. What is kept is looked at too: sequences are walked
into, text is searched for what is known of the patient, and a value that is not what its
attribute says it is goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID_dictionary

from hounsfield.deid import dummies
from hounsfield.deid.ages import blur_age, what_is_told
from hounsfield.deid.colours import clean_profile
from hounsfield.deid.concepts import SCHEMES, is_another_meaning
from hounsfield.deid.forms import (
    BINARY,
    CLASSES,
    FLOATS,
    FORMS,
    INTEGERS,
    LEAST_DIGITS,
    LIKE_A_DAY,
    NUMBERS,
    PROSE,
    SINGLE,
    TEXT,
    bytes_of,
    digits_of,
    form_of,
    has_long_numbers,
    is_character_set,
    most_bytes,
    vr_to_write,
)
from hounsfield.deid.identifiers import Patient, patient_identity
from hounsfield.deid.plan import (
    CLEAN,
    KEEP,
    LABELS,
    REMOVE,
    UID,
    Plan,
    Rule,
    dictionary_vr,
    resolve,
)
from hounsfield.deid.private import block_of, creators_of, is_creator, is_private
from hounsfield.deid.reports import Note
from hounsfield.deid.table import AttributeTypes, SafePrivate
from hounsfield.deid.text import TextCleaner
from hounsfield.deid.values import strings
from hounsfield.dicom.raw import is_sound, text_of, vr_of
from hounsfield.errors import DeidentificationError
from hounsfield.pseudonyms import Pseudonyms

__all__ = ["Walker"]

_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
_PIXELS = 0x7FE0  # group
_CONTENT_SEQUENCE, _GRAPHIC_ANNOTATIONS = 0x0040A730, 0x00700001
_SAID = {"X": "removed", "Z": "emptied", "D": "dummy", "pseudonym": "pseudonym"}
_CHARACTER_SET, _CODE_MEANING, _ICC_PROFILE = 0x00080005, 0x00080104, 0x00282000
# Whose rule is not all there is to them.
_LOOKED_AT = frozenset({_CHARACTER_SET, _CODE_MEANING, _ICC_PROFILE, *LABELS})
#: Options that retain what may be called after somebody: a hospital, a device, a layer.
_NAMED_AFTER = frozenset({"institution", "device", "graphics"})
_REMEMBERED = 4096  # UIDs
_SHORT = 4  # digits: as many the roots of others have
_MAX_AGE = 89  # 45 CFR 164.514(b)(2)(i)(C): ages over 89 become one category

# What makes a reference (PS3.3 Table 10-3): all that stays in a sequence of new UIDs (U*).
_REFERENCE = frozenset(
    {
        0x00081150,  # Referenced SOP Class UID
        0x00081155,  # Referenced SOP Instance UID
        0x00081160,  # Referenced Frame Number
        0x0062000B,  # Referenced Segment Number
        0x0040A170,  # Purpose of Reference Code Sequence
        0x0028135A,  # Spatial Locations Preserved
    }
)


@dataclass(frozen=True, slots=True)
class _Level:
    """A dataset being walked: the object itself, or an item of the sequence `parent`."""

    dataset: Dataset
    parent: int | None
    patient_key: str


class Walker:
    """Applies one plan to the objects of one study.

    Parameters
    ----------
    plan
        Rules by tag.
    pseudonyms
        Of the project.
    cleaner
        Knows this patient and study.
    patients
        Whom its objects are of, by what they say: mostly one.
    """

    def __init__(
        self,
        plan: Plan,
        pseudonyms: Pseudonyms,
        cleaner: TextCleaner,
        patients: Collection[Patient] = (),
    ) -> None:
        self._plan = plan
        self._pseudonyms = pseudonyms
        self._cleaner = cleaner
        self._patients = patients
        self._types = AttributeTypes.of("")
        self._notes: list[Note] = []
        self._days = 0
        self._uids: dict[str, str] = {}

    def walk(self, dataset: Dataset) -> dict[int, list[Note]]:
        """De-identifies `dataset` in place; says by tag of the top level what was done."""
        each = self.walk_each(dataset, list(dataset.keys()))
        self._notes = []
        self._drop_creators(dataset)
        for note in self._notes:
            each[note[0]].append(note)
        return each

    def walk_each(self, dataset: Dataset, tags: Iterable[int]) -> dict[int, list[Note]]:
        """De-identifies some elements of the top level, and says by tag what was done.

        The others are looked at, for what they say of these. Who reserves private blocks stays:
        whether any of their elements does is not known before all are met.
        """
        identity = patient_identity(dataset, self._patients)
        self._types = AttributeTypes.of(str(dataset.get("SOPClassUID", "")))
        self._days = self._pseudonyms.shift_days(*identity)
        level = _Level(dataset, None, self._pseudonyms.patient_key(*identity))
        elements, creators = dict(dataset.items()), creators_of(dataset)
        each: dict[int, list[Note]] = {}
        for tag in tags:
            self._notes = each[tag] = []
            self._meet(level, elements[BaseTag(tag)], creators)
        return each

    def _walk_level(self, level: _Level) -> None:
        creators = creators_of(level.dataset)
        for element in list(level.dataset.values()):
            self._meet(level, element, creators)
        self._drop_creators(level.dataset)

    def _meet(
        self,
        level: _Level,
        element: DataElement | RawDataElement,
        creators: Mapping[int, str],
    ) -> None:
        dataset, tag = level.dataset, element.tag
        if is_private(tag):
            if tag not in creators:
                self._meet_private(level, tag, creators.get(block_of(tag), ""))
            return
        if tag >> 16 == _PIXELS and level.parent is not None:
            del dataset[tag]  # a picture that nobody looks at, as an icon is
            self._note(tag, _SAID[REMOVE])
            return
        rule = self._plan.rule(int(tag))
        if isinstance(element, RawDataElement):
            if self._is_done_raw(level, element, rule):
                return
            try:
                element = dataset[tag]
            except Exception:  # pydicom raises whatever the bytes lead it to
                del dataset[tag]
                self._note(tag, "malformed")
                return
        self._apply(level, element, rule)

    def _note(self, tag: int, action: str) -> None:
        self._notes.append((int(tag), action))

    def _is_done_raw(self, level: _Level, raw: RawDataElement, rule: Rule) -> bool:
        """Whether the bytes alone say what becomes of an element, and it has become that.

        Most of a header goes as a whole, or stays as it came: no value need be made for that.
        What :meth:`_apply` would do with the value is the same.
        """
        vr, tag, action = vr_of(raw), int(raw.tag), rule.action
        if action not in "=UKC":
            kind = self._types.find(tag, level.parent)
            if resolve(action, kind, is_sequence=vr == "SQ") != REMOVE:
                return False
            del level.dataset[tag]
            self._note(tag, _SAID[REMOVE])
            return True
        if action == "=" or vr in ("PN", "AS") or tag in _LOOKED_AT or not is_sound(raw, vr):
            return False
        expected = dictionary_vr(tag) or ""
        if vr != expected and (
            CLASSES.get(vr) != CLASSES.get(expected) or form_of(vr, expected) != vr
        ):
            return False
        if action == UID:
            return vr == "UI" and self._is_renamed(level, raw)
        if not raw.value:
            return True
        if vr in BINARY:
            if vr in INTEGERS or (vr in FLOATS and has_long_numbers(raw, vr)):
                return False
            return action == KEEP and len(raw.value) <= most_bytes(tag)
        if action == CLEAN and vr in ("DA", "DT"):
            return self._is_shifted(level, raw, vr)
        return self._is_text_to_stay(text_of(raw), tag, vr, rule)

    def _is_renamed(self, level: _Level, raw: RawDataElement) -> bool:
        text = text_of(raw).strip()
        if not text:
            return True
        uids = "\\".join(self._uid(one.strip()) for one in text.split("\\"))
        _put_raw(level.dataset, raw, uids + "\0" * (len(uids) % 2))
        self._note(raw.tag, "uid")
        return True

    def _is_shifted(self, level: _Level, raw: RawDataElement, vr: str) -> bool:
        keys = self._pseudonyms
        shift = keys.shift_date if vr == "DA" else keys.shift_datetime
        try:
            dates = "\\".join(shift(text, self._days) for text in text_of(raw).split("\\"))
        except DeidentificationError:
            return False
        _put_raw(level.dataset, raw, dates + " " * (len(dates) % 2))
        self._note(raw.tag, "date shifted")
        return True

    def _is_text_to_stay(self, text: str, tag: int, vr: str, rule: Rule) -> bool:
        values = [text] if vr in SINGLE else text.split("\\")
        if vr in TEXT:
            clean = self._cleaning(tag, vr, rule)
            return all(clean(value) == value for value in values) and not self._tell(values)
        return rule.action == KEEP and self._have_form(values, vr)

    def _cleaning(self, tag: int, vr: str, rule: Rule) -> Callable[[str], str]:
        """What is done to a text that stays: of what is no code, a person may have written it."""
        cleaner = self._cleaner
        if rule.action == CLEAN:
            return cleaner.prose if vr in PROSE and tag not in LABELS else cleaner.descriptor
        if rule.option in _NAMED_AFTER or tag in self._plan.overridden:
            return cleaner.known
        if "CS" not in (vr, dictionary_vr(tag)):
            return cleaner.technical
        return cleaner.descriptor if rule.option == "patient" else cleaner.code

    def _tell(self, values: list[str]) -> bool:
        """Whether something known is parted over several values."""
        joined = " ".join(values)
        return len(values) > 1 and self._cleaner.known(joined) != joined

    def _have_form(self, values: list[str], vr: str) -> bool:
        """Whether they are numbers, times and the like, and none is known of this study."""
        form = FORMS.get(vr)
        stripped = [one.strip() for one in values]
        if form is not None and not all(form.fullmatch(one) for one in stripped):
            return False
        if vr == "UI":
            return "uids" in self._plan.options or not any(map(self._is_telling, stripped))
        return vr not in NUMBERS or not any(map(self._is_known_number, stripped))

    def _is_telling(self, uid: str) -> bool:
        """Whether a class that no table lists has a number of this patient in its UID."""
        return uid not in UID_dictionary and any(
            len(part) > _SHORT and self._cleaner.known(part) != part for part in uid.split(".")
        )

    def _is_known_number(self, number: str) -> bool:
        """Whether it is a day of this study, or all of it an identifier of the patient."""
        day = LIKE_A_DAY.match(number)
        digits = digits_of(number) or (day[0] if day else "")
        told = {digits, digits.lstrip("0")}  # as some fill it up
        return any(self._cleaner.known(one) != one for one in told if len(one) >= LEAST_DIGITS)

    def _walk_items(self, element: DataElement, level: _Level) -> None:
        for item in element.value:
            key = level.patient_key
            if str(item.get("PatientID", "") or "").strip():
                key = self._pseudonyms.patient_key(*patient_identity(item, self._patients))
            told = what_is_told(item)
            self._walk_level(_Level(item, int(element.tag), key))
            self._notes += blur_age(item, told)

    def _apply(self, level: _Level, element: DataElement, rule: Rule) -> None:
        if rule.action == "=":
            element.value = rule.value
            self._note(element.tag, "replaced")
        elif rule.action == "U":
            self._new_uids(level, element, rule)
        elif rule.action not in "KC":
            self._take_out(level, element, rule.action)
        elif not self._is_well_formed(element):
            self._take_out(level, element, rule.basic, "malformed")
        elif element.VR == "SQ":
            self._walk_items(element, level)
        elif not element.is_empty:
            if rule.action == "K":
                self._keep(level, element, rule)
            else:
                self._clean(level, element, rule)

    # What is kept.

    def _keep(self, level: _Level, element: DataElement, rule: Rule) -> None:
        if element.tag == _CODE_MEANING:
            self._edit(level, element, lambda text: self._clean_meaning(level.dataset, text))
        elif element.tag == _ICC_PROFILE:
            self._clean_profile(level, element)
        elif element.tag == _CHARACTER_SET:
            if not all(map(is_character_set, strings(element))):
                self._take_out(level, element, REMOVE, "malformed")
        elif _is_age(element):
            self._edit(
                level, element, lambda age: _capped_age(self._cleaner.known(age)), "age capped"
            )
        elif element.VR in TEXT:
            self._edit(level, element, self._cleaning(int(element.tag), element.VR, rule))

    def _clean(self, level: _Level, element: DataElement, rule: Rule) -> None:
        if element.VR in ("DA", "DT"):
            self._shift(level, element, rule)
        elif element.VR in TEXT:
            self._edit(level, element, self._cleaning(int(element.tag), element.VR, rule))
        elif element.VR == "PN" or CLASSES[element.VR] == "binary":
            self._take_out(level, element, rule.basic)  # Nothing here could clean it.
        else:
            self._keep(level, element, rule)

    def _edit(
        self,
        level: _Level,
        element: DataElement,
        edit: Callable[[str], str],
        action: str = "cleaned",
    ) -> None:
        before = strings(element)
        after = [edit(text) for text in before]
        if self._tell(after):
            after = []
        if after == before:
            return
        if any(after):
            element.value = after if len(after) > 1 else after[0]
            self._note(element.tag, action)
        else:
            self._take_out(level, element, "Z")

    def _clean_meaning(self, item: Dataset, text: str) -> str:
        """Words of a standard stay with its code; what else stands there is a descriptor."""
        scheme = str(item.get("CodingSchemeDesignator", "")).strip()
        descriptor = self._cleaner.descriptor(text)
        meaning = self._cleaner.meaning(text) if scheme in SCHEMES else descriptor
        if meaning == descriptor:
            return descriptor
        code = str(item.get("CodeValue", "")).strip()
        return descriptor if is_another_meaning(scheme, code, text.strip()) else meaning

    def _clean_profile(self, level: _Level, element: DataElement) -> None:
        try:
            profile = clean_profile(element.value)
        except (TypeError, ValueError):
            self._take_out(level, element, "X", "malformed")
            return
        if profile != element.value:
            element.value = profile
            self._note(element.tag, "cleaned")

    def _shift(self, level: _Level, element: DataElement, rule: Rule) -> None:
        keys = self._pseudonyms
        shift = keys.shift_date if element.VR == "DA" else keys.shift_datetime
        try:
            dates = [shift(text, self._days) for text in strings(element)]
        except DeidentificationError:
            self._take_out(level, element, rule.basic, "date unreadable")
            return
        element.value = dates if len(dates) > 1 else dates[0]
        self._note(element.tag, "date shifted")

    def _is_well_formed(self, element: DataElement) -> bool:
        """Whether a value is of the kind that its attribute has: only that may be kept."""
        kind = CLASSES.get(element.VR)
        expected = dictionary_vr(int(element.tag))
        if kind is None or (expected is not None and kind != CLASSES.get(expected, kind)):
            return False
        if element.VR == "PN" and expected not in (None, "PN"):
            return False  # Nothing that is kept is searched as a name is.
        if kind == "text" and isinstance(element.value, bytes):
            return False  # what pydicom leaves of a value whose VR it had to guess
        if kind == "binary" and bytes_of(element) > most_bytes(int(element.tag)):
            return False  # Among more values than it has, anything might stand.
        form = form_of(element.VR, expected or "")
        has_form = form in FORMS or form in NUMBERS
        return not has_form or self._have_form(strings(element), form)

    # What goes.

    def _new_uids(self, level: _Level, element: DataElement, rule: Rule) -> None:
        if element.VR == "SQ":
            for item in element.value:
                for tag in set(item.keys()) - _REFERENCE:
                    del item[tag]
            self._walk_items(element, level)
        elif element.VR != "UI":
            self._take_out(level, element, "X/Z/D", "malformed")
        elif not element.is_empty:
            uids = [self._uid(text) for text in strings(element)]
            element.value = uids if len(uids) > 1 else uids[0]
            self._note(element.tag, "uid")

    def _uid(self, uid: str) -> str:
        """A new UID; those that the Standard itself lists (PS3.6 Annex A) name no patient."""
        if not uid or uid in UID_dictionary:  # Some make instances under the Standard's root.
            return uid
        if uid not in self._uids:  # Slices of a series share most of theirs.
            if len(self._uids) >= _REMEMBERED:
                self._uids.clear()
            self._uids[uid] = self._pseudonyms.uid(uid)
        return self._uids[uid]

    def _take_out(self, level: _Level, element: DataElement, codes: str, action: str = "") -> None:
        tag = int(element.tag)
        kind = self._types.find(tag, level.parent)
        code = resolve(codes, kind, is_sequence=element.VR == "SQ")
        if tag in (_PATIENT_NAME, _PATIENT_ID) and code != "X":
            level.dataset[tag] = DataElement(tag, vr_to_write(element), level.patient_key)
            code = "pseudonym"
        elif code == "X" or vr_to_write(element) == "UN":
            del level.dataset[tag]
        elif element.is_empty:
            return
        elif code == "Z":
            vr = vr_to_write(element)
            level.dataset[tag] = DataElement(tag, vr, dummies.EMPTY_VALUES.get(vr))
        else:
            self._put_dummy(level, element)
        self._note(tag, action or _SAID[code])

    def _put_dummy(self, level: _Level, element: DataElement) -> None:
        tag, vr = element.tag, vr_to_write(element)
        value: Any
        if element.VR == "SQ":
            value = self._dummy_items(level, element)
        elif vr == "UI":
            value = self._pseudonyms.uid(str(element.value))
        else:
            value = dummies.dummy_value(vr)
        level.dataset[tag] = DataElement(tag, vr, value)

    def _dummy_items(self, level: _Level, element: DataElement) -> Sequence:
        if element.tag == _CONTENT_SEQUENCE:
            return dummies.dummy_content()
        if element.tag == _GRAPHIC_ANNOTATIONS:
            return dummies.dummy_graphics()
        item = element.value[0]
        self._walk_level(_Level(item, int(element.tag), level.patient_key))
        self._hollow(item)
        return Sequence([item])

    def _hollow(self, item: Dataset) -> None:
        """Leaves the shape of an item, and no value but those that the Standard defines."""
        for element in list(item):
            if element.VR == "SQ":
                element.value = Sequence(list(element.value)[:1])
                for inner in element.value:
                    self._hollow(inner)
            elif element.VR != "UI" and not element.is_empty:
                element.value = dummies.dummy_value(element.VR)

    # Private elements (PS3.5 Section 7.8).

    def _meet_private(self, level: _Level, tag: BaseTag, creator: str) -> None:
        dataset, element, rule = level.dataset, None, self._plan.rule(int(tag))
        is_open = rule.action in "KC"
        safe = SafePrivate.find(int(tag), creator) if creator and is_open else None
        if safe is not None:
            with suppress(Exception):  # bytes that cannot be read
                element = dataset[tag]
        if (
            safe is None
            or element is None
            or safe.vr != element.VR
            or not self._is_well_formed(element)
        ):
            del dataset[tag]
            self._note(tag, "removed")
            return
        if element.VR == "SQ":
            self._walk_items(element, level)
        elif element.VR in TEXT - {"CS"}:  # what is known to be safe is the attribute
            self._edit(level, element, self._cleaner.descriptor)
        else:
            self._keep(level, element, rule)
        self._note(tag, "private kept")

    def _drop_creators(self, dataset: Dataset) -> None:
        """Reservations of private blocks of which no element stays go too."""
        private = [tag for tag in dataset.keys() if is_private(tag)]  # noqa: SIM118 (values parse)
        used = {block_of(tag) for tag in private if not is_creator(tag)}
        for tag in private:
            if is_creator(tag) and tag not in used:
                del dataset[tag]
                self._note(tag, "removed")


def _put_raw(dataset: Dataset, raw: RawDataElement, text: str) -> None:
    """Another value in place of that of a raw element: as bytes, as it was."""
    value = text.encode("ascii")
    dataset[raw.tag] = raw._replace(value=value, length=len(value))


def _is_age(element: DataElement) -> bool:
    return "AS" in (element.VR, dictionary_vr(int(element.tag)))


def _capped_age(text: str) -> str:
    """Ages over 89 years as 90 years, the one category that they form."""
    years = re.fullmatch(r"(\d{3})Y", text.strip())
    return "090Y" if years and int(years[1]) > _MAX_AGE else text
