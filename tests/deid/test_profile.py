from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset
from pydicom.uid import SegmentationStorage

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile, explain
from hounsfield.deid.plan import resolve
from hounsfield.deid.table import PRIVATE, all_rows
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
    size = {"Rows": 18, "Columns": 18, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    kind = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    dataset = make_dataset(**size, **kind, PixelRepresentation=0, **facts)
    dataset.PixelData = bytes(18 * 18)
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
    assert explain("(0008,1030)", research).option == "descriptors"
    assert explain(0x00280010, research).outcome.startswith("kept")
    assert "090Y" in explain("PatientAge", research).outcome
    assert explain("PatientAge", Profile.load("strict")).outcome == "removed"
    with pytest.raises(ConfigError):
        explain("NoSuchKeyword", research)


@pytest.fixture
def site(tmp_path: Path) -> Profile:
    """The strict profile with a recipe of the site."""
    rules = """REPLACE PatientName Bob
        KEEP ProtocolName
        KEEP ReferringPhysicianName
        REMOVE StudyDate
        BLANK StationName
        KEEP PatientBirthDate
        ADD InstitutionName St. Elsewhere
        KEEP 0019100C
    """
    (tmp_path / "ours.deid").write_text(f"FORMAT dicom\n\n%header\n{rules}")
    (tmp_path / "site.yaml").write_text("recipe: ours.deid\n")
    return Profile.load(tmp_path / "site.yaml")


@pytest.mark.parametrize(
    ("keyword", "outcome", "line"),
    [
        ("PatientName", "replaced by 'Bob'", "REPLACE PatientName"),
        ("ProtocolName", "kept; what is known of patient and study", "KEEP ProtocolName"),
        ("ReferringPhysicianName", "kept as it is", "KEEP ReferringPhysicianName"),
        ("StudyDate", "removed as Type 3, emptied as Type 2", "REMOVE StudyDate"),
        ("StationName", "emptied", "BLANK StationName"),
        ("PatientBirthDate", "kept as it is", "KEEP PatientBirthDate"),
        ("InstitutionName", "set to 'St. Elsewhere' in every object", "ADD InstitutionName"),
        ("0019100C", "kept from SIEMENS MR HEADER, as PS3.15 Table", "KEEP 0019100C"),
    ],
)
def test_explain_tells_a_rule_of_the_site_before_the_tables(
    keyword: str, outcome: str, line: str, site: Profile
) -> None:
    told = explain(keyword, site)
    assert outcome in told.outcome
    assert told.recipe == f"recipe ours.deid: {line}"
    assert f"[recipe ours.deid: {line}, before the tables; Basic Profile " in str(told)
    assert "PS3.15 Table E.1-1 2024e" in told.source


def test_explain_says_what_the_engine_does(
    site: Profile, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset(StationName="CT1")
    came = make_dataset()
    Deidentifier(site, pseudonyms).header(dataset, KnownIdentifiers())
    assert (dataset.PatientName, dataset.InstitutionName) == ("Bob", "St. Elsewhere")
    assert dataset.ProtocolName == came.ProtocolName
    assert dataset.PatientBirthDate == came.PatientBirthDate
    assert dataset.StudyDate is None and dataset.StationName is None


@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_explain_says_of_each_row_what_the_engine_does_to_a_ct(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    rules = Profile.load(profile)
    engine = Deidentifier(rules, pseudonyms)
    # What stamps every object comes after the rules.
    numbers = [tag for tag in _text_rows() if tag != tag_for_keyword("DeidentificationMethod")]
    for number in numbers:
        dataset = make_dataset()
        dataset[number] = DataElement(number, dictionary_VR(number), "chest")
        engine.header(dataset, KnownIdentifiers())
        outcome = explain(number, rules).outcome
        if number not in dataset:
            assert "removed" in outcome, hex(number)
        elif dataset[number].is_empty:
            assert "emptied" in outcome, hex(number)
        elif dataset[number].value == "chest":
            assert "kept" in outcome or "cleaned" in outcome, hex(number)
        else:
            assert "replaced" in outcome, hex(number)


def _text_rows() -> list[int]:
    tags = (int(tag, 16) for tag in all_rows() if tag != PRIVATE and "X" not in tag)
    known = (tag for tag in tags if dictionary_has_tag(tag) and tag >> 16 > 4)
    return [tag for tag in known if dictionary_VR(tag) in ("CS", "LO", "LT", "PN", "SH", "UT")]


def test_explain_tells_each_outcome_that_the_type_decides() -> None:
    strict = Profile.load("strict")
    for keyword in ("ProtocolName", "SeriesDate"):
        outcome = explain(keyword, strict).outcome
        assert outcome == (
            "by its Type in the IOD of the object: removed as Type 3, "
            "replaced by a dummy value as Type 1"
        )
    assert explain("PatientComments", strict).outcome == "removed"


@pytest.mark.parametrize(
    ("profile", "pixels", "outcome"),
    [
        ("strict", True, "kept; text that is burned in is read and masked"),
        ("research", True, "kept; text that is burned in is read and masked"),
        ("research", False, "kept; no pixels are looked at, and text that is burned in stays"),
        ("bare", True, "kept; no pixels are looked at, and text that is burned in stays"),
    ],
)
def test_explain_says_what_becomes_of_pixels(profile: str, pixels: bool, outcome: str) -> None:
    rules = Profile(name="bare") if profile == "bare" else Profile.load(profile)
    told = explain("PixelData", rules, pixels=pixels)
    assert told.outcome.startswith(outcome)
    assert told.outcome.endswith("; below the top level, removed")
    assert (told.option == "clean_pixel_data") == ("masked" in outcome)
    assert "Basic Profile X" not in str(told) and "text searched" not in str(told)


def test_explain_names_no_code_of_the_basic_profile_where_it_has_no_row() -> None:
    told = explain("Rows", Profile.load("research"))
    assert told.outcome == "kept as it is"
    assert told.basic == "" and "Basic Profile" not in str(told)


@pytest.mark.parametrize("kept", ["retain_full_dates", "retain_modified_dates"])
def test_explain_tells_of_birth_dates_however_dates_are_kept(kept: str) -> None:
    outcome = explain("0040,A121", Profile(name="bare", **{kept: True})).outcome
    assert outcome.endswith("of an item that tells a birth date, replaced by a dummy value")


@pytest.mark.parametrize("keyword", ["InstanceNumber", "SliceThickness", "DimensionIndexValues"])
def test_explain_tells_that_a_number_may_be_of_the_patient(keyword: str) -> None:
    assert "a number or a day of this patient" in explain(keyword, Profile.load("strict")).outcome


def test_explain_tells_the_words_that_a_code_meaning_of_the_site_loses() -> None:
    outcome = explain("CodeMeaning", Profile.load("strict")).outcome
    assert outcome.startswith("kept; what is known of patient and study goes")
    assert "coding scheme" in outcome and "words of the examination stay" in outcome


@pytest.mark.parametrize("keyword", ["StudyDate", "PatientBirthDate", "AccessionNumber"])
def test_explain_gives_a_pseudonym_to_nothing_but_the_patient(keyword: str) -> None:
    assert explain(keyword, Profile.load("strict")).outcome == "emptied"
    for identity in ("PatientName", "PatientID"):
        outcome = explain(identity, Profile.load("strict")).outcome
        assert outcome == "replaced by the patient's pseudonym"


@pytest.mark.parametrize("name", ["OverlayData", "60023000", "60xx4000", "50020010"])
def test_explain_names_the_row_of_a_drawing(name: str) -> None:
    told = explain(name, Profile.load("internal"))
    assert told.source == "PS3.15 Table E.1-1 2024e; a drawing that nothing here could clean"
    assert told.basic == "X"


@pytest.mark.parametrize("name", ["(0019,xx23)", "0019,1023", "00191123", "(0019,XX23)"])
def test_explain_names_the_creators_of_a_safe_private_attribute(name: str) -> None:
    told = explain(name, Profile.load("research"))
    assert told.outcome.startswith("kept from GEMS_ACQU_01, as PS3.15 Table E.3.10-1 has it;")
    assert told.option == "safe_private"
    assert explain(name, Profile.load("strict")).outcome == "removed"


def test_explain_tells_what_becomes_of_other_private_elements() -> None:
    research = Profile.load("research")
    assert explain("(0009,xx02)", research).outcome.startswith("removed: no creator has it")
    assert explain("(0019,0010)", research).outcome.startswith("kept where an element of the block")
    with pytest.raises(ConfigError):
        explain("(0010,xx10)", research)


def test_explain_knows_what_cannot_be_cleaned() -> None:
    research = Profile.load("research")
    assert explain("MakerNote", research).outcome.startswith("removed")
    assert "UIDs" in explain("SourceImageSequence", research).outcome
