"""Small CT studies for tests: made up, and as strict as a modality's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom.dsutils import split_dataset

CANARY = "CANARY^PATIENT"


def ct_instance(
    study: str,
    series: str,
    number: int,
    date: str = "20240301",
    time: str = "101500",
    description: str = "",
    patient: str = "CANARY-7731",
) -> Dataset:
    """One slice of 64×64."""
    pixels = np.random.default_rng(number).integers(0, 2000, (64, 64), dtype=np.uint16)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyDate = dataset.SeriesDate = date
    dataset.StudyTime = dataset.SeriesTime = time
    dataset.AccessionNumber = "A1"
    dataset.Modality = "CT"
    if description:
        dataset.StudyDescription = description
    dataset.Manufacturer = "Hounsfield Test"
    dataset.ReferringPhysicianName = ""
    dataset.PatientName = CANARY
    dataset.PatientID = patient
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [0, 0, float(number)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = 64
    dataset.PixelSpacing = [1, 1]
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = -1024
    dataset.RescaleSlope = 1
    dataset.PixelData = pixels.tobytes()
    private = dataset.private_block(0x0011, "HOUNSFIELD TEST", create=True)
    private.add_new(0x01, "LO", "a private value")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


#: Bytes a second, at which what is `large` takes five.
PACE = 3_000_000


def large(dataset: Dataset) -> Dataset:
    """Makes it so many frames that it is of 15 MB."""
    dataset.NumberOfFrames = 15_000_000 // len(dataset.PixelData)
    dataset.PixelData *= dataset.NumberOfFrames
    return dataset


def write_study(
    folder: Path,
    slices: int = 3,
    series: int = 1,
    date: str = "20240301",
    time: str = "101500",
    description: str = "",
    patient: str = "CANARY-7731",
) -> tuple[str, list[Path]]:
    """The StudyInstanceUID, and the files."""
    study = generate_uid()
    paths = []
    for index in range(series):
        uid = generate_uid()
        for number in range(slices):
            dataset = ct_instance(
                study, uid, index * slices + number, date, time, description, patient
            )
            path = folder / f"{study[-12:]}-{index}-{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    return str(study), paths


def write_many(folder: Path, count: int) -> tuple[str, dict[Path, str]]:
    """The StudyInstanceUID, and the SOPInstanceUIDs by file: one slice under many UIDs.

    By replacing bytes, for hundreds of files cost pydicom seconds.
    """
    study, (path,) = write_study(folder, slices=1)
    template = path.read_bytes()
    uid = str(dcmread(path).SOPInstanceUID)
    uids = {}
    for number in range(count):
        other = f"{uid[:-4]}{number + 1000:04}"
        target = folder / f"{number:04}.dcm"
        target.write_bytes(template.replace(uid.encode(), other.encode()))
        uids[target] = other
    path.unlink()
    return study, uids


def dataset_bytes(path: Path) -> bytes:
    """The data set of a file, as encoded: without preamble and File Meta Information."""
    _, offset = split_dataset(path)
    return path.read_bytes()[offset:]
