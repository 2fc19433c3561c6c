"""An age over 89 in content items is one of 90, however it is called; a birth date is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import EnhancedSRStorage

from hounsfield.deid import (
    Deidentifier,
    HeaderRecord,
    KnownIdentifiers,
    Profile,
    patient_identity,
)
from hounsfield.dicom.reading import read_header
from hounsfield.pseudonyms import Pseudonyms
from tests.quality.conftest import ct_slice, save

Make = Callable[..., FileDataset]
Code = tuple[str, str, str]
SUBJECT_AGE, AGE = ("121033", "DCM", "Subject Age"), ("397669002", "SCT", "Age")
OURS, LENGTH = ("A1", "99ME", "Patient age"), ("410668003", "SCT", "Length")


def coded(code: Code) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return Sequence([item])


def number(concept: Code, value: str, unit: str) -> Dataset:
    measured = Dataset()
    measured.NumericValue = value
    measured.FloatingPointValue = float(value)
    measured.MeasurementUnitsCodeSequence = coded((unit, "UCUM", unit))
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "NUM"
    item.ConceptNameCodeSequence = coded(concept)
    item.MeasuredValueSequence = Sequence([measured])
    return item


def report(make_dataset: Make, item: Dataset) -> FileDataset:
    """The item two levels deep."""
    container = Dataset()
    container.RelationshipType, container.ValueType = "CONTAINS", "CONTAINER"
    container.ContentSequence = Sequence([item])
    return make_dataset(
        SOPClassUID=EnhancedSRStorage, Modality="SR", ContentSequence=Sequence([container])
    )


def run(dataset: FileDataset, pseudonyms: Pseudonyms) -> tuple[HeaderRecord, Dataset]:
    """What was done, and the number that is left."""
    engine = Deidentifier(Profile.load("internal"), pseudonyms)
    record = engine.header(dataset, KnownIdentifiers())
    return record, dataset.ContentSequence[0].ContentSequence[0].MeasuredValueSequence[0]


@pytest.mark.parametrize("concept", [SUBJECT_AGE, AGE, OURS])
@pytest.mark.parametrize(
    ("value", "unit", "left"),
    [
        ("95", "a", 90),
        ("1100", "mo_j", 1080),
        ("95.5", "year", 90),
        ("1200", "mo", 1080),
        ("36000", "d", 32850),
    ],
)
def test_an_age_over_89_is_capped(
    concept: Code, value: str, unit: str, left: int, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    record, measured = run(report(make_dataset, number(concept, value, unit)), pseudonyms)
    assert measured.NumericValue == left
    assert "FloatingPointValue" not in measured
    assert record.actions["age capped"] == 2  # PatientAge is the other


@pytest.mark.parametrize(
    ("concept", "value", "unit"),
    [(AGE, "89", "a"), (SUBJECT_AGE, "1000", "mo"), (LENGTH, "95", "mm")],
)
def test_another_number_stays(
    concept: Code, value: str, unit: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    _, measured = run(report(make_dataset, number(concept, value, unit)), pseudonyms)
    assert measured.NumericValue == float(value) == measured.FloatingPointValue


def test_each_slice_that_tells_an_age_is_capped(tmp_path: Path, pseudonyms: Pseudonyms) -> None:
    """What is done for one slice is repeated for the next, which tells another age."""
    paths = []
    for index, age in enumerate(("95", "96", "97")):
        dataset = ct_slice(index)
        dataset.ContentSequence = Sequence([number(SUBJECT_AGE, age, "a")])
        paths.append(save(dataset, tmp_path / f"{index}.dcm"))
    engine = Deidentifier(Profile.load("internal"), pseudonyms, pixels=False)
    written = engine.study(paths, tmp_path / "out").written
    outputs = [read_header(tmp_path / "out" / str(record.output)) for record in written]
    items = [output.ContentSequence[0].MeasuredValueSequence[0] for output in outputs]
    assert [item.NumericValue for item in items] == [90, 90, 90]
    assert {record.actions["age capped"] for record in written} == {1}


@pytest.mark.parametrize("keyword", ["AcquisitionContextSequence", "ProtocolContextSequence"])
def test_an_age_that_stands_in_the_item_itself_is_capped(
    keyword: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """As content items have it elsewhere than in reports (PS3.3 Table 10-2)."""
    item = number(SUBJECT_AGE, "95", "a").MeasuredValueSequence[0]
    item.ConceptNameCodeSequence = coded(SUBJECT_AGE)
    dataset = make_dataset(**{keyword: Sequence([item])})
    Deidentifier(Profile.load("internal"), pseudonyms).header(dataset, KnownIdentifiers())
    assert dataset[keyword].value[0].NumericValue == 90


def test_an_age_that_is_to_be_shown_is_capped(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = make_dataset(SelectorASValue="095Y")
    Deidentifier(Profile.load("research"), pseudonyms).header(dataset, KnownIdentifiers())
    assert dataset.SelectorASValue == "090Y"


@pytest.mark.parametrize(
    ("concept", "left"),
    [
        (("121031", "DCM", "Subject Birth Date"), "19000101"),
        (("B1", "99ME", "Geburtsdatum"), "19000101"),
        (("111060", "DCM", "Study Date"), None),
    ],
)
def test_a_birth_date_goes(
    concept: Code, left: str | None, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """Shifted as the study's own date is, it would tell the age to the day."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "HAS OBS CONTEXT", "DATE"
    item.ConceptNameCodeSequence, item.Date = coded(concept), "19310407"
    dataset = report(make_dataset, item)
    Deidentifier(Profile.load("internal"), pseudonyms).header(dataset, KnownIdentifiers())
    days = pseudonyms.shift_days(*patient_identity(make_dataset()))
    (cleaned,) = dataset.ContentSequence[0].ContentSequence
    assert cleaned.Date == (left or pseudonyms.shift_date("19310407", days))


def test_content_without_a_number_is_left_alone(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    item = number(SUBJECT_AGE, "95", "a")
    item.MeasuredValueSequence = Sequence([Dataset()])
    _, measured = run(report(make_dataset, item), pseudonyms)
    assert len(measured) == 0


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x0040A043, "LO", b"Subject Age "),
        (0x0040A043, "SQ", b"\xfe\xff\x00"),
        (0x0040A30A, "DS", b"9-5 "),
    ],
)
def test_an_item_that_cannot_be_read_costs_no_object(
    tag: int, vr: str, value: bytes, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """What of it is no concept goes, as anything malformed; what is no number is no age."""
    item = number(SUBJECT_AGE, "95", "a").MeasuredValueSequence[0]
    item.ConceptNameCodeSequence = coded(SUBJECT_AGE)
    item[tag] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
    dataset = make_dataset(AcquisitionContextSequence=Sequence([item]))
    Deidentifier(Profile.load("internal"), pseudonyms).header(dataset, KnownIdentifiers())
    (left,) = dataset.AcquisitionContextSequence
    assert "ConceptNameCodeSequence" not in left or left.NumericValue == 90
