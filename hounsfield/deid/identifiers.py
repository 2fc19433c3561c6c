"""What is known of this very patient and study, gathered before anything is cleaned.

The header tells whom to look for: names, identifiers, dates, institutions. They are searched
in every text that is kept, in whatever attribute it stands.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self, TypeAlias

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from hounsfield.deid.plan import dictionary_vr
from hounsfield.deid.values import strings
from hounsfield.dicom.raw import vr_of

__all__ = [
    "PUBLIC_KEYWORDS",
    "KnownIdentifiers",
    "Patient",
    "own_identity",
    "patient_identity",
    "whole_identity",
]

#: PatientID and IssuerOfPatientID.
Patient: TypeAlias = tuple[str, str]

# Attributes whose whole value identifies a person, a visit, an order or a device.
_IDENTIFIER_KEYWORDS: Final = frozenset(
    """
    PatientID OtherPatientIDs AccessionNumber StudyID AdmissionID ServiceEpisodeID
    IssuerOfPatientID PlacerOrderNumberImagingServiceRequest
    FillerOrderNumberImagingServiceRequest RequestedProcedureID ScheduledProcedureStepID
    PlacerOrderNumberImagingServiceRequestRetired FillerOrderNumberImagingServiceRequestRetired
    PlacerOrderNumberProcedure FillerOrderNumberProcedure ResultsID InterpretationID
    PerformedProcedureStepID PatientTelephoneNumbers PatientInsurancePlanCodeSequence
    MedicalRecordLocator MilitaryRank PatientMotherBirthName ReferringPhysicianTelephoneNumbers
    PersonTelephoneNumbers OrderCallbackPhoneNumber PatientTelecomInformation
    PersonTelecomInformation OrderCallbackTelecomInformation InsurancePlanIdentification
    PatientBirthDateInAlternativeCalendar ClinicalTrialSubjectID
    ClinicalTrialSubjectReadingID SpecimenIdentifier ContainerIdentifier
    """.split()  # noqa: SIM905
)
_DEVICE_KEYWORDS: Final = frozenset(
    """
    DeviceSerialNumber GantryID DetectorID PlateID StationName StationAETitle
    PerformedStationName PerformedStationAETitle ScheduledStationName ScheduledStationAETitle
    """.split()  # noqa: SIM905
)
_PLACE_KEYWORDS: Final = frozenset(
    """
    InstitutionName InstitutionAddress PatientAddress PersonAddress ReferringPhysicianAddress
    CountryOfResidence RegionOfResidence PatientInstitutionResidence CurrentPatientLocation
    ClinicalTrialSiteName ClinicalTrialCoordinatingCenterName ClinicalTrialSponsorName
    """.split()  # noqa: SIM905
)
#: A station named as its model, or a phantom as its maker, must not take those away.
PUBLIC_KEYWORDS: Final = ("Manufacturer", "ManufacturerModelName", "Modality", "BodyPartExamined")
# VRs of text, and UN, under which a name or a date may have been written.
_MISTAKEN: Final = frozenset("AE CS LO LT SH ST UC UN UT".split())  # noqa: SIM905
_PERSON_CODES: Final = 0x00401101  # Person Identification Code Sequence: who it is, in words
_PADDING: Final = " \t\n\v\f\r\0"  # where some write NUL for a space
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")


@dataclass(frozen=True, slots=True)
class KnownIdentifiers:
    """Who and what to look for. Holds PHI: never logged, never written.

    Attributes
    ----------
    names
        Person names as they came, components apart by ``^`` (PS3.5 Section 6.2.1).
    identifiers
        Numbers and codes of the patient, visit, order.
    devices, places
        Device identities; institutions and addresses.
    dates
        Days as ``YYYYMMDD``.
    patients
        Each PatientID with its issuer, as objects of the study bear them.
    """

    names: frozenset[str] = frozenset()
    identifiers: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    patients: frozenset[Patient] = frozenset()

    @classmethod
    def gather(cls, datasets: Iterable[Dataset]) -> Self:
        """From every element of every dataset, at any depth."""
        found: dict[str, set[str]] = defaultdict(set)
        public: set[str] = set()
        patients: set[Patient] = set()
        for dataset in datasets:
            patients.add(own_identity(dataset))
            public.update(_folded(dataset.get(keyword)) for keyword in PUBLIC_KEYWORDS)
            for element, kind in _telling(dataset):
                found[kind].update(_texts(element, kind))
        for kind in ("devices", "places"):
            found[kind] = {text for text in found[kind] if _folded(text) not in public}
        named = frozenset(patient for patient in patients if patient[0])
        return cls(patients=named, **{kind: frozenset(values) for kind, values in found.items()})

    def __or__(self, other: KnownIdentifiers) -> KnownIdentifiers:
        return KnownIdentifiers(
            self.names | other.names,
            self.identifiers | other.identifiers,
            self.devices | other.devices,
            self.places | other.places,
            self.dates | other.dates,
            self.patients | other.patients,
        )


def patient_identity(dataset: Dataset, patients: Collection[Patient] = ()) -> Patient:
    """(PatientID, IssuerOfPatientID), which a patient's pseudonym and date offset come from.

    Without a PatientID the study stands for the patient: a pseudonym of nothing would make
    all nameless patients one.

    Parameters
    ----------
    patients
        Of the study's objects: where some say less than the others, all of them are of the one
        patient that these agree on.
    """
    patient_id, issuer = whole_identity(own_identity(dataset), patients)
    return patient_id or f"study {dataset.get('StudyInstanceUID', '')}", issuer


def own_identity(dataset: Dataset) -> Patient:
    """(PatientID, IssuerOfPatientID) as an object bears them; empty where it does not."""
    patient_id = str(dataset.get("PatientID", "") or "").strip()
    return patient_id, str(dataset.get("IssuerOfPatientID", "") or "").strip()


def whole_identity(own: Patient, patients: Collection[Patient]) -> Patient:
    """The one of `patients` of whom `own` says less; `own` where that is none, or one of many."""
    patient_id, issuer = own
    alike = {one for one in patients if patient_id in ("", one[0]) and issuer in ("", one[1])}
    most = {one for one in alike if one[1]} or alike
    if len(most) == 1 == len({number for number, _ in alike}):
        return most.pop()
    return own


def _telling(dataset: Dataset) -> Iterator[tuple[DataElement, str]]:
    """Elements that identify, at any depth, and what each tells; no other is parsed."""
    for element in list(dataset.values()):
        if isinstance(element, RawDataElement):
            vr = vr_of(element)
            if vr and vr not in ("SQ", "UN") and not _kind_of(int(element.tag), vr):
                continue
            element = dataset[element.tag]
        if element.VR == "SQ":
            for item in element.value:
                yield from _telling(item)
                if element.tag == _PERSON_CODES and "CodeMeaning" in item:
                    yield item["CodeMeaning"], "names"
        if kind := _kind_of(int(element.tag), element.VR):
            yield element, kind


@lru_cache(maxsize=8192)
def _kind_of(tag: int, vr: str) -> str:
    means = dictionary_vr(tag) if vr in _MISTAKEN else vr
    if "PN" in (vr, means):
        return "names"
    if vr in ("DA", "DT") or means in ("DA", "DT"):
        return "dates"
    keyword = keyword_for_tag(tag)
    if keyword in _IDENTIFIER_KEYWORDS and vr != "SQ":
        return "identifiers"
    if keyword in _DEVICE_KEYWORDS:
        return "devices"
    return "places" if keyword in _PLACE_KEYWORDS else ""


def _folded(value: object) -> str:
    return str(value or "").strip(_PADDING).casefold()


def _texts(element: DataElement, kind: str) -> Iterable[str]:
    texts = [text.strip(_PADDING) for text in strings(element)]
    if kind == "dates":
        return ["".join(match.groups()) for text in texts if (match := _DATE.match(text))]
    return [text for text in texts if text]
