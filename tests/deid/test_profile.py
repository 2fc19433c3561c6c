from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import SegmentationStorage

from hounsfield.deid import Deidentifier, Profile, explain
from hounsfield.deid.plan import resolve
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import ConfigError
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]


def test_the_profiles_of_the_project_load_and_differ() -> None:
    profiles = [Profile.load(name) for name in ("strict", "research", "internal")]
    assert len({profile.digest for profile in profiles}) == 3
    assert profiles[0].options == frozenset()


def test_the_digest_is_of_what_is_done_and_not_of_words(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        return Profile.load(path).digest

    plain = digest("clean_descriptors: true\n")
    assert plain == digest("description: other words\nclean_descriptors: true\n")
    assert plain != digest("clean_descriptors: false\n")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("retain_everything: true\n", "retain_everything"),
        ("retain_uids: perhaps\n", "retain_uids"),
        ("retain_full_dates: true\nretain_modified_dates: true\n", "exclude each other"),
        ("recipe: absent.deid\n", "recipe"),
        ("- a list\n", "mapping"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(tmp_path: Path, text: str, names: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Profile.load(path)
    assert names in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="research"):
        Profile.load("lenient")


def test_codes_say_what_was_done() -> None:
    research = Profile.load("research")
    looked = [code.value for code in research.codes(pixels_cleaned=True)]
    assert looked == ["113100", "113101", "113105", "113107", "113108", "113111"]
    assert "113101" not in [code.value for code in research.codes(pixels_cleaned=False)]


@pytest.mark.parametrize(
    ("facts", "pixels", "options"),
    [
        ({}, True, ["113101"]),
        ({}, False, []),
        # No picture that a person could write on.
        ({"SOPClassUID": SegmentationStorage, "Modality": "SEG"}, True, []),
    ],
)
def test_strict_is_the_basic_profile_and_says_where_it_cleaned_pixels(
    facts: dict[str, str],
    pixels: bool,
    options: list[str],
    make_dataset: Make,
    pseudonyms: Pseudonyms,
    tmp_path: Path,
) -> None:
    """By itself the Basic Profile does not address what is burned in (PS3.15 E.2)."""
    size = {"Rows": 16, "Columns": 16, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    kind = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    dataset = make_dataset(**size, **kind, PixelRepresentation=0, **facts)
    dataset.PixelData = bytes(256)
    write_dataset(dataset, tmp_path / "a.dcm")
    engine = Deidentifier(Profile.load("strict"), pseudonyms, pixels=pixels)
    (record,) = engine.study([tmp_path / "a.dcm"], tmp_path / "out").written
    cleaned = read_header(tmp_path / "out" / record.output)
    codes = [item.CodeValue for item in cleaned.DeidentificationMethodCodeSequence]
    assert codes == ["113100", *options]
    assert cleaned.get("BurnedInAnnotation") == ("NO" if options else None)


@pytest.mark.parametrize(
    ("codes", "kind", "outcome"),
    [
        ("X/Z/D", "1", "D"),
        ("X/Z/D", "2", "Z"),
        ("X/Z/D", "3", "X"),
        ("X/Z", "1C", "D"),
        ("X/D", "2C", "D"),
        ("Z/D", "3", "Z"),
        ("Z", "2", "Z"),
        ("D", "3", "D"),
        ("X", "3", "X"),
        ("X", "2", "Z"),
        ("X", "1", "D"),
    ],
)
def test_compound_actions_follow_the_type(codes: str, kind: str, outcome: str) -> None:
    assert resolve(codes, kind) == outcome


@pytest.mark.parametrize("name", ["OverlayData", "60xx3000", "(60XX,3000)", "60023000"])
def test_explain_knows_repeating_groups_as_the_table_names_them(name: str) -> None:
    told = explain(name, Profile.load("research"))
    assert (told.name, told.outcome) == ("Overlay Data", "removed")


def test_explain_names_rule_option_and_source() -> None:
    research = Profile.load("research")
    told = explain("StudyDate", research)
    assert told.option == "modified_dates"
    assert "2024e" in told.source
    assert "emptied" in explain("0010,0010", Profile.load("strict")).outcome
    assert explain("(0008,1030)", research).option == "descriptors"
    assert explain(0x00280010, research).outcome.startswith("kept")
    assert "090Y" in explain("PatientAge", research).outcome
    assert explain("PatientAge", Profile.load("strict")).outcome == "removed"
    with pytest.raises(ConfigError):
        explain("NoSuchKeyword", research)
