"""loose: instances that no revision holds, and whose they are by their own headers.

What was pushed and is not admitted, what came of a study that is not whole, and the second content
of a UID: no row says whose these are, and a study of the catalog may be another patient's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select

from hounsfield.catalog.models import Study
from hounsfield.deid import own_identity, whole_identity
from hounsfield.dicom.reading import read_beginning
from hounsfield.errors import NotFound, TransientError
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.traces import landing_of
from hounsfield.store import Zone

__all__ = ["Loose", "loose_instances", "nobodys", "studies_that_wait"]

#: How the path of such an instance looks in its place; the group is the key of its study.
_PATHS: Final = {
    "landing": r"([^./]+)/[^/]+\.dcm|\.incoming/\.([^./]+)\.[^/]+\.whole",
    "staging": r"\.staging/([^./~]+)/instances/[^/]+\.dcm",
    "quarantine": r"([^./]+)/[^/]+\.dcm",
}
_LAST = "StudyInstanceUID"  # of the attributes that tell whose it is


@dataclass(frozen=True)
class Loose:
    """An instance that no revision holds.

    Attributes
    ----------
    place
        ``landing``, ``staging`` or ``quarantine``.
    patient_keys
        Its patient's pseudonyms under each version of the key; empty where the header tells
        nobody, or cannot be read.
    """

    study_key: str
    place: str
    zone: Zone
    relative: str
    bytes: int
    patient_keys: frozenset[str] = frozenset()

    @property
    def uri(self) -> str:
        return self.zone.uri(self.relative)

    def is_of(self, patient_keys: Collection[str]) -> bool:
        """Whether it is this patient's."""
        return not self.patient_keys.isdisjoint(patient_keys)

    def remove(self) -> None:
        """Deletes it, and nothing beside it."""
        self.zone.purge(self.relative)


def loose_instances(site: Site, *, purpose: str, run: RunContext) -> list[Loose]:
    """All of them, by their headers. PHI: that they are read is an event of the audit trail."""
    site.audit.append(action="headers.read", object="loose instances", purpose=purpose, run=run)
    found = [
        (one, patient)
        for one in _listed(site)
        if (patient := _patient(one.zone, one.relative)) is not None
    ]
    patients: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for one, patient in found:
        patients[one.study_key].add(patient)
    for study_key, named in patients.items():
        if any(number and not issuer for number, issuer in named) and site.vault.knows(study_key):
            known = site.vault.open(study_key, purpose=purpose, run=run)
            named.add((known.PatientID, known.IssuerOfPatientID))
    return [
        replace(one, patient_keys=_keys(site, patient, patients[one.study_key]))
        for one, patient in found
    ]


def studies_that_wait(
    site: Site, loose: Sequence[Loose], patient_keys: Collection[str]
) -> set[str]:
    """Studies that will be this patient's when they are admitted, and nobody else's."""
    waiting = [one for one in loose if one.place != "quarantine" and one.patient_keys]
    mine = {one.study_key for one in waiting if one.is_of(patient_keys)}
    others = {one.study_key for one in waiting if not one.is_of(patient_keys)}
    elsewhere = Study.study_key.in_(mine) & Study.patient_key.not_in(patient_keys)
    return mine - others - {*site.catalog.all(select(Study.study_key).where(elsewhere))}


def nobodys(site: Site, loose: Sequence[Loose]) -> list[str]:
    """Studies that wait, that the catalog does not know, and of which some headers tell nobody."""
    silent = {one.study_key for one in loose if not one.patient_keys}
    known = select(Study.study_key).where(Study.study_key.in_(silent))
    return sorted(silent - {*site.catalog.all(known)})


def _listed(site: Site) -> Iterator[Loose]:
    """Those that there are, and not yet whose."""
    for place, zone, below in (
        ("landing", Zone("landing", str(landing_of(site))), ""),
        *(("staging", zone, ".staging") for zone in site.everywhere("raw")),
        *(("quarantine", zone, "") for zone in site.everywhere("quarantine")),
    ):
        for relative, size in zone.files(below).items():
            if match := re.fullmatch(_PATHS[place], relative):
                yield Loose(next(filter(None, match.groups())), place, zone, relative, size)


def _patient(zone: Zone, relative: str) -> tuple[str, str] | None:
    """PatientID and its issuer, empty where it tells none.

    None where it is there no more: it became part of a revision.
    """
    folder, _, name = relative.rpartition("/")
    try:
        with zone.file(folder, name) as path:
            return own_identity(read_beginning(path, _LAST))
    except NotFound:
        return None
    except TransientError:
        raise
    except Exception:  # pydicom raises whatever the bytes lead it to
        return "", ""


def _keys(
    site: Site, patient: tuple[str, str], of_study: Collection[tuple[str, str]]
) -> frozenset[str]:
    if not patient[0]:  # Whose it is, a person may say: it may have nothing to do with the others.
        return frozenset()
    return frozenset(site.keys.patient_keys(*whole_identity(patient, of_study)))
