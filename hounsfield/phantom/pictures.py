"""Objects that are no CT: dose report, ultrasound and radiograph, two with text in the pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)
from scipy import ndimage

from hounsfield.phantom.chest import chest_volume
from hounsfield.phantom.headers import Visit, header

__all__ = ["dose_report", "radiograph", "ultrasound"]

#: Attenuation of water for the beam of a radiograph, 1/mm.
_WATER = 0.0175


def dose_report(visit: Visit) -> Dataset:
    """A Secondary Capture (PS3.3 A.8.1) of a dose page.

    Name, identifier, birth date and accession number are drawn into the pixels, and
    BurnedInAnnotation says so.
    """
    patient = visit.patient
    picture = Image.new("RGB", (640, 512), (0, 0, 0))
    lines = (
        ("Dose Report", 26),
        (f"Name: {patient.drawn_name}", 22),
        (f"ID: {patient.patient_id}   DOB: {patient.birth_date}", 22),
        (f"Accession: {patient.accession_number}", 22),
        ("", 22),
        ("Series  Type     Range mm   CTDIvol mGy   DLP mGy.cm", 20),
        ("1       Scout    -          -             -", 20),
        ("2       Helical  300        6.9           221.4", 20),
        ("Total exam DLP: 221.4", 20),
    )
    _write(picture, lines, (24, 20), (240, 240, 240))
    dataset = header(
        visit, SecondaryCaptureImageStorage, "CT", series=999, description="Dose Report"
    )
    dataset.BodyPartExamined = "CHEST"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    return _rgb(dataset, visit, picture)


def ultrasound(visit: Visit) -> Dataset:
    """A single-frame US Image (PS3.3 A.6).

    The patient's name stands in the banner above the sector; the region of the sector is in
    SequenceOfUltrasoundRegions (PS3.3 C.8.5.5).
    """
    patient, (width, height), top = visit.patient, (800, 600), 60
    picture = Image.fromarray(_sector(np.random.default_rng(visit.number), width, height, top))
    lines = (
        (f"{patient.drawn_name}   {patient.patient_id}", 22),
        (f"Abdomen  C5-1  {visit.start:%Y-%m-%d}  MI 1.2  TIS 0.3", 18),
    )
    _write(picture, lines, (12, 4), (255, 255, 255))
    dataset = header(visit, UltrasoundImageStorage, "US", series=1, description="Abdomen")
    dataset.StudyDescription, dataset.ProtocolName = "US ABDOMEN", "Abdomen"
    dataset.ManufacturerModelName, dataset.SoftwareVersions = "SonoQuirl 7", "R3.1Q"
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    region = Dataset()
    region.RegionSpatialFormat = 1  # 2D
    region.RegionDataType = 1  # tissue
    region.RegionFlags = 2
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 60, top
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = width - 61, height - 11
    region.ReferencePixelX0, region.ReferencePixelY0 = width // 2 - 60, 0
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.03
    dataset.SequenceOfUltrasoundRegions = [region]
    return _rgb(dataset, visit, picture)


def radiograph(visit: Visit, seed: int) -> Dataset:
    """A CR Image (PS3.3 A.2) of the chest of patient `seed`.

    The volume is projected from back to front, so that even this picture has lungs.
    """
    phantom = chest_volume(seed, shape=(150, 160, 200), table=False, noise_hu=0.0)
    depth = np.maximum(phantom.hu.astype(np.float32) + 1000, 0).sum(axis=1) / 1000
    depth = depth[::-1] * np.float32(phantom.spacing_zyx[1] * _WATER)
    factors = (phantom.spacing_zyx[0] * 2, phantom.spacing_zyx[2] * 2)
    depth = ndimage.zoom(depth, factors, order=1)
    depth += 0.01 * np.random.default_rng([seed, 98]).standard_normal(depth.shape)
    # Film speaks in logarithms of exposure, which is the depth itself.
    stored = np.clip(depth / 7 * 4095, 0, 4095).astype("<u2")

    dataset = header(visit, ComputedRadiographyImageStorage, "CR", series=1, description="PA")
    dataset.StudyDescription, dataset.ProtocolName = "CHEST PA", "Chest"
    dataset.ManufacturerModelName, dataset.SoftwareVersions = "DigiQuirl", "2.0Q"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImagerPixelSpacing = [0.5, 0.5]
    dataset.KVP = 120
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.BurnedInAnnotation = "NO"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    return _finished(dataset, visit, stored)


def _rgb(dataset: Dataset, visit: Visit, picture: Image.Image) -> Dataset:
    dataset.BurnedInAnnotation = "YES"
    dataset.PatientOrientation = ""
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    return _finished(dataset, visit, np.asarray(picture))


def _finished(
    dataset: Dataset, visit: Visit, pixels: NDArray[np.uint8] | NDArray[np.uint16]
) -> Dataset:
    dataset.SOPInstanceUID = visit.uid("series", int(dataset.SeriesNumber), "image")
    dataset.InstanceNumber = 1
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    return dataset


def _sector(rng: np.random.Generator, width: int, height: int, top: int) -> NDArray[np.uint8]:
    """Speckle in a fan below `top`: (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    away, turn = np.hypot(x - width / 2, y - top), np.arctan2(x - width / 2, y - top + 1e-3)
    fan = (away > 40) & (away < height - top - 15) & (np.abs(turn) < 0.72)
    waves = rng.standard_normal((2, height, width))
    speckle = np.hypot(*(ndimage.gaussian_filter(wave, (1.0, 2.2)) for wave in waves))
    tissue = 0.6 + 0.4 * np.tanh(2 * ndimage.gaussian_filter(waves[0], 25) * 40)
    cyst = np.hypot(x - width * 0.58, y - height * 0.52) < 46
    grey = np.where(fan & ~cyst, speckle * tissue * np.exp(-away / 900) * 520, 0)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _write(
    picture: Image.Image,
    lines: tuple[tuple[str, int], ...],
    start: tuple[int, int],
    colour: tuple[int, int, int],
) -> None:
    draw = ImageDraw.Draw(picture)
    x, y = start
    for text, size in lines:
        draw.text((x, y), text, fill=colour, font=ImageFont.load_default(size))
        y += int(size * 1.45)
