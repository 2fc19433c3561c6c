"""loose: instances that no revision holds, and whose they are by their own headers.

What was pushed and is not admitted, what came of a study that is not whole, and the second content
of a UID: no row says whose these are, and a study of the catalog may be another patient's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from hounsfield.catalog.models import Study
from hounsfield.deid import patient_identity
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
    patient_keys: frozenset[str]

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
    return [
        Loose(study_key, place, zone, relative, size, keys)
        for study_key, place, zone, relative, size in _listed(site)
        if (keys := _patient_keys(site, zone, relative)) is not None
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


def _listed(site: Site) -> Iterator[tuple[str, str, Zone, str, int]]:
    """Study, place, zone, path there, and bytes."""
    for place, zone, below in (
        ("landing", Zone("landing", str(landing_of(site))), ""),
        *(("staging", zone, ".staging") for zone in site.everywhere("raw")),
        *(("quarantine", zone, "") for zone in site.everywhere("quarantine")),
    ):
        for relative, size in zone.files(below).items():
            if match := re.fullmatch(_PATHS[place], relative):
                yield next(filter(None, match.groups())), place, zone, relative, size


def _patient_keys(site: Site, zone: Zone, relative: str) -> frozenset[str] | None:
    """As in `Loose`; None where it is there no more: it became part of a revision."""
    folder, _, name = relative.rpartition("/")
    try:
        with zone.file(folder, name) as path:
            header = read_beginning(path, _LAST)
        is_named = bool(str(header.get("PatientID", "") or "").strip())
        return frozenset(site.keys.patient_keys(*patient_identity(header)) if is_named else ())
    except NotFound:
        return None
    except TransientError:
        raise
    except Exception:  # pydicom raises whatever the bytes lead it to
        return frozenset()
