"""What an object carries beside its picture, and in which nobody looks for a name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import EncapsulatedPDFStorage

from hounsfield.deid import Deidentifier, Profile
from hounsfield.dicom.reading import read_header
from hounsfield.pseudonyms import Pseudonyms
from tests.quality.conftest import CANARIES, ct_slice, save
from tests.stages.received import screenshot

PROFILES = ("strict", "research", "internal")
NAME = CANARIES[0]
PIXELS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
)


def cleaned(dataset: FileDataset, profile: str, keys: Pseudonyms, folder: Path) -> FileDataset:
    path = save(dataset, folder / "raw.dcm")
    engine = Deidentifier(Profile.load(profile), keys)
    (record,) = engine.study([path], folder / "out").written
    return read_header(folder / "out" / record.output, stop_before_pixels=False)


def picture() -> Dataset:
    """A name, as an icon has it."""
    icon, whole = Dataset(), screenshot(NAME)
    for keyword in PIXELS:
        icon[keyword] = whole[keyword]
    return icon


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("sequence", ["IconImageSequence", "AnatomicRegionSequence"])
def test_a_picture_within_an_object_goes(
    sequence: str, profile: str, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """Also where no icon has its place."""
    dataset = ct_slice(0)
    setattr(dataset, sequence, [picture()])
    output = cleaned(dataset, profile, pseudonyms, tmp_path)
    assert [element.tag for element in output.iterall() if element.tag == 0x7FE00010] == [
        0x7FE00010
    ]
    assert output.PixelData == dataset.PixelData


@pytest.mark.parametrize("profile", PROFILES)
def test_overlays_and_curves_go(profile: str, pseudonyms: Pseudonyms, tmp_path: Path) -> None:
    dataset = ct_slice(0)
    drawn = np.packbits(np.ones((dataset.Rows, dataset.Columns), bool), bitorder="little")
    for group in (0x6000, 0x601E):
        dataset.add_new((group, 0x0010), "US", dataset.Rows)
        dataset.add_new((group, 0x0011), "US", dataset.Columns)
        dataset.add_new((group, 0x0022), "LO", NAME)
        dataset.add_new((group, 0x3000), "OW", drawn.tobytes())
    for group in (0x5000, 0x501E):
        dataset.add_new((group, 0x0022), "LO", NAME)
        dataset.add_new((group, 0x3000), "OW", NAME.ljust(12).encode())
    output = cleaned(dataset, profile, pseudonyms, tmp_path)
    assert [tag for tag in output.keys() if tag.group >> 8 in (0x50, 0x60)] == []  # noqa: SIM118


@pytest.mark.parametrize("profile", PROFILES)
def test_a_document_goes_from_what_encapsulates_it(
    profile: str, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """The object stays what its SOP Class says: nothing stands in the document's place."""
    dataset = ct_slice(0)
    for keyword in PIXELS:
        del dataset[keyword]
    dataset.SOPClassUID, dataset.Modality = EncapsulatedPDFStorage, "DOC"
    dataset.DocumentTitle = f"Letter to {NAME}"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = f"%PDF-1.4 {NAME}".encode()
    output = cleaned(dataset, profile, pseudonyms, tmp_path)
    assert output.EncapsulatedDocument.strip(b"\0") == b""
    assert NAME.encode() not in Path(output.filename).read_bytes()
