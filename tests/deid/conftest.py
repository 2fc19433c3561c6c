"""A key, profiles, and a made-up object to plant things in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.pseudonyms import Pseudonyms


@pytest.fixture(scope="session")
def pseudonyms() -> Pseudonyms:
    return Pseudonyms(bytes(range(32)), project="tests")


@pytest.fixture
def make_dataset() -> Callable[..., FileDataset]:
    """A small CT header of a made-up patient; keywords change it."""

    def make(**values: object) -> FileDataset:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, is_implicit_VR=False, is_little_endian=True)
        defaults = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": "1.2.3.4.5.1",
            "StudyInstanceUID": "1.2.3.4.5",
            "SeriesInstanceUID": "1.2.3.4.5.0",
            "PatientName": "Quillfeather^Ottoline",
            "PatientID": "MRN-740913",
            "PatientBirthDate": "19310407",
            "PatientAge": "093Y",
            "PatientSex": "F",
            "StudyDate": "20240229",
            "StudyTime": "101112.5",
            "ContentDate": "20240229",
            "AcquisitionDateTime": "20240229101112.500000+0100",
            "AccessionNumber": "ACC552201",
            "ReferringPhysicianName": "Brackenbury^Ivo",
            "InstitutionName": "St. Odile Infirmary",
            "StudyDescription": "CT Chest for Quillfeather",
            "SeriesDescription": "Lung 1.25mm seen 2024-02-29 by Dr Brackenbury",
            "ProtocolName": "Thorax routine MRN-740913",
            "Modality": "CT",
            "Manufacturer": "Made Up Imaging",
        }
        for keyword, value in {**defaults, **values}.items():
            setattr(dataset, keyword, value)
        return dataset

    return make
