"""Whose result it is: the patient and the study, as the source's header has them.

The attributes are taken as decoded text together with the character set that they were
written in, so that a name in Japanese or Greek reaches the PACS as the PACS knows it. The
texts of Hounsfield itself are ASCII (:func:`plain`), which every character set contains.

What the PACS files an object by is kept word for word. Of the rest, a value that its value
representation or its enumeration does not allow is left out: it would make the result an
invalid object, and it stays where it was, in the source.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from copy import deepcopy
from datetime import datetime, timedelta, timezone

from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset as _encode
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

__all__ = ["REQUIRED", "identity_of", "local_time", "plain", "seal", "short_digest"]

# Patient, Clinical Trial Subject, General Study, Patient Study, Clinical Trial Study: PS3.3
# C.7.1.1, C.7.1.3, C.7.2.1, C.7.2.2, C.7.2.3. Each keyword at the root of the source is copied.
_PATIENT_AND_STUDY = """
    PatientName PatientID IssuerOfPatientID TypeOfPatientID IssuerOfPatientIDQualifiersSequence
    PatientBirthDate PatientBirthTime PatientSex OtherPatientIDsSequence
    OtherPatientNames EthnicGroup PatientComments PatientSpeciesDescription
    PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence
    BreedRegistrationSequence ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
    ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName
    ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSubjectID
    ClinicalTrialSubjectReadingID ClinicalTrialTimePointID ClinicalTrialTimePointDescription
    StudyInstanceUID StudyDate StudyTime StudyID StudyDescription AccessionNumber
    IssuerOfAccessionNumberSequence ReferringPhysicianName ProcedureCodeSequence
    AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize
    PatientWeight PatientSexNeutered AdmissionID IssuerOfAdmissionIDSequence
""".split()  # noqa: SIM905
_ENCODING = ("SpecificCharacterSet", "TimezoneOffsetFromUTC")

# What the PACS files an object by: kept whatever it is.
_KEYS = frozenset(
    {"PatientName", "PatientID", "IssuerOfPatientID", "StudyInstanceUID", "AccessionNumber"}
)
_ENUMERATED = {"PatientSex": {"M", "F", "O"}, "PatientSexNeutered": {"ALTERED", "UNALTERED"}}

# Type 2: present, and empty where the source does not have them.
REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)

_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")
_ASCII = str.maketrans({"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"'} | {
    "×": "x", "≥": ">=", "≤": "<=", "µ": "u", "μ": "u", "\\": "/",
})  # fmt: skip


def identity_of(header: Dataset) -> Dataset:
    """The attributes of patient and study of a source image, nothing else."""
    identity = Dataset()
    for keyword in (*_ENCODING, *_PATIENT_AND_STUDY):
        if keyword not in header:
            continue
        element = deepcopy(header[keyword])
        if keyword in _KEYS or _is_valid(element):
            identity.add(element)
    for keyword in REQUIRED:
        if keyword not in identity:
            setattr(identity, keyword, None)
    return identity


def _is_valid(element: DataElement) -> bool:
    """Whether the element may stand in a valid object; cleans what padding has spoiled."""
    if element.VR == "SQ":
        return all(_is_valid(inner) for item in element.value for inner in item)
    if isinstance(element.value, str):
        element.value = element.value.strip(" \0")
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    allowed = _ENUMERATED.get(element.keyword)
    if allowed and not all(value in allowed for value in values if value):
        return False
    try:
        for value in values:
            validate_value(element.VR, value, RAISE)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def seal(dataset: Dataset, identity: Dataset, when: datetime) -> None:
    """Puts the patient into a built object and takes every clock out of it.

    After this the object's bytes depend on the prediction and the source alone, so that a
    second run gives the PACS the same object and not another one with the same UID.
    """
    dataset.update(identity)
    date, time = local_time(when, identity)
    stamps = {"InstanceCreationDate": date, "InstanceCreationTime": time}
    stamps |= {"ContentDate": date, "ContentTime": time, "SeriesDate": date, "SeriesTime": time}
    for keyword, value in stamps.items():
        setattr(dataset, keyword, value)
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = date + time


def local_time(when: datetime, identity: Dataset) -> tuple[str, str]:
    """DA and TM of `when`: in the zone that the source states, else as it stands."""
    match = _OFFSET.fullmatch(str(identity.get("TimezoneOffsetFromUTC", "")).strip())
    if match and when.tzinfo is not None:
        sign = -1 if match[1] == "-" else 1
        when = when.astimezone(
            timezone(sign * timedelta(hours=int(match[2]), minutes=int(match[3])))
        )
    return when.strftime("%Y%m%d"), when.strftime("%H%M%S")


def short_digest(identity: Dataset) -> str:
    """16 hexadecimal digits that change when the patient's or study's header does."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    _encode(buffer, identity)
    return hashlib.sha256(buffer.getvalue()).hexdigest()[:16]


def plain(text: str, limit: int = 64) -> str:
    """ASCII without control characters and backslashes, at most `limit` characters."""
    ascii_text = unicodedata.normalize("NFKD", text.translate(_ASCII)).encode("ascii", "ignore")
    return re.sub(r"\s+", " ", re.sub(r"[^ -~]", " ", ascii_text.decode())).strip()[:limit].strip()
