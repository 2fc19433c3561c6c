"""Who and what must not be found: gathered from the raw files by the second reader.

A sentinel is a value that stands in this very study and tells whose it is. Which kinds are
looked for, the profile says: what it retains is no secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydicom.datadict import dictionary_VR
from pydicom.uid import UID_dictionary

from hounsfield.deid.profile import Profile
from hounsfield.deid.vocabulary import NO_NAMES, VOCABULARY
from hounsfield.errors import UnreadableFile
from hounsfield.gate.charsets import decoded
from hounsfield.gate.elements import Element, read_elements

__all__ = ["CLASSES", "Sentinels", "gather"]

# Attributes whose whole value tells a person, a visit or an order, by kind (PS3.3 C.7.1, C.7.2,
# C.4.10 to C.4.13).
_BY_TAG: Final[dict[int, str]] = {
    **dict.fromkeys((0x00100020, 0x00101000, 0x00101001, 0x00120040, 0x00120042), "patient ID"),
    **dict.fromkeys((0x00080050, 0x00400009, 0x00400253, 0x00401001), "order"),
    **dict.fromkeys((0x00402016, 0x00402017, 0x00402006, 0x00402007), "order"),
    **dict.fromkeys((0x00401006, 0x00401007, 0x40080040, 0x40080200), "order"),
    **dict.fromkeys((0x00200010, 0x00380010, 0x00380060, 0x00101090, 0x00400551), "visit"),
    **dict.fromkeys((0x00102154, 0x00080094, 0x00401103, 0x00402010), "telephone"),
    **dict.fromkeys((0x00102155, 0x00401104, 0x00402011), "telephone"),
    **dict.fromkeys((0x00101040, 0x00080092, 0x00401102, 0x00380400, 0x00102152), "address"),
    **dict.fromkeys((0x00080080, 0x00080081, 0x00120031, 0x00120060, 0x00380300), "institution"),
    **dict.fromkeys((0x00181000, 0x00081010, 0x00181008, 0x0018700A, 0x00181004), "device"),
    **dict.fromkeys((0x00400241, 0x00400242, 0x00400001, 0x00400010, 0x00020016), "device"),
}
# Who somebody is, in the meaning of a code: Person Identification Code Sequence, Code Meaning.
_PERSON: Final = (0x00401101, 0x00080104)
# The value of one of these is no secret, though a station may bear it as its name.
_PUBLIC: Final = frozenset({0x00080070, 0x00081090, 0x00080060, 0x00180015})
#: UIDs that name a class, a syntax or a vocabulary: the same in every hospital.
CLASSES: Final = frozenset(
    {
        *(0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x0008010D, 0x00080117),
        *(0x00080118, 0x00081150, 0x0008115A, 0x00083002, 0x04000010, 0x30100052, 0x30100053),
    }
)
# Kind → the switch of the profile that retains it.
_RETAINED: Final = {
    "date": "retain_full_dates",
    "device": "retain_device_identity",
    "institution": "retain_institution_identity",
    "UID": "retain_uids",
}
_DAY = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
#: What is remembered of the files before: so many elements of so many bytes.
_REMEMBERED, _SMALL = 1 << 15, 1 << 10
#: Shorter ones are numbers of the examination as often as not; the identifiers of these kinds
#: that have a digit may have a letter fewer.
_SHORTEST = 4
_IDENTIFIERS: Final = frozenset({"patient ID", "order", "visit"})


@dataclass(slots=True)
class Sentinels:
    """What to look for in one study. Holds PHI: never logged, never written.

    Attributes
    ----------
    texts
        Kind → values as a person reads them: names with ``^`` between their parts.
    free
        Kind → identifiers so short, or in groups so short, that numbers have them by chance:
        looked for in free text alone.
    raw
        Kind → the same values as the bytes that stood in the file, where those are not ASCII.
    uids
        Of the study and its objects.
    days
        ``YYYYMMDD`` → tags that it stood in.
    values
        Tag → each value it had, to see what was left as it was.
    """

    texts: dict[str, set[str]] = field(default_factory=dict)
    free: dict[str, set[str]] = field(default_factory=dict)
    raw: dict[str, set[bytes]] = field(default_factory=dict)
    uids: set[str] = field(default_factory=set)
    days: dict[str, set[int]] = field(default_factory=dict)
    values: dict[int, set[bytes]] = field(default_factory=dict)

    def note(self, element: Element) -> None:
        """Takes in what one element of a raw file tells."""
        if not element.path[1:]:
            self.values.setdefault(element.tag, set()).add(element.value)
        vr = _meant(element)
        if vr == "UI":
            self._note_uids(element)
        elif vr in ("DA", "DT"):
            for day in _days(element.text):
                self.days.setdefault(day, set()).add(element.tag)
        else:
            is_person = vr == "PN" or element.path[-2:] == _PERSON
            kind = "person" if is_person else _BY_TAG.get(element.tag, "")
            for value in filter(None, element.value.split(b"\\")) if kind else ():
                self._note_text(kind, value.strip(b" \0"), element.charset)

    def all_texts(self) -> dict[str, set[str]]:
        """Kind → values that are looked for, wherever that is."""
        kinds = self.texts.keys() | self.free.keys()
        return {kind: self.texts.get(kind, set()) | self.free.get(kind, set()) for kind in kinds}

    def _note_uids(self, element: Element) -> None:
        if element.tag in CLASSES or element.tag >> 16 == 2:
            return
        for uid in element.text.split("\\"):
            if uid.count(".") >= 2 and uid.strip(" \0") not in UID_dictionary:
                self.uids.add(uid.strip(" \0"))

    def _note_text(self, kind: str, value: bytes, charset: bytes) -> None:
        for text in decoded(value, charset):
            if kind == "person" or _is_telling(text):
                self.texts.setdefault(kind, set()).add(text)
            if kind in _IDENTIFIERS and _is_free(text):
                self.free.setdefault(kind, set()).add(text)
        if not value.isascii():
            parts = re.split(rb"[\^=]", value) if kind == "person" else [value]
            self.raw.setdefault(kind, set()).update(part for part in parts if len(part) >= 4)

    def without(self, profile: Profile) -> Sentinels:
        """Those that the profile does not retain, nor names that everybody may know."""
        kept = {kind for kind, switch in _RETAINED.items() if getattr(profile, switch)}
        public = {
            text.strip(" \0").casefold()
            for tag in _PUBLIC
            for value in self.values.get(tag, ())
            for text in decoded(value)
        }
        return Sentinels(
            texts={
                kind: {text for text in texts if text.casefold() not in public}
                for kind, texts in self.texts.items()
                if kind not in kept
            },
            free=self.free,
            raw={kind: values for kind, values in self.raw.items() if kind not in kept},
            uids=set() if "UID" in kept else self.uids,
            days={} if "date" in kept else self.days,
            values=self.values,
        )


def gather(
    paths: Iterable[Path],
    profile: Profile,
    note: Callable[[Path, Sequence[Element]], None] = lambda path, elements: None,
) -> Sentinels:
    """From every element of every raw file of a study.

    Parameters
    ----------
    note
        Called with each file and its elements, so that nobody need read it again.

    Raises
    ------
    UnreadableFile
        No reader here reads one of them: what it holds cannot be looked for.
    """
    found, known = Sentinels(), set[Element]()
    for path in paths:
        elements = _elements(path)
        if elements is None:
            elements = list(_leniently(path))
        else:
            note(path, elements)
        for element in elements:
            is_small = len(element.value) <= _SMALL
            if is_small and element in known:
                continue  # as in the slice before
            found.note(element)
            if is_small and len(known) < _REMEMBERED:
                known.add(element)
    return found.without(profile)


def _elements(path: Path) -> list[Element] | None:
    """What the second reader reads; nothing of a file that breaks the rules."""
    try:
        return list(read_elements(path))
    except UnreadableFile:
        return None


def _leniently(path: Path) -> Iterator[Element]:
    """What pydicom makes of a file."""
    from hounsfield.dicom.reading import read_header

    for element in read_header(path).iterall():
        text = "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value)
        if element.VR != "SQ":
            yield Element((int(element.tag),), element.VR, text.encode(), b"ISO_IR 192")


def _meant(element: Element) -> str:
    """Its VR; that of the dictionary where a name, a date or a UID was written as another."""
    if element.vr in ("PN", "DA", "DT", "UI"):
        return element.vr
    expected = _dictionary_vr(element.tag)
    return expected if expected in ("PN", "DA", "DT", "UI") else element.vr


@lru_cache(maxsize=8192)
def _dictionary_vr(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""


def _days(text: str) -> Iterator[str]:
    for value in text.split("\\"):
        if match := _DAY.match(value.strip()):
            yield "".join(match.groups())


def _is_telling(text: str) -> bool:
    words = re.findall(r"\w+", text.casefold())
    return len("".join(words)) >= _SHORTEST and not all(
        word in VOCABULARY or word in NO_NAMES for word in words
    )


def _is_free(text: str) -> bool:
    """Whether an identifier has forms of its own in free text: as it is, or in groups."""
    letters = re.sub(r"[\W_]", "", text)
    is_short = len(letters) == _SHORTEST - 1 and any(letter.isdigit() for letter in letters)
    return is_short or len(letters) >= 6
