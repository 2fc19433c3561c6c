"""What the Standard asks of an output is missed where it is spoilt."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from hounsfield.gate import Output, inspect
from tests.gate.conftest import Clean, Edit, drop, private, put
from tests.quality.conftest import CANARIES

FAMILY = CANARIES[0]


def drop_code(dataset: FileDataset) -> None:
    del dataset.DeidentificationMethodCodeSequence[-1]


def hidden_picture(dataset: FileDataset) -> None:
    item = Dataset()
    item.add_new(0x7FE00010, "OB", bytes(64))
    dataset.SourceImageSequence = Sequence([item])


def coded(value: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def content(*items: Dataset) -> Edit:
    return put("AcquisitionContextSequence", Sequence(items))


def measured(meaning: str, value: str, unit: str) -> Dataset:
    """In the item itself, as elsewhere than in a report."""
    item = Dataset()
    item.ConceptNameCodeSequence = coded("A1", "99ME", meaning)
    item.NumericValue, item.MeasurementUnitsCodeSequence = value, coded(unit, "UCUM", unit)
    return item


def without_code(item: Dataset) -> Dataset:
    """As one whose code is too long for a Code Value (PS3.3 Section 8.1)."""
    del item.ConceptNameCodeSequence[0].CodeValue
    del item.ConceptNameCodeSequence[0].CodingSchemeDesignator
    return item


def without_unit(item: Dataset) -> Dataset:
    del item.MeasurementUnitsCodeSequence
    return item


def in_report(item: Dataset) -> Dataset:
    measured = Dataset()
    for keyword in ("NumericValue", "MeasurementUnitsCodeSequence"):
        setattr(measured, keyword, item[keyword].value)
        delattr(item, keyword)
    item.MeasuredValueSequence = Sequence([measured])
    return item


def born(day: str) -> Dataset:
    item = Dataset()
    item.ConceptNameCodeSequence = coded("121031", "DCM", "Subject Birth Date")
    item.Date = day
    return item


def add(tag: int, vr: str) -> Edit:
    return lambda dataset: dataset.add_new(tag, vr, bytes(64))


def another_object(dataset: FileDataset) -> None:
    dataset.SOPInstanceUID = "2.25.1"


def claim_clean_pixels(dataset: FileDataset) -> None:
    dataset.BurnedInAnnotation = "NO"


@pytest.mark.parametrize(
    ("edit", "rule", "place"),
    [
        (put("PatientIdentityRemoved", "NO"), "PatientIdentityRemoved", "PatientIdentityRemoved"),
        (drop("DeidentificationMethod"), "the method", "DeidentificationMethod "),
        (drop("DeidentificationMethodCodeSequence"), "the method", "DeidentificationMethodCode"),
        (drop_code, "the method", "DeidentificationMethodCodeSequence"),
        (put("LongitudinalTemporalInformationModified", "REMOVED"), "Longitudinal", "Longitu"),
        (claim_clean_pixels, "BurnedInAnnotation", "BurnedInAnnotation"),
        (put("PatientAddress", "REMOVED"), "no attribute that", "PatientAddress"),
        (put("PatientTelephoneNumbers", "1"), "no attribute that", "PatientTelephoneNumbers"),
        (private("LO", "harmless"), "no private element", "(0009,1010)"),
        (put("FloatPixelData", bytes(8)), "no pixels of fractions", "FloatPixelData"),
        (hidden_picture, "no pixel data but", "SourceImageSequence > PixelData"),
        (add(0x7F020010, "OW"), "no pixel data but", "VariablePixelData"),
        (add(0x7FE00020, "OW"), "no attribute that", "CoefficientsSDVN"),
        (put("PatientAge", "091Y"), "no age over 89", "PatientAge"),
        (put("SeriesDescription", "93 year-old"), "no age over 89", "SeriesDescription"),
        (put("ImageComments", "aged; ninety-six years"), "no age over 89", "ImageComments"),
        (content(measured("Patient age", "91", "a")), "no age over 89", "AcquisitionContext"),
        (content(in_report(measured("Age", "1100", "mo_j"))), "no age over 89", "Acquisition"),
        (
            content(measured("Age", "30", "mo"), without_unit(measured("Age", "95", "a"))),
            "no age over 89",
            "AcquisitionContext",
        ),
        (content(born("19310407")), "no birth date", "AcquisitionContextSequence > Date"),
    ],
)
def test_what_the_standard_asks(clean: Clean, edit: Edit, rule: str, place: str) -> None:
    found = clean(profile="internal").found(edit)
    told = [(r, p) for check, r, p in found if check == "standard"]
    assert len(told) == 1
    assert told[0][0].startswith(rule) and told[0][1].startswith(place)


@pytest.mark.parametrize(
    "edit",
    [
        put("PatientAge", "090Y"),
        put("SeriesDescription", "90Y, 95 kV, ninety degrees"),
        content(measured("Patient age", "90", "a"), measured("Length", "95", "mm")),
        content(measured("Patient age", "90", "a"), without_code(measured("Length", "95", "mm"))),
        content(in_report(measured("Age", "1080", "mo"))),
        content(born("19000101")),
    ],
)
def test_an_age_that_tells_nobody(clean: Clean, edit: Edit) -> None:
    found = clean(profile="internal").found(edit)
    assert [rule for check, rule, _ in found if check == "standard"] == []


@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_a_method_that_the_received_object_named(clean: Clean, profile: str) -> None:
    written = "by Rosalind Franklin, St Odile"
    cleaned = clean(put("DeidentificationMethod", [written, "Profile digest 0"]), profile)
    assert cleaned.found() == set()
    said = [written, *cleaned.profile.methods]
    told = [rule for _, rule, _ in cleaned.found(put("DeidentificationMethod", said))]
    assert told == ["no method that the received object named in words"]


def said_in_a_code(keyword: str, value: str) -> Edit:
    return lambda dataset: setattr(dataset.DeidentificationMethodCodeSequence[0], keyword, value)


@pytest.mark.parametrize(
    "edit",
    [
        said_in_a_code("CodeMeaning", f"for {FAMILY}"),
        said_in_a_code("CodingSchemeDesignator", "99ACME"),
        said_in_a_code("CodingSchemeVersion", "1"),
    ],
)
def test_a_code_that_says_more_than_the_standard(clean: Clean, edit: Edit) -> None:
    assert {rule for _, rule, _ in clean().found(edit)} == {
        "no code of a method but those of CID 7050"
    }


def test_file_meta_names_another_object(clean: Clean) -> None:
    cleaned = clean()
    content = cleaned.output.read_bytes()
    uid = content[content.index(b"2.25.") :][:8]
    spoilt = cleaned.folder / "spoilt.dcm"
    spoilt.write_bytes(content.replace(uid, b"2.25.999", 1))
    report = inspect([Output(cleaned.raw, spoilt)], [cleaned.raw], cleaned.profile, pixels=False)
    assert "file meta names the object, and the preamble is empty" in {
        finding.rule for finding in report.findings
    }


def test_a_recipe_goes_before_the_table(clean: Clean) -> None:
    cleaned = clean()
    spoilt = Output(cleaned.raw, cleaned.folder / "spoilt.dcm")
    cleaned.inspect(put("PatientAddress", "REMOVED"))
    report = inspect(
        [spoilt], [cleaned.raw], cleaned.profile, overridden=frozenset({0x00101040}), pixels=False
    )
    assert report.findings == ()
