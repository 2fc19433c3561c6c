"""Each option alone does what the method statement says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage, GrayscaleSoftcopyPresentationStateStorage

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.profile import METHODS
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.pixels.drawing import NAME, drawn, picture, read_words

Make = Callable[..., FileDataset]
Clean = Callable[[FileDataset, str, bool], FileDataset]

#: Switch → attribute, its value, and what is left of it when the switch is on, and when it is off.
ACTS: dict[str, tuple[str, str, str, str]] = {
    "clean_descriptors": ("ImageComments", "chest of Mr Quill", "chest of", ""),
    "retain_full_dates": ("StudyDate", "20240229", "20240229", ""),
    "retain_patient_characteristics": ("PatientAge", "095Y", "090Y", ""),
    "retain_device_identity": ("DeviceSerialNumber", "SN-4711", "SN-4711", ""),
    "retain_institution_identity": ("InstitutionName", "St Elsewhere", "St Elsewhere", ""),
    "retain_uids": ("FrameOfReferenceUID", "2.25.4711", "2.25.4711", "another"),
}
#: Those that have a test of their own below.
SHOWN = {
    "clean_graphics",
    "clean_pixel_data",
    "clean_structured_content",
    "retain_modified_dates",
    "retain_safe_private",
}


def alone(switch: str, on: bool, folder: Path) -> Profile:
    file = folder / "one.yaml"
    file.write_text(f"description: one\n{switch}: {str(on).lower()}\n")
    return Profile.load(file)


@pytest.fixture
def clean(pseudonyms: Pseudonyms, tmp_path: Path) -> Clean:
    """De-identifies a header under one switch, and sees that its code is stated if it is on."""

    def run(dataset: FileDataset, switch: str, on: bool) -> FileDataset:
        profile = alone(switch, on, tmp_path)
        Deidentifier(profile, pseudonyms).header(dataset, KnownIdentifiers())
        stated = [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]
        assert stated == ["113100", *option_of(profile)]
        return dataset

    return run


def option_of(profile: Profile) -> list[str]:
    return [code.value for code in profile.codes(pixels_cleaned=True)][1:]


def test_every_option_of_the_standard_is_shown() -> None:
    switches = {name for name in Profile.model_fields if name.startswith(("clean_", "retain_"))}
    assert SHOWN | ACTS.keys() == switches
    assert len(METHODS) == len(switches) + 2, "the Basic Profile, and faces, which have no switch"


@pytest.mark.parametrize("switch", ACTS)
@pytest.mark.parametrize("on", [True, False])
def test_what_it_says_of_an_option_is_what_the_engine_does(
    switch: str, on: bool, make_dataset: Make, clean: Clean
) -> None:
    keyword, value, kept, gone = ACTS[switch]
    dataset = clean(make_dataset(**{keyword: value}), switch, on)
    left = str(dataset.get(keyword) or "")
    if not on and gone == "another":
        assert left and left != value
    elif not on and keyword == "DeviceSerialNumber":
        assert value not in left
    else:
        assert left == (kept if on else gone)


def item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize("on", [True, False])
def test_clean_graphics(on: bool, make_dataset: Make, clean: Clean) -> None:
    """What is drawn stays where the option is on, and the words beside it are cleaned."""
    line = item(GraphicType="POLYLINE", GraphicData=[1.0, 2.0, 30.0, 40.0], GraphicFilled="N")
    text = item(UnformattedTextValue="nodule, seen by Dr Quill")
    layer = item(GraphicLayer="A")
    layer.GraphicObjectSequence, layer.TextObjectSequence = Sequence([line]), Sequence([text])
    dataset = make_dataset(
        SOPClassUID=GrayscaleSoftcopyPresentationStateStorage,
        Modality="PR",
        GraphicAnnotationSequence=Sequence([layer]),
    )
    clean(dataset, "clean_graphics", on)
    assert "Quill" not in str(dataset)
    drawn_lines = [
        list(line.GraphicData)
        for one in dataset.GraphicAnnotationSequence
        for line in one.get("GraphicObjectSequence", ())
    ]
    assert ([1.0, 2.0, 30.0, 40.0] in drawn_lines) == on
    assert ("nodule" in str(dataset)) == on


@pytest.mark.parametrize("on", [True, False])
def test_clean_structured_content(on: bool, make_dataset: Make, clean: Clean) -> None:
    finding = item(CodeValue="121071", CodingSchemeDesignator="DCM", CodeMeaning="Finding")
    said = item(ValueType="TEXT", RelationshipType="CONTAINS", TextValue="nodule of Mr Quill")
    said.ConceptNameCodeSequence = Sequence([finding])
    dataset = make_dataset(
        SOPClassUID=BasicTextSRStorage, Modality="SR", ContentSequence=Sequence([said])
    )
    clean(dataset, "clean_structured_content", on)
    assert "Quill" not in str(dataset)
    told = [one.get("TextValue") for one in dataset.ContentSequence]
    assert (told == ["nodule of"]) == on
    assert ("nodule" in str(dataset)) == on


@pytest.mark.parametrize("on", [True, False])
def test_retain_modified_dates(
    on: bool, make_dataset: Make, clean: Clean, pseudonyms: Pseudonyms
) -> None:
    """Days move together, so that what lies between them stays; times of day do not move."""
    dataset = make_dataset(StudyDate="20240229", SeriesDate="20240302", StudyTime="101112.5")
    days = pseudonyms.shift_days("MRN-740913")
    clean(dataset, "retain_modified_dates", on)
    assert dataset.LongitudinalTemporalInformationModified == ("MODIFIED" if on else "REMOVED")
    left = [str(dataset.get(name) or "") for name in ("StudyDate", "SeriesDate", "StudyTime")]
    shifted = [pseudonyms.shift_date(day, days) for day in ("20240229", "20240302")]
    assert left == ([*shifted, "101112.5"] if on else ["", "", ""])
    assert "20240229" not in str(dataset)


@pytest.mark.parametrize("on", [True, False])
def test_retain_safe_private(on: bool, make_dataset: Make, clean: Clean) -> None:
    """What PS3.15 Table E.3.10-1 names, by its creator; another element of it goes."""
    dataset = make_dataset()
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    clean(dataset, "retain_safe_private", on)
    private = [int(element.tag) for element in dataset if element.tag.is_private]
    assert private == ([0x00190010, 0x0019100C] if on else [])


@pytest.mark.parametrize("on", [True, False])
def test_clean_pixel_data(
    on: bool, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """Off, pixels stay as they came, and nothing is claimed of them."""
    array = drawn(NAME)
    write_dataset(picture(make_dataset, array), tmp_path / "a.dcm")
    profile = alone("clean_pixel_data", on, tmp_path)
    (record,) = Deidentifier(profile, pseudonyms).study([tmp_path / "a.dcm"], tmp_path).written
    dataset = read_header(tmp_path / record.output, stop_before_pixels=False)
    stated = [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]
    assert stated == ["113100", *option_of(profile)]
    assert dataset.get("BurnedInAnnotation") == ("NO" if on else None)
    assert ("OTTOLINE" in read_words(dataset)) == (not on)
    assert on or np.array_equal(dataset.pixel_array, array[0])
