"""Which pixels are looked at: the SOP Class tells, not what an object claims beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import (
    CTImageStorage,
    ParametricMapStorage,
    RealWorldValueMappingStorage,
    RTDoseStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
)

from hounsfield.deid import Deidentifier, Profile
from hounsfield.deid.pixels import how_to_look
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.pixels.drawing import NAME, drawn, picture, read_all

Make = Callable[..., FileDataset]
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"  # newer than pydicom's dictionary
CLAIMS = ["SEG", "RTDOSE", "RWV", "M3D"]


@pytest.mark.parametrize("claimed", CLAIMS)
@pytest.mark.parametrize(
    "sop_class",
    [SecondaryCaptureImageStorage, UltrasoundImageStorage, RealWorldValueMappingStorage, "2.25.1"],
)
def test_a_picture_is_looked_at_whatever_modality_it_claims(sop_class: str, claimed: str) -> None:
    facts = {"PixelData": b"\1", "Modality": claimed}
    assert how_to_look({**facts, "SOPClassUID": sop_class}) == "each"
    assert how_to_look(facts) == "each"


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [(SegmentationStorage, "SEG"), (LABEL_MAP, "SEG"), (RTDoseStorage, "RTDOSE")],
)
def test_values_on_a_grid_are_no_picture(sop_class: str, modality: str) -> None:
    facts = {"PixelData": b"\1", "SOPClassUID": sop_class}
    assert how_to_look({**facts, "Modality": modality}) == "none"
    assert how_to_look({**facts, "Modality": "OT"}) == how_to_look(facts) == "each", "in doubt"


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM"])
def test_slices_of_8_bits_are_pages(modality: str) -> None:
    facts = {"PixelData": b"\1", "Modality": modality, "ImageType": ["DERIVED", "SECONDARY"]}
    assert how_to_look({**facts, "BitsAllocated": 8}) == "each"
    assert how_to_look({**facts, "BitsAllocated": 16}) == "projection", "as reformatted volumes"


def test_a_name_in_a_screenshot_that_claims_to_be_a_segmentation(
    make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    facts = {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "SEG"}
    write_dataset(picture(make_dataset, drawn(NAME), **facts), tmp_path / "a.dcm")
    engine = Deidentifier(Profile.load("research"), pseudonyms)
    (record,) = engine.study([tmp_path / "a.dcm"], tmp_path / "out").written
    cleaned = read_header(tmp_path / "out" / record.output, stop_before_pixels=False)
    assert cleaned.BurnedInAnnotation == "NO"
    assert not read_all(cleaned)


def fractions(make: Make, keyword: str, sop_class: str, number: int = 0) -> FileDataset:
    """64 by 64 pixels, which nothing here reads text from."""
    shape = {"Rows": 64, "Columns": 64, "SamplesPerPixel": 1, "PixelRepresentation": 0}
    shape |= {"PhotometricInterpretation": "MONOCHROME2", "SOPInstanceUID": f"1.2.3.4.5.{number}"}
    dataset = make(**shape, SOPClassUID=sop_class)
    bits = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}[keyword]
    dataset.BitsAllocated = bits
    setattr(dataset, keyword, bytes(64 * 64 * bits // 8))
    return dataset


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
@pytest.mark.parametrize(
    ("sop_class", "pixels", "refused"),
    [
        (SecondaryCaptureImageStorage, True, True),
        (CTImageStorage, True, True),
        (ParametricMapStorage, True, False),
        (CTImageStorage, False, False),
    ],
)
def test_pixels_that_cannot_be_looked_at_are_refused_or_stated(
    keyword: str,
    sop_class: str,
    pixels: bool,
    refused: bool,
    make_dataset: Make,
    pseudonyms: Pseudonyms,
    tmp_path: Path,
) -> None:
    write_dataset(fractions(make_dataset, keyword, sop_class), tmp_path / "a.dcm")
    engine = Deidentifier(Profile.load("research"), pseudonyms, pixels=pixels)
    (record,) = engine.study([tmp_path / "a.dcm"], tmp_path / "out").instances
    if refused:
        assert record.code == "deidentification" and "cannot be looked at" in record.reason
        assert not list(tmp_path.glob("out/**/*.dcm"))
        return
    cleaned = read_header(tmp_path / "out" / record.output)
    codes = {item.CodeValue for item in cleaned.DeidentificationMethodCodeSequence}
    assert "BurnedInAnnotation" not in cleaned and "113101" not in codes


def test_they_are_seen_behind_objects_that_are_alike(
    make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    other = fractions(make_dataset, "FloatPixelData", CTImageStorage, 1)
    plain = fractions(make_dataset, "FloatPixelData", CTImageStorage, 2)
    del plain.FloatPixelData
    paths = [tmp_path / "1.dcm", tmp_path / "2.dcm"]
    for dataset, path in zip((plain, other), paths, strict=True):
        write_dataset(dataset, path)
    report = Deidentifier(Profile.load("research"), pseudonyms).study(paths, tmp_path / "out")
    assert [record.source for record in report.refused] == [1]


@pytest.mark.data
def test_real_segmentations_and_doses_are_still_no_pictures(real_data: Path) -> None:
    kinds = {"SEG", "RTDOSE"}
    found = (read_header(path) for path in find_files(real_data) if "obj_" in str(path))
    looks = [how_to_look(one) for one in found if one.get("Modality") in kinds]
    assert len(looks) > 10 and set(looks) == {"none"}
