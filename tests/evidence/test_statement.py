"""The method statement says what is configured, not what somebody once wrote."""

from __future__ import annotations

from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.plan import CLEAN, Plan
from hounsfield.deid.profile import Switches
from hounsfield.deid.table import all_rows
from hounsfield.evidence import MethodStatement
from hounsfield.evidence.statement import _OPTIONS
from hounsfield.pseudonyms import Pseudonyms
from tests.quality.conftest import ct_slice

KEYS = Pseudonyms(bytes(32), project="p1", version=3)
ENCODED = b64encode(b"Quillfeather").decode()


def statement(profile: str | Path) -> str:
    return MethodStatement.of("p1", Profile.load(profile), KEYS).to_markdown()


@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_every_option_is_told(profile: str) -> None:
    told = statement(profile)
    rules = Profile.load(profile)
    for switch, (on, off) in _OPTIONS.items():
        sentence = on if getattr(rules, switch) else off
        assert sentence in told


def test_the_strict_profile_is_called_what_its_objects_say() -> None:
    """Of the options one: by itself the Basic Profile leaves pixels alone (PS3.15 E.2)."""
    told = statement("strict")
    assert "Basic Profile with the Clean Pixel Data Option" in told
    codes = "113100 Basic Application Confidentiality Profile, 113101 Clean Pixel Data Option;"
    assert codes in told


def test_faces_are_told_as_they_are_configured() -> None:
    rules = Profile.load("research")
    assert "A face can be rebuilt" in statement("research")
    told = MethodStatement.of("p1", rules, KEYS, deface=True).to_markdown()
    assert "Faces are cut out of volumes" in told and "can be rebuilt" not in told


def test_what_stays_of_the_patient_is_told() -> None:
    """By the option's rows of the table: a board has to know of each."""
    kept = {row.name for row in all_rows().values() if "patient" in row.options}
    words = {
        **{"Patient's Sex": "sex", "Patient's Age": "Age", "Patient's Size": "size"},
        **{"Patient's Weight": "weight", "Patient's Sex Neutered": "neutering"},
        **dict.fromkeys(("Ethnic Group", "Ethnic Groups", "Ethnic Group Code Sequence"), "ethnic"),
        **{"Smoking Status": "smoking", "Pregnancy Status": "pregnancy", "Allergies": "allergies"},
        **{"Special Needs": "special needs", "Patient State": "patient's state"},
        **{"Pre-Medication": "pre-medication", "Selector AS Value": "age"},
    }
    assert words.keys() == kept
    assert all(word in _OPTIONS["retain_patient_characteristics"][0] for word in words.values())


def test_no_option_of_a_profile_is_forgotten() -> None:
    switches = {name for name, field in Switches.model_fields.items() if field.annotation is bool}
    assert _OPTIONS.keys() == switches


def test_it_follows_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("description: ours alone\nclean_pixel_data: false\nretain_uids: true\n")
    told = statement(path)
    assert "ours alone" in told and Profile.load(path).digest[:16] in told
    assert "text that is burned in stays" in told and "does not read pixels" in told
    assert "UIDs stay as they are" in told and "113101" not in told
    assert "ours alone" not in statement("research")


def test_what_a_profile_keeps_is_not_called_searched_or_keyed(tmp_path: Path) -> None:
    told = statement("research")
    assert "physicians, dates in the usual forms, devices, institutions) is searched" in told
    assert "and UIDs, are keyed" in told
    assert "physicians, dates in the usual forms) is searched" in statement("internal")
    path = tmp_path / "ours.yaml"
    path.write_text("retain_full_dates: true\nretain_uids: true\n")
    assert "physicians, devices, institutions) is searched" in statement(path)
    assert "UIDs, are keyed" not in statement(path)


def test_text_that_no_table_names_is_cleaned_under_each_profile() -> None:
    """A SegmentDescription under strict: the statement must say how."""
    assert Plan(Profile.load("strict")).rule(0x00620006).action == CLEAN
    assert "Of what is left in a text that is cleaned" in statement("strict")


def test_it_names_edition_rules_and_key() -> None:
    told = statement("research")
    assert "edition 2024e: Table E.1-1 with 621 rows" in told
    assert "Key version 3" in told and KEYS.fingerprint in told
    assert "A patient with studies of both has two." in told
    assert bytes(32).hex() not in told


def test_as_a_page() -> None:
    told: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            told.append(data)

    made = MethodStatement.of("p1 <&>", Profile.load("research"), KEYS)
    Reader().feed(made.to_html())
    text = "\n".join(told)
    assert "p1 <&>" in text
    for title, sentences in made.sections:
        assert title in text and all(sentence in text for sentence in sentences)


def test_the_rules_of_the_site_are_told_with_what_they_keep_first(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("recipe: ours.deid\n")
    (tmp_path / "ours.deid").write_text(
        "FORMAT dicom\n%header\nREPLACE PatientName Bob\nREMOVE StudyDate\nKEEP Rows\n"
        "ADD InstitutionName St. Elsewhere\nKEEP ReferringPhysicianName\n"
    )
    made = MethodStatement.of("p1", Profile.load(path), KEYS)
    sentences = dict(made.sections)["The site's own rules"]
    assert sentences == (
        "The recipe ours.deid comes before the tables, at every depth; what it adds stands at the "
        "top level.",
        "MAY IDENTIFY SOMEBODY: KEEP ReferringPhysicianName: kept as it is.",
        "REPLACE PatientName: replaced by 'Bob', which the recipe gives.",
        "REMOVE StudyDate: by its Type in the IOD of the object: removed as Type 3, emptied as "
        "Type 2.",
        "KEEP Rows: kept as it is.",
        "ADD InstitutionName: set to 'St. Elsewhere' in every object.",
    )


def test_a_site_without_rules_is_told_as_one() -> None:
    made = MethodStatement.of("p1", Profile.load("strict"), KEYS)
    assert dict(made.sections)["The site's own rules"] == ("The site has no rules of its own.",)


def test_the_limits_name_what_is_not_seen() -> None:
    told = statement("research")
    assert "one slice or frame of a stack" in told
    assert "a quarter of the film's range" in told
    assert "fewer than 18 along both" in told
    assert "fewer than three characters" in told
    assert "never names the issuer" in told
    assert "the stricter" in told
    assert "Double Float Pixel Data" in told
    assert "1/14" in told
    assert "a version of software" in told and "an ethnic group" in told
    assert "SNOMED CT, that PS3.16 does not list" in told


def test_a_strangers_name_stays_where_the_limits_say_so() -> None:
    """And nowhere else that is kept: neither in a description nor beside a site's own code."""
    dataset, name = ct_slice(0), "Kowalski Jan"
    technical = ("SoftwareVersions", "ManufacturerModelName", "ReceiveCoilName", "EthnicGroup")
    descriptions = ("ProtocolName", "SeriesDescription", "ImageComments")
    for keyword in (*technical, *descriptions):
        setattr(dataset, keyword, name)
    dataset.ProcedureCodeSequence = [Dataset(), Dataset()]
    for code, scheme in zip(dataset.ProcedureCodeSequence, ("SCT", "99SITE"), strict=True):
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "990011", scheme, name
    dataset.PatientName, dataset.ConvolutionKernel = "Quillfeather", ENCODED
    engine = Deidentifier(Profile.load("research"), KEYS, pixels=False)
    engine.header(dataset, KnownIdentifiers.gather([dataset]))
    assert {dataset[keyword].value for keyword in technical} == {name}
    assert dataset.ConvolutionKernel == ENCODED
    assert "Base64" in statement("research")
    assert not [keyword for keyword in descriptions if name in str(dataset.get(keyword, ""))]
    listed, own = dataset.ProcedureCodeSequence
    assert listed.CodeMeaning == name != own.CodeMeaning
