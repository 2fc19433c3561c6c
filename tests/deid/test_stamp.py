"""What an object says of its de-identification: ours, and what PS3.16 has a code for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile, Recipe, explain
from hounsfield.deid.profile import METHODS
from hounsfield.deid.stamp import stamp_pixels
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.gate import Output, inspect
from hounsfield.pseudonyms import Pseudonyms
from hounsfield.records import Code

Make = Callable[..., FileDataset]
PROFILES = ("strict", "research", "internal")
FORGED = ["by Rosalind Franklin, St Odile", "Profile digest Rosalind", "Hounsfield, for Rosalind"]
MASKED = "Burned-in text masked"
FACES = Code("113102", "DCM", "Clean Recognizable Visual Features Option")


def item(code: Code, **more: str) -> Dataset:
    coded = Dataset()
    coded.CodeValue, coded.CodingSchemeDesignator = code.value, code.scheme
    coded.CodeMeaning = code.meaning
    for keyword, value in more.items():
        setattr(coded, keyword, value)
    return coded


def stated(dataset: Dataset) -> list[Code]:
    return [
        Code(one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning)
        for one in dataset.DeidentificationMethodCodeSequence
    ]


def cleaned(
    dataset: FileDataset, profile: str, pseudonyms: Pseudonyms, recipe: Recipe | None = None
) -> FileDataset:
    Deidentifier(Profile.load(profile), pseudonyms, recipe).header(dataset, KnownIdentifiers())
    return dataset


def test_the_codes_are_those_of_the_standard() -> None:
    known = {getattr(codes.cid7050, name) for name in codes.cid7050.dir()}
    assert {(code.value, code.scheme, code.meaning) for code in METHODS.values()} == {
        (code.value, code.scheme_designator, code.meaning) for code in known
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_that_was_written_of_an_earlier_time_stays(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = cleaned(make_dataset(DeidentificationMethod=FORGED), profile, pseudonyms)
    assert tuple(dataset.DeidentificationMethod) == Profile.load(profile).methods
    assert "Rosalind" not in str(dataset)


@pytest.mark.parametrize("profile", PROFILES)
def test_of_the_codes_those_of_the_standard_stay_in_its_words(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    received = [
        item(replace(FACES, meaning="by Rosalind"), CodingSchemeVersion="Rosalind"),
        item(Code("113999", "DCM", "Rosalind")),
        item(Code("Rosalind", "DCM", "done")),
        item(replace(FACES, scheme="99ROSALIND")),
        Dataset(),
    ]
    dataset = make_dataset(DeidentificationMethodCodeSequence=Sequence(received))
    cleaned(dataset, profile, pseudonyms)
    assert stated(dataset) == [FACES, *Profile.load(profile).codes(pixels_cleaned=False)]
    assert "rosalind" not in str(dataset).lower()


def test_a_site_states_what_its_recipe_says(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    recipe = Recipe.parse("FORMAT dicom\n%header\nADD DeidentificationMethod by SOP 12\n")
    dataset = make_dataset(DeidentificationMethod=FORGED)
    cleaned(dataset, "strict", pseudonyms, recipe)
    ours = Profile.load("strict").methods
    assert tuple(dataset.DeidentificationMethod) == ("by SOP 12", *ours)


@pytest.mark.parametrize("profile", PROFILES)
def test_our_own_output_is_stated_once(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """And the gate passes it the second time, too."""
    rules = Profile.load(profile)
    engine = Deidentifier(rules, pseudonyms, pixels=False)
    raw = tmp_path / "raw.dcm"
    write_dataset(make_dataset(DeidentificationMethod=FORGED), raw)
    said = []
    for turn in ("first", "second"):
        (record,) = engine.study([raw], tmp_path / turn).written
        output = tmp_path / turn / record.output
        checks = inspect([Output(raw, output)], [raw], rules, pixels=False)
        assert not [found for found in checks.findings if found.check == "standard"]
        dataset, raw = read_header(output), output
        said.append((list(dataset.DeidentificationMethod), stated(dataset)))
    assert said[0] == said[1]


@pytest.mark.parametrize(("profile", "words"), [("strict", None), ("research", MASKED)])
def test_a_masked_picture_says_that_it_is_no_more_the_original(
    profile: str,
    words: str | None,
    make_dataset: Make,
    pseudonyms: Pseudonyms,
    tmp_path: Path,
) -> None:
    size = {"Rows": 64, "Columns": 64, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    kind = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    dataset = make_dataset(ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], **size, **kind)
    dataset.PixelRepresentation = 0
    dataset.PixelData = bytes([200]) * 640 + bytes(64 * 54)
    write_dataset(dataset, tmp_path / "a.dcm")
    rules = Profile.load(profile)
    recipe = Recipe.parse("FORMAT dicom\n%filter a\nLABEL b\npresent Rows\ncoordinates 0,0,64,10")
    engine = Deidentifier(rules, pseudonyms, recipe, pixels=False)
    raw = tmp_path / "a.dcm"
    for turn in ("first", "second"):
        (record,) = engine.study([raw], tmp_path / turn).written
        assert record.pixels.changed == (turn == "first")
        output = tmp_path / turn / record.output
        checks = inspect([Output(raw, output)], [raw], rules, pixels=False)
        assert not [found for found in checks.findings if found.check == "standard"]
        cleaned = read_header(output)
        assert list(cleaned.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
        assert cleaned.get("DerivationDescription") == words
        raw = output


def test_explain_says_what_is_written_anew(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    """Whatever the engine gives an object that has none of it."""
    research = Profile.load("research")
    came = set(make_dataset().keys())
    went = cleaned(make_dataset(), "research", pseudonyms)
    stamp_pixels(went, research)
    given = {int(element.tag) for element in went if element.tag not in came}
    assert len(given) == 5
    for tag in given | {0x00020002, 0x00020003, 0x00020010}:
        assert explain(tag, research).outcome.startswith("written anew: "), hex(tag)
    assert "name who" in explain("DeidentificationMethod", research).source
    kept = "kept; what is known of patient and study goes"
    assert explain("BurnedInAnnotation", research, pixels=False).outcome.startswith(kept)
    assert "DERIVED where a picture was masked" in explain("ImageType", research).outcome
