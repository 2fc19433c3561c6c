"""Codes that a standard gives their meaning to (PS3.16 Table 8-1, Annex D)."""

from __future__ import annotations

from functools import cache
from typing import Final

__all__ = ["SCHEMES", "is_another_meaning"]

#: Coding schemes of standards; others a site writes itself.
SCHEMES: Final = frozenset(
    "DCM SCT SRT SNM3 99SDM LN UCUM RADLEX FMA NCIt UMLS MDC IBSI I9C I10 I10P ICDO3 CPT4 ATC".split()  # noqa: SIM905, E501
)
#: The same codes by their former names (PS3.16 Section 8.1.1).
_SNOMED_RT: Final = frozenset({"SRT", "SNM3", "99SDM"})


def is_another_meaning(scheme: str, code: str, meaning: str) -> bool:
    """Whether the standard has words of its own for a code, and these are not they.

    Of codes that PS3.16 does not use nothing is known here; and units and leads of an ECG go by
    several names.
    """
    known = _meanings().get((scheme, code))
    return known is not None and meaning.casefold() not in known


@cache
def _meanings() -> dict[tuple[str, str], set[str]]:
    """(Scheme, code) → meanings; few studies have a code that is looked up at all."""
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    found: dict[tuple[str, str], set[str]] = {}
    for scheme in ("DCM", "SCT"):
        for codes in concepts[scheme].values():
            for code, (meaning, _) in codes.items():
                found.setdefault((scheme, code), set()).add(meaning.casefold())
    for former in _SNOMED_RT:
        for code, now in mapping["SRT"].items():
            if ("SCT", now) in found:
                found[former, code] = found["SCT", now]
    return found
