"""Small made-up CT series for the tests of volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.dicom.writing import write_dataset

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def ct_slice(index: int, *, shape: tuple[int, int] = (6, 5), step: float = 2.0) -> Dataset:
    """Slice `index` of a series; its values tell the slice, row and column."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"2.25.77{index:04d}"
    dataset.StudyInstanceUID = "2.25.2"
    dataset.SeriesInstanceUID = "2.25.1"
    dataset.FrameOfReferenceUID = "2.25.3"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Modality = "CT"
    dataset.PatientName = "Quandary^Zelda"
    # Numbered backwards, as some scanners do: it must not matter.
    dataset.InstanceNumber = 1000 - index
    dataset.ImagePositionPatient = [-10.5, -20.0, index * step - 100]
    dataset.ImageOrientationPatient = list(AXIAL)
    dataset.PixelSpacing = [0.75, 0.5]
    dataset.SliceThickness = step
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelPaddingValue = -2000
    dataset.add_new(0x00091001, "LO", "made-up scanner")
    dataset.add_new(0x00090010, "LO", "MAKER")
    values = np.arange(shape[0] * shape[1], dtype=np.int16).reshape(shape) + 1000 * (index % 30)
    dataset.PixelData = values.astype("<i2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def write_series(folder: Path, datasets: list[Dataset]) -> list[Path]:
    paths = [folder / f"{index:04d}.dcm" for index in range(len(datasets))]
    for path, dataset in zip(paths, datasets, strict=True):
        write_dataset(dataset, path)
    return paths
