"""Codes of result objects, and their passage into highdicom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hounsfield.errors import ModelError
from hounsfield.records import Code, Prediction
from hounsfield.results.identity import plain

if TYPE_CHECKING:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

__all__ = [
    "ABSENT",
    "CERTAINTY",
    "COMMENT",
    "PERCENT",
    "PRESENCE",
    "QUALITATIVE_EVALUATIONS",
    "algorithm_family",
    "concept",
    "own_coding_schemes",
    "procedure_of",
]

#: PS3.16 Annex D: how sure a device is of a finding, in percent (CID 6048).
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
PERCENT = Code("%", "UCUM", "Percent")
COMMENT = Code("121106", "DCM", "Comment")
#: TID 1500, row 12: the container of what is said about the images in words.
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
PRESENCE = Code("121052", "DCM", "Presence of property")
ABSENT = Code("272519000", "SCT", "Absent")  # CID 240

# CID 7162 "Surface Processing Algorithm Families"; a prediction chooses with
# extra["algorithm_family"], by CodeValue.
_FAMILIES = {
    "123101": "Neighborhood Analysis",
    "123102": "Adaptive Filtering",
    "123103": "Edge Detection",
    "123104": "Morphological Operations",
    "123105": "Histogram Analysis",
    "123106": "Multi-Scale/Resolution Filtering",
    "123107": "Cluster Analysis",
    "123108": "Multispectral Processing",
    "123109": "Manual Processing",
    "123110": "Artificial Intelligence",
    "123111": "Deformable Models",
}
_DEFAULT_FAMILY = "123110"

# CID 100 "Quantitative Diagnostic Imaging Procedures", where the source names no procedure.
_PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
}
_ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


def concept(code: Code) -> CodedConcept:
    """A coded concept for highdicom.

    Raises
    ------
    ModelError
        If one of its parts is empty (PS3.3 Table 8.8-1 wants all three).
    """
    from highdicom.sr import CodedConcept

    if not (code.value and code.scheme and code.meaning):
        raise ModelError("the prediction holds a code without value, scheme or meaning")
    return CodedConcept(code.value, plain(code.scheme, 16), plain(code.meaning))


def own_coding_schemes() -> list[CodingSchemeIdentificationItem]:
    """Says what the private designator 99HOUNSFIELD stands for (PS3.3 C.12.1.1.2)."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return [
        CodingSchemeIdentificationItem(
            "99HOUNSFIELD",
            name="Measurements that DICOM has no code for",
            responsible_organization="Hounsfield",
        )
    ]


def algorithm_family(prediction: Prediction) -> CodedConcept:
    """The family of the algorithm (CID 7162): artificial intelligence unless it says otherwise."""
    value = str(prediction.extra.get("algorithm_family", _DEFAULT_FAMILY))
    if value not in _FAMILIES:
        raise ModelError(
            "the prediction's algorithm_family is not a code of CID 7162",
            remedy="use one of " + ", ".join(_FAMILIES),
        )
    return concept(Code(value, "DCM", _FAMILIES[value]))


def procedure_of(header: Dataset) -> CodedConcept:
    """The procedure that the source says was performed, else one by its modality."""
    for item in header.get("ProcedureCodeSequence") or ():
        parts = [_text(item, k) for k in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
        if all(parts):
            return concept(Code(*parts))
    return concept(_PROCEDURES.get(_text(header, "Modality"), _ANY_PROCEDURE))


def _text(item: Any, keyword: str) -> str:
    return plain(str(item.get(keyword) or ""))
