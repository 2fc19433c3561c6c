"""The modules that every made-up object shares: patient, study, series, equipment.

Identity is planted where real files have it: in its own attributes, in nested sequences, in
free text and in private blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite

from hounsfield.phantom.habits import Habit
from hounsfield.phantom.identity import Patient, derived_uid

__all__ = ["Visit", "encoded", "header", "text_name"]

#: Fixed, so that files do not change with the versions of the libraries (PS3.7 D.3.3.2).
_IMPLEMENTATION_UID = "2.25.302871455386203172216930561475906731"
_IMPLEMENTATION_NAME = "HOUNSFIELD_PH_1"


@dataclass(frozen=True)
class Visit:
    """One study of one patient on one machine.

    Attributes
    ----------
    root
        What all UIDs of the visit derive from.
    start
        When the study began.
    """

    root: str
    patient: Patient
    habit: Habit
    start: datetime
    number: int

    def uid(self, *parts: object) -> str:
        """A UID of this visit."""
        return derived_uid(self.root, *parts)

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID."""
        return self.uid("study")

    def series_instance_uid(self, number: int) -> str:
        """SeriesInstanceUID of the series with this SeriesNumber."""
        return self.uid("series", number)


def header(
    visit: Visit, sop_class: str, modality: str, *, series: int, description: str, mm: float = 0.0
) -> Dataset:
    """A data set with every module but the image's own.

    Parameters
    ----------
    series
        SeriesNumber; the series' UID derives from it.
    description
        SeriesDescription, a pattern over ``mm``.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = list(visit.habit.character_sets)
    dataset.SOPClassUID = sop_class
    dataset.Modality = modality
    _patient(dataset, visit)
    _study(dataset, visit)
    dataset.SeriesInstanceUID = visit.series_instance_uid(series)
    dataset.SeriesNumber = series
    dataset.SeriesDescription = description.format(mm=mm)
    dataset.ProtocolName = visit.habit.protocol
    dataset.OperatorsName = visit.patient.operator
    _requests(dataset, visit)
    _equipment(dataset, visit)
    _times(dataset, visit, series)
    return dataset


def encoded(dataset: Dataset, transfer_syntax: str) -> bytes:
    """`dataset` as a file (PS3.10), always the same bytes for the same content."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = _IMPLEMENTATION_UID
    meta.ImplementationVersionName = _IMPLEMENTATION_NAME
    buffer = DicomBytesIO()
    file = FileDataset(buffer, dataset, preamble=b"\0" * 128, file_meta=meta)
    dcmwrite(buffer, file, enforce_file_format=True)
    return bytes(buffer.getvalue())


def text_name(name: str) -> str:
    """A PN value as people write it: given name, then family name, in letters."""
    family, given = name.split("=")[0].split("^")
    return f"{given} {family}"


def _patient(dataset: Dataset, visit: Visit) -> None:
    patient = visit.patient
    dataset.PatientName = patient.name
    dataset.PatientID = patient.patient_id
    dataset.IssuerOfPatientID = patient.issuer
    dataset.PatientBirthDate = patient.birth_date
    dataset.PatientSex = patient.sex
    age = visit.start.year - int(patient.birth_date[:4])
    dataset.PatientAge = f"{age:03d}Y"
    dataset.PatientAddress = patient.address
    dataset.PatientTelephoneNumbers = patient.phone
    other = Dataset()
    other.PatientID = patient.other_id
    other.IssuerOfPatientID = patient.issuer
    other.TypeOfPatientID = "TEXT"
    dataset.OtherPatientIDsSequence = [other]
    dataset.PatientComments = (
        f"{text_name(patient.name)} wants a call after the study: {patient.phone}, "
        f"or ask {text_name(patient.contact)}."
    )


def _study(dataset: Dataset, visit: Visit) -> None:
    patient = visit.patient
    dataset.StudyInstanceUID = visit.study_instance_uid
    dataset.StudyID = str(1000 + visit.number)
    dataset.AccessionNumber = patient.accession_number
    dataset.StudyDescription = visit.habit.study_description.format(family=patient.family)
    dataset.ReferringPhysicianName = patient.referring
    person = _code("1", "99HFP", "Referring physician")
    identified = Dataset()
    identified.PersonIdentificationCodeSequence = [person]
    identified.PersonTelephoneNumbers = [patient.phone]
    identified.InstitutionName = patient.institution
    dataset.ReferringPhysicianIdentificationSequence = [identified]


def _requests(dataset: Dataset, visit: Visit) -> None:
    patient = visit.patient
    request = Dataset()
    request.RequestedProcedureID = f"RP{patient.accession_number[3:]}"
    request.AccessionNumber = patient.accession_number
    request.RequestedProcedureDescription = f"For {text_name(patient.requesting)}"
    request.ScheduledProcedureStepID = f"SP{visit.number:04d}"
    request.ScheduledProcedureStepDescription = f"Chest of {text_name(patient.name)}"[:64]
    dataset.RequestAttributesSequence = [request]
    dataset.RequestingPhysician = patient.requesting


def _equipment(dataset: Dataset, visit: Visit) -> None:
    habit, patient = visit.habit, visit.patient
    dataset.Manufacturer = habit.manufacturer
    dataset.ManufacturerModelName = habit.model
    dataset.SoftwareVersions = habit.software
    dataset.InstitutionName = patient.institution
    dataset.InstitutionAddress = patient.institution_address
    dataset.StationName = patient.station
    dataset.DeviceSerialNumber = patient.device_serial


def _times(dataset: Dataset, visit: Visit, series: int) -> None:
    moments = {"Study": 0, "Series": 120 + series, "Acquisition": 150, "Content": 180 + series}
    for name, seconds in moments.items():
        moment = visit.start + timedelta(seconds=seconds)
        setattr(dataset, f"{name}Date", f"{moment:%Y%m%d}")
        setattr(dataset, f"{name}Time", f"{moment:%H%M%S}")


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
