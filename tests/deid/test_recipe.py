from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from hounsfield.deid import Recipe
from hounsfield.errors import ConfigError

HEAD = "FORMAT dicom\n\n%header\n"
FILTER = "FORMAT dicom\n%filter mine\n"
US = "LABEL a\ncontains Modality US\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + "REMOVE PatientName # why", 4),
        (HEAD + "# fine\nremove PatientName", 5),
        (HEAD + "REMOVE PatientNmae", 4),
        (HEAD + "SCRUB PatientName", 4),
        (HEAD + "JITTER StudyDate 5", 4),
        (HEAD + "REPLACE StationName", 4),
        (HEAD + "KEEP StationName yes", 4),
        (HEAD + "ADD StationName func:now", 4),
        (HEAD + "REPLACE Rows 5", 4),
        (HEAD + "KEEP PatientID", 4),
        (HEAD + "REMOVE endswith:UID", 4),
        (HEAD + "KEEP StationName\nREMOVE StationName", 5),
        (HEAD + "REMOVE contains:Nothingness", 4),
        ("REMOVE PatientName", 1),
        ("FORMAT nifti", 1),
        ("FORMAT dicom\n%values x\n", 2),
        (FILTER + "LABEL all\ncoordinates 0,0,10,10", 3),
        (FILTER + "LABEL a\ncontains Modlaity US\ncoordinates 0,0,10,10", 4),
        (FILTER + "LABEL a\nholds Modality US\ncoordinates 0,0,10,10", 4),
        (FILTER + "LABEL a\ncontains Modality US\nkeepcoordinates 0,0,10,10", 5),
        (FILTER + "contains Modality US", 3),
        (FILTER + "LABEL a\ncontains Modality US\nLABEL b\ncontains Modality CT", 3),
        (FILTER + US + "coordinates 30,30,10,10", 5),
        (FILTER + US + "coordinates 30,30,40,30", 5),
        (FILTER + US + "ctpcoordinates 30,30,10,0", 5),
        (FILTER + US + "ctpcoordinates all", 5),
        (FILTER + "LABEL a\ncontains Modality CT[\ncoordinates 0,0,10,10", 4),
        (FILTER + "LABEL a\ncontains StationName \\D\ncoordinates 0,0,10,10", 4),
        (FILTER + US + "|| contains Modality CT\ncoordinates 0,0,10,10", 5),
        (FILTER + "LABEL a\nmissing Rows || contains Modality US\ncoordinates 0,0,10,10", 4),
        (HEAD + "KEEP 00091001", 4),
        (HEAD + "BLANK 0019100C", 4),
        (HEAD + "KEEP 00190010", 4),
        (HEAD + "KEEP 00020016", 4),
        (HEAD + "REMOVE MediaStorageSOPClassUID", 4),
        (HEAD + "ADD PatientIdentityRemoved NO", 4),
        (HEAD + "REPLACE BurnedInAnnotation YES", 4),
        (HEAD + "REPLACE LongitudinalTemporalInformationModified UNMODIFIED", 4),
        (HEAD + "KEEP DeidentificationMethodCodeSequence", 4),
        (HEAD + "REMOVE DeidentificationMethod", 4),
        (HEAD + "REMOVE PixelData", 4),
        (HEAD + "BLANK Columns", 4),
        (HEAD + "REMOVE 00280100", 4),
        (HEAD + "REMOVE startswith:Bits", 4),
        (HEAD + "REPLACE PhotometricInterpretation RGB", 4),
        (HEAD + "ADD NumberOfFrames 7", 4),
        (HEAD + "REMOVE SpecificCharacterSet", 4),
        (HEAD + "REPLACE StudyDate banana", 4),
        (HEAD + "REPLACE StudyDate 20240101-20240301", 4),
        (HEAD + "REPLACE BodyPartExamined chest", 4),
        (HEAD + "REPLACE StationName more than sixteen letters", 4),
    ],
)
def test_a_line_that_would_be_skipped_is_refused_by_its_number(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"line {line}\\b"):
        Recipe.parse(text)


def test_a_line_that_breaks_the_object_is_refused_with_what_it_breaks() -> None:
    with pytest.raises(ConfigError, match="BitsStored, without which nobody can read"):
        Recipe.parse(HEAD + "REMOVE endswith:sStored")


@pytest.mark.parametrize(
    "line",
    [
        "KEEP PixelData",
        "KEEP 0019100C",  # safe under one creator
        "REMOVE 00091001",
        "ADD DeidentificationMethod by hand",
        "REPLACE StudyDate 20240101",
        "REPLACE ImageComments a \\ b",
        "REPLACE ReferringPhysicianName Doe^Jo",
    ],
)
def test_a_line_that_does_what_it_says_is_taken(line: str) -> None:
    recipe = Recipe.parse(HEAD + line)
    assert recipe.overrides or recipe.additions


def test_what_is_compared_as_it_stands_need_be_no_expression() -> None:
    assert Recipe.parse(FILTER + "LABEL a\nequals StationName CT[1\ncoordinates all").named


def test_expanders_mean_keywords() -> None:
    recipe = Recipe.parse(HEAD + "REMOVE startswith:Detector\n")
    assert 0x0018700A in recipe.overrides  # Detector ID


def us(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in {"Modality": "US", "Rows": 480, "Columns": 640, **values}.items():
        setattr(dataset, keyword, value)
    return dataset


def test_regions_are_those_of_the_object_at_hand() -> None:
    recipe = Recipe.parse(
        FILTER + "LABEL ours\n  contains Modality US\n  + equals Rows 480\n"
        "  coordinates 0,0,640,30\n  ctpcoordinates 600,400,40,80\n"
    )
    assert recipe.regions(us()) == [(0, 0, 640, 30), (600, 400, 640, 480)]
    assert recipe.regions(us(Rows=481)) == []
    assert recipe.regions(us()) == [(0, 0, 640, 30), (600, 400, 640, 480)]


@pytest.mark.parametrize(
    ("filters", "acts"),
    [
        ("contains Modality CT || contains Modality US", True),
        ("contains Modality US || missing Rows", True),
        ("contains Modality US + missing Rows", False),
        ("contains Modality US\n+ contains Modality CT", False),
        ("contains Modality US\nmissing Rows", False),
        ("contains Modality US\n+ missing StationName", True),
    ],
)
def test_filters_mean_what_they_say(filters: str, acts: bool) -> None:
    recipe = Recipe.parse(f"{FILTER}LABEL a\n{filters}\ncoordinates 0,0,10,10\n")
    assert bool(recipe.regions(us())) == acts


def test_known_regions_come_with_deid() -> None:
    logiq = us(Manufacturer="GE Medical", ManufacturerModelName="LOGIQ9")
    assert (0, 0, 640, 30) in Recipe.parse("").regions(logiq)
    assert Recipe.parse("").regions(us()) == []
