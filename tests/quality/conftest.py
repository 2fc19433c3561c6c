"""Small studies made to order, whose identities are canaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SUITES = Path(__file__).resolve().parents[2] / "configs" / "quality"

#: Made up; none of it may show in a report.
CANARIES = (
    "KANARIENVOGEL",
    "ZWITSCHER",
    "CNRY-4711-ID",
    "CNRYACC77",
    "19470823",
    "Finkenweg",
    "1.2.826.0.1.3680043.8.498.4711",
)

Edit = Callable[[Dataset, int], None]
MakeCt = Callable[..., list[Path]]


def ct_slice(index: int, *, spacing: float = 2.5, tilt: float = 0.0) -> Dataset:
    """Slice `index`, from 0, of an axial CT; the table moves straight, the gantry may tilt."""
    root = CANARIES[-1]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = f"{root}.3.{index + 1}"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{root}.3.{index + 1}"
    dataset.StudyInstanceUID = f"{root}.1"
    dataset.SeriesInstanceUID = f"{root}.2"
    dataset.FrameOfReferenceUID = f"{root}.4"
    dataset.PatientName = f"{CANARIES[0]}^{CANARIES[1]}"
    dataset.PatientID = CANARIES[2]
    dataset.PatientBirthDate = CANARIES[4]
    dataset.PatientSex = "F"
    dataset.PatientAddress = f"{CANARIES[5]} 3"
    dataset.StudyDate = "20240101"
    dataset.StudyTime = "101500"
    dataset.AccessionNumber = CANARIES[3]
    dataset.StudyID = "1"
    dataset.ReferringPhysicianName = CANARIES[1]
    dataset.Manufacturer = "ACME"
    dataset.Modality = "CT"
    dataset.SeriesNumber = 2
    dataset.InstanceNumber = index + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP = 120
    cosine, sine = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    dataset.ImageOrientationPatient = [1, 0, 0, 0, round(cosine, 6), round(sine, 6)]
    dataset.ImagePositionPatient = [-100, -100, index * spacing]
    dataset.PixelSpacing = [0.8, 0.8]
    dataset.SliceThickness = spacing
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    pixels = np.random.default_rng(index).integers(0, 2000, (16, 16), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def make_ct(tmp_path: Path) -> Iterator[MakeCt]:
    """Writes a CT of one series; `edit` may change each slice, given its index."""

    def make(
        slices: int = 8,
        *,
        skip: tuple[int, ...] = (),
        edit: Edit | None = None,
        tilt: float = 0.0,
        folder: str = "study",
    ) -> list[Path]:
        paths = []
        for index in range(slices):
            if index in skip:
                continue
            dataset = ct_slice(index, tilt=tilt)
            if edit is not None:
                edit(dataset, index)
            paths.append(save(dataset, tmp_path / folder / f"{index:04d}.dcm"))
        return paths

    yield make


def another_series(dataset: Dataset) -> None:
    dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID}.9"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesNumber = 1
