"""Made-up people and hospitals, and the list of everything planted: the canaries.

Every value is composed so that it cannot be an ordinary word, a real person or a real
number: a search for it finds a leak or nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar

import numpy as np

__all__ = ["Canary", "Patient", "derived_uid", "draw_patient"]

Choice = TypeVar("Choice")

_FAMILY = ("Vex", "Quan", "Jolb", "Zwin", "Krae", "Ombr", "Thulf", "Brix", "Glae", "Pfon")
_MIDDLE = ("dra", "zel", "hqui", "mbro", "ltzi", "sko", "rvu", "ngwe", "xla", "dho")
_ENDING = ("quist", "vander", "holtz", "zykski", "mbeux", "thwaer", "ponck", "lfjord")
_GIVEN = ("Ysolin", "Klimbo", "Tavriq", "Oduvex", "Mirzel", "Jaspqu", "Ehrwyn", "Lubomz")
_GIVEN_END = ("da", "bert", "ia", "ott", "ene", "ulf", "isse", "ander")
_STREET = ("Krummzwirn", "Oeldrubbel", "Quittenhag", "Wexlbarrow", "Snorreplads", "Zibelholm")
_TOWN = ("Obergrützel", "Nether Quombe", "Villexandre", "Zwoertinge", "Fjellbrottby")
_CLINIC = ("Sankt-Quirl-Spital", "Wexcombe Infirmary", "Hôpital Brizemont", "Zwoert Ziekenhuis")

#: Each in three scripts: alphabetic, ideographic, phonetic (PS3.5 6.2.1.1). dciodvfy counts
#: escape sequences too and takes bytes that look like a delimiter for one: so they are short,
#: and no character has =, ^ or \\ among its bytes in ISO 2022.
_JAPANESE_FAMILY = (
    ("Nuenoza", "鵺野", "ぬえのざ"),
    ("Usurahi", "薄氷", "うすらひ"),
    ("Sagigir", "鷺霧", "さぎぎり"),
    ("Kazugaw", "風川", "かざがわ"),
)
_JAPANESE_GIVEN = (
    ("Miokaz", "澪汐", "みおか"),
    ("Rainuq", "雷那", "らいぬ"),
    ("Minezo", "弥音", "みねぞ"),
    ("Rinzah", "凛亜", "りんざ"),
)
_POLISH = ("Żółcibrzęk", "Łękozgrzyt", "Świerzmłot")
_ACCENTED = ("Grünspåhn", "Måltzquöst", "Fröhñeißl")


@dataclass(frozen=True)
class Canary:
    """One planted value that must never leave the raw zone and the vault.

    Attributes
    ----------
    kind
        What it is: patient_name, patient_id, birth_date, address, phone, accession_number,
        other_id, physician, contact, operator, institution, station, device_serial, uid.
    value
        As a reader would see it: text, or YYYYMMDD for a date. A person's name is listed
        by its parts, or whole where they are so short that any bytes could hold them.
    """

    kind: str
    value: str


@dataclass(frozen=True)
class Patient:
    """A made-up patient with one visit.

    Attributes
    ----------
    name
        PN value with all its component groups.
    drawn_name
        As burned into pixels: capital letters of ASCII.
    """

    name: str
    drawn_name: str
    patient_id: str
    issuer: str
    other_id: str
    birth_date: str
    sex: str
    address: str
    phone: str
    contact: str
    accession_number: str
    referring: str
    requesting: str
    operator: str
    institution: str
    institution_address: str
    station: str
    device_serial: str

    @property
    def family(self) -> str:
        """The family name in letters."""
        return self.name.split("=")[0].split("^")[0]

    def canaries(self) -> tuple[Canary, ...]:
        """Everything planted in every object of this patient, each value once."""
        people = {
            "patient_name": self.name,
            "physician": f"{self.referring}={self.requesting}",
            "contact": self.contact,
            "operator": self.operator,
        }
        found = [
            Canary(kind, part)
            for kind, names in people.items()
            for group in names.split("=")
            for part in _searchable(group)
        ]
        for kind, attribute in _PLAIN_KINDS:
            found.append(Canary(kind, getattr(self, attribute)))
        return tuple(dict.fromkeys(found))

    def drawn_canaries(self) -> tuple[Canary, ...]:
        """What is planted besides where the name is drawn into pixels or into file names."""
        return tuple(Canary("patient_name", part) for part in self.drawn_name.split(", "))


_PLAIN_KINDS = (
    ("patient_id", "patient_id"),
    ("other_id", "other_id"),
    ("issuer", "issuer"),
    ("birth_date", "birth_date"),
    ("address", "address"),
    ("phone", "phone"),
    ("accession_number", "accession_number"),
    ("institution", "institution"),
    ("institution", "institution_address"),
    ("station", "station"),
    ("device_serial", "device_serial"),
)


def derived_uid(*parts: Any) -> str:
    """The UID of `parts`: ``2.25.`` and a UUID as an integer (PS3.5 Annex B.2)."""
    raw = bytearray(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80  # UUID version 8 (RFC 9562)
    raw[8] = (raw[8] & 0x3F) | 0x80
    return f"2.25.{int.from_bytes(raw, 'big')}"


def draw_patient(rng: np.random.Generator, *, script: str = "latin") -> Patient:
    """A patient by the numbers of `rng`.

    Parameters
    ----------
    script
        Of the name: ``latin`` (ASCII), ``accented`` (fits ISO_IR 100), ``polish`` (needs
        ISO_IR 192) or ``japanese`` (three component groups).
    """
    name, drawn = _name(rng, script)
    clinic = _pick(rng, _CLINIC)
    number = f"{rng.integers(10**6, 10**7)}"
    accent = script in ("accented", "polish")
    birth = date(1931, 1, 1) + timedelta(days=int(rng.integers(0, 365 * 60)))
    return Patient(
        name=name,
        drawn_name=drawn,
        patient_id=f"HFP{number}Q",
        issuer=f"ISS-{_ascii(clinic[:3]).upper()}X{rng.integers(100, 999)}",
        other_id=f"KV{_letters(rng, 2)}{rng.integers(10**8, 10**9)}",
        birth_date=f"{birth:%Y%m%d}",
        sex=_pick(rng, ("F", "M")),
        address=f"{_ascii(_pick(rng, _STREET))}weg {rng.integers(101, 999)}, "
        + (_pick(rng, _TOWN) if accent else _ascii(_pick(rng, _TOWN))),
        phone=f"+999-{rng.integers(10**3, 10**4)}-{rng.integers(10**5, 10**6)}",
        contact=_latin(rng),
        accession_number=f"AXN{rng.integers(10**8, 10**9)}",
        referring=_latin(rng),
        requesting=_latin(rng),
        operator=_latin(rng),
        institution=clinic if accent else _ascii(clinic),
        institution_address=f"{_pick(rng, _STREET)}allee {rng.integers(101, 999)}",
        station=f"CTQ{_letters(rng, 3)}{rng.integers(10, 99)}",
        device_serial=f"SNQ{rng.integers(10**6, 10**7)}{_letters(rng, 1)}",
    )


def _name(rng: np.random.Generator, script: str) -> tuple[str, str]:
    if script == "japanese":
        family, given = _pick(rng, _JAPANESE_FAMILY), _pick(rng, _JAPANESE_GIVEN)
        groups = zip(family, given, strict=True)
        return "=".join(map("^".join, groups)), f"{family[0]}, {given[0]}".upper()
    surname, forename = _latin(rng).split("^")
    drawn = f"{surname}, {forename}".upper()
    if script in ("accented", "polish"):
        first = _pick(rng, _ACCENTED if script == "accented" else _POLISH)
        surname = f"{first}-{surname}"
    return f"{surname}^{forename}", drawn


def _latin(rng: np.random.Generator) -> str:
    family = _pick(rng, _FAMILY) + _pick(rng, _MIDDLE) + _pick(rng, _ENDING)
    return f"{family}^{_pick(rng, _GIVEN)}{_pick(rng, _GIVEN_END)}"


def _pick(rng: np.random.Generator, choices: tuple[Choice, ...]) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _searchable(group: str) -> list[str]:
    """The parts of a component group that are long enough not to occur by chance."""
    parts = group.split("^")
    return parts if min(map(len, parts)) > 2 else [group]


def _letters(rng: np.random.Generator, count: int) -> str:
    return "".join(_pick(rng, tuple("BCDFGHJKLMNPQRSTVWXZ")) for _ in range(count))


def _ascii(text: str) -> str:
    return text.translate(str.maketrans("ôüé", "oue"))
