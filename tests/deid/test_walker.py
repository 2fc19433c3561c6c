from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import dcmread
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    PositronEmissionTomographyImageStorage,
    SegmentationStorage,
)

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile, Recipe
from hounsfield.deid.values import strings
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]


def run(dataset: FileDataset, profile: str, pseudonyms: Pseudonyms) -> FileDataset:
    known = KnownIdentifiers.gather([dataset])
    Deidentifier(Profile.load(profile), pseudonyms).header(dataset, known)
    return dataset


def test_strict_leaves_a_pseudonym_and_no_dates(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = run(make_dataset(), "strict", pseudonyms)
    key = pseudonyms.patient_key("MRN-740913")
    assert dataset.PatientID == str(dataset.PatientName) == key
    assert not dataset.StudyDate
    assert not dataset.PatientBirthDate
    assert "StudyDescription" not in dataset
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.LongitudinalTemporalInformationModified == "REMOVED"
    assert dataset.Manufacturer == "Made Up Imaging"


def test_research_keeps_what_is_useful(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = run(make_dataset(), "research", pseudonyms)
    assert dataset.StudyDescription == "CT Chest for"
    assert dataset.SeriesDescription == "Lung 1.25mm seen by Dr"
    assert dataset.ProtocolName == "Thorax routine"
    assert dataset.PatientAge == "090Y"
    assert dataset.PatientSex == "F"
    assert dataset.StudyTime == "101112.5"
    assert "InstitutionName" not in dataset


def test_dates_move_together_and_times_stay(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = run(make_dataset(SeriesDate="20240302"), "research", pseudonyms)
    days = pseudonyms.shift_days("MRN-740913")
    assert dataset.StudyDate == dataset.ContentDate == pseudonyms.shift_date("20240229", days)
    assert dataset.SeriesDate == pseudonyms.shift_date("20240302", days)
    assert dataset.AcquisitionDateTime == f"{dataset.StudyDate}101112.500000+0100"


@pytest.mark.parametrize("broken", ["2024", "notadate", "20241399", "20240229-20240301"])
def test_a_date_that_cannot_be_shifted_goes(
    broken: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset(StudyDate=broken)
    deidentifier = Deidentifier(Profile.load("research"), pseudonyms)
    record = deidentifier.header(dataset, KnownIdentifiers())
    assert broken not in str(dataset.get("StudyDate", ""))
    assert record.actions["date unreadable"] + record.actions["malformed"] == 1


def test_uids_change_the_same_way_everywhere(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = "1.2.3.4.5.1"
    dataset = make_dataset(
        ReferencedImageSequence=Sequence([item]),
        FrameOfReferenceUID="1.2.840.10008.1.4.1.1",
        IrradiationEventUID=["1.2.3.9", "1.2.3.10"],
    )
    run(dataset, "strict", pseudonyms)
    reference = dataset.ReferencedImageSequence[0]
    assert dataset.SOPInstanceUID == pseudonyms.uid("1.2.3.4.5.1")
    assert reference.ReferencedSOPInstanceUID == dataset.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert dataset.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"  # the Standard's own
    assert list(dataset.IrradiationEventUID) == [
        pseudonyms.uid("1.2.3.9"),
        pseudonyms.uid("1.2.3.10"),
    ]


def test_an_instance_under_the_roots_of_the_standard_gets_a_new_uid(
    make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """Some scanners make them of the SOP Class, the date and the patient's number."""
    uid = "1.2.840.10008.5.1.4.1.1.7.20240229.101112.740913"
    dataset = run(make_dataset(SOPInstanceUID=uid, StudyInstanceUID=uid), "research", pseudonyms)
    assert dataset.SOPInstanceUID == dataset.StudyInstanceUID == pseudonyms.uid(uid)


@pytest.mark.parametrize(
    ("keyword", "value", "stays"),
    [
        ("SeriesNumber", "20240229", False),
        ("AcquisitionNumber", "19310407", False),
        ("SeriesNumber", "20240229101112.", False),
        ("SeriesNumber", "20240301", True),  # no day of this study
        ("SeriesNumber", "120240229", True),
        ("AcquisitionTime", "20240229101112", False),
        ("ContentTime", "19310407", False),
        ("ContentTime", "740913", False),  # no hour
        ("ContentTime", "107413", False),
        ("ContentTime", "9:30", True),
        ("ContentTime", "10:11:12.5", True),
        ("ContentTime", "101112.000000", True),
    ],
)
def test_no_date_stays_as_a_number_or_a_time(
    keyword: str, value: str, stays: bool, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset, tag = make_dataset(), Tag(keyword)
    vr = "TM" if keyword.endswith("Time") else "IS"
    dataset[tag] = RawDataElement(tag, vr, len(value), value.encode(), 0, False, True)
    run(dataset, "research", pseudonyms)
    assert (str(dataset.get(keyword, "")) == value) == stays


@pytest.mark.parametrize(
    ("keyword", "value", "stays"),
    [
        ("SeriesNumber", "740913", False),
        ("SpacingBetweenSlices", "740913", False),
        ("SeriesNumber", "740914", True),
        ("SeriesNumber", "1740913", True),
        ("SpacingBetweenSlices", "740913.5", True),
        ("InstanceNumber", "55220", False),
        ("InstanceNumber", "55221", True),
        ("TotalPixelMatrixColumns", 740913, False),
        ("TotalPixelMatrixColumns", 55220, False),
        ("TotalPixelMatrixColumns", 20240229, False),
        ("TotalPixelMatrixColumns", 740914, True),
        ("DimensionIndexValues", [1, 55220], False),
        ("DimensionIndexValues", [1, 55221], True),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_no_number_of_the_patient_stays_as_a_number(
    keyword: str, value: object, stays: bool, raw: bool, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset(**{keyword: value}, AccessionNumber="A055220")
    if raw:
        buffer = BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        buffer.seek(0)
        dataset = dcmread(buffer)
    run(dataset, "research", pseudonyms)
    assert (dataset.get(keyword) == make_dataset(**{keyword: value})[keyword].value) == stays


@pytest.mark.parametrize(("profile", "left"), [("research", "chest"), ("strict", "REMOVED")])
def test_what_is_to_be_shown_names_no_stranger(
    profile: str, left: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = run(make_dataset(SelectorUCValue="chest of Vantreek"), profile, pseudonyms)
    assert "Vantreek" not in dataset.get("SelectorUCValue", "")
    assert left in dataset.get("SelectorUCValue", left)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(("value", "stays"), [("Vantreek", False), ("120.5", True)])
def test_a_number_is_one_also_where_its_vr_says_text(
    value: str, stays: bool, raw: bool, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """Text is looked at for what is known; a stranger's name is told by its form alone."""
    dataset, tag = make_dataset(), Tag("KVP")
    dataset[tag] = DataElement(tag, "LO", value)
    if raw:
        padded = value.encode() + b" " * (len(value) % 2)
        dataset[tag] = RawDataElement(tag, "LO", len(padded), padded, 0, False, True)
    run(dataset, "strict", pseudonyms)
    assert (str(dataset.get("KVP", "")) == value) == stays


@pytest.mark.parametrize("keyword", ["CodingSchemeUID", "ContextUID", "ReferencedSOPClassUID"])
@pytest.mark.parametrize(
    ("uid", "stays"),
    [
        ("1.2.276.740913.1", False),
        ("1.2.276.19310407", False),
        ("2.16.840.1.113883.6.96", True),
        ("1.3.46.670589.11.0.0.12.1", True),
    ],
)
def test_a_class_that_no_table_lists_has_no_number_of_the_patient(
    keyword: str, uid: str, stays: bool, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    item = Dataset()
    setattr(item, keyword, uid)
    dataset = run(make_dataset(AnatomicRegionSequence=[item]), "strict", pseudonyms)
    assert (dataset.AnatomicRegionSequence[0].get(keyword) == uid) == stays


@pytest.mark.parametrize(
    ("profile", "person"),
    [("strict", "VANTREEK"), ("research", "VANTREEK"), ("internal", "QUILLFEATHER")],
)
def test_nobody_stands_in_the_name_of_a_layer(
    profile: str, person: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    layer, drawn = Dataset(), Dataset()
    layer.GraphicLayer = drawn.GraphicLayer = person
    layer.GraphicLayerOrder, drawn.TextObjectSequence = 1, [Dataset()]
    dataset = make_dataset(
        SOPClassUID=GrayscaleSoftcopyPresentationStateStorage,
        GraphicLayerSequence=[layer],
        GraphicAnnotationSequence=[drawn],
    )
    run(dataset, profile, pseudonyms)
    assert person not in str(dataset)
    declared = dataset.GraphicLayerSequence[0].GraphicLayer
    assert declared == "REMOVED"
    assert dataset.GraphicAnnotationSequence[0].GraphicLayer == declared


@pytest.mark.parametrize(
    ("code", "scheme", "meaning", "left"),
    [
        ("121008", "DCM", "Person Observer Name", "Person Observer Name"),
        ("121008", "DCM", "Observer Vantreek, Hilde", "Observer"),
        ("T-A0100", "SRT", "Vantreek", ""),
        ("uV", "UCUM", "microvolt", "microvolt"),
        ("2:1", "MDC", "Lead I (Einthoven)", "Lead I (Einthoven)"),
        ("1", "SCT", "Vantreek sign", "Vantreek sign"),  # whose words nobody knows here
        ("121008", "99SITE", "Person Observer Vantreek", "Observer"),
    ],
)
def test_the_meaning_of_a_code_is_its_own(
    code: str, scheme: str, meaning: str, left: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, meaning
    dataset = run(make_dataset(ProcedureCodeSequence=[item]), "research", pseudonyms)
    assert dataset.ProcedureCodeSequence[0].CodeMeaning == (left or "REMOVED")


@pytest.mark.parametrize(
    ("number", "stays"),
    [
        *(("740913", False), ("000740913", False), ("+740913", False), ("740913.0", False)),
        *(("-740913.", False), ("740913.5", True), ("7409130", True), ("00913", True)),
        *(("7.40913e5", False), ("740913E0", False), ("7.40913e-5", True), ("9e999", True)),
    ],
)
def test_a_number_of_the_patient_is_none_of_the_examination(
    number: str, stays: bool, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset(PatientID="740913")
    dataset[0x00180060] = RawDataElement(
        Tag(0x00180060), "DS", 10, number.ljust(10).encode(), 0, False, True, True
    )
    assert ("KVP" in run(dataset, "strict", pseudonyms)) == stays


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize(
    ("tag", "vr", "code"),
    [(0x00189087, "FD", "d"), (0x00460118, "FL", "f")],
)
@pytest.mark.parametrize(("number", "stays"), [(740913.0, False), (740914.0, True), (0.5, True)])
def test_a_number_of_the_patient_is_no_float(
    is_raw: bool,
    tag: int,
    vr: str,
    code: str,
    number: float,
    stays: bool,
    make_dataset: Make,
    pseudonyms: Pseudonyms,
) -> None:
    dataset, value = make_dataset(PatientID="740913"), struct.pack(f"<{code}", number)
    dataset[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True, True)
    assert is_raw or dataset[tag].value
    assert (tag in run(dataset, "strict", pseudonyms)) == stays


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize(
    ("keyword", "text", "left"),
    [
        ("SoftwareVersions", "Dr Vantreek", ""),
        ("SoftwareVersions", "syngo MR E11\\VB20P", "syngo MR E11\\VB20P"),
        ("SequenceName", "*tfl3d1_16ns", "*tfl3d1_16ns"),
        ("ReceiveCoilName", "Mrs. Vantreek", ""),
        ("ManufacturerModelName", "DR. Vantreek X1", ""),
        ("ManufacturerModelName", "Model@site.x", "Model@site.x"),
        ("ReceiveCoilName", "Name=Head, tech: TOF", "Name=Head, tech: TOF"),
        ("ConvolutionKernel", "B70f Prof Vantreek", "B70f"),
        ("CodeValue", "Dr Vantreek", ""),
        *(("SpecificCharacterSet", name, "") for name in ("Dr Vantreek", "VANTREEK")),
        *(("SpecificCharacterSet", name, name) for name in ("ISO-IR 192", "latin1", "GBK")),
        ("SpecificCharacterSet", "\\ISO 2022 IR 87", "\\ISO 2022 IR 87"),
        ("ScanOptions", "Vantreek, Hilde", ""),
        ("ScanOptions", "PFP\\FS_GEMS", "PFP\\FS_GEMS"),
        ("ImageType", "ORIGINAL\\PRIMARY\\ABDOM/RAD", "ORIGINAL\\PRIMARY\\ABDOM/RAD"),
        ("ImageType", "ORIGINAL\\PRIMARY\\Vantreek", "ORIGINAL\\PRIMARY\\"),
        ("ImageType", "ORIGINAL\\QUILL\\FEATHER", "REMOVED"),
        ("SoftwareVersions", "QUILL\\FEATHER", ""),
        ("PatientSex", "VANTREEK HILDE", ""),
        ("PatientSex", "Female", "Female"),
        ("SmokingStatus", "UNKNOWN", "UNKNOWN"),
        ("EthnicGroup", "Mrs Vantreek", ""),
        ("EthnicGroup", "Maori", "Maori"),
    ],
)
def test_nobody_stands_in_what_is_no_prose(
    is_raw: bool,
    keyword: str,
    text: str,
    left: str,
    make_dataset: Make,
    pseudonyms: Pseudonyms,
) -> None:
    dataset, tag, value = make_dataset(), Tag(keyword), text.encode()
    value += b" " * (len(value) % 2)
    vr = dictionary_VR(tag)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True, True)
    assert is_raw or dataset[tag].value
    run(dataset, "research", pseudonyms)
    assert "\\".join(strings(dataset[tag])) == left if tag in dataset else not left


def test_a_hospital_may_be_called_after_somebody(
    make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    called = "Dr. von Haunersches Kinderspital"
    kept = run(make_dataset(InstitutionName=called), "internal", pseudonyms)
    assert kept.InstitutionName == called


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize(
    ("tag", "vr"),
    [(0x00280106, "OB"), (0x00280106, "US"), (0x00280034, "UN"), (0x00189073, "FD")],
)
def test_among_more_numbers_than_it_has_anything_might_stand(
    is_raw: bool, tag: int, vr: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset(SelectorUSValue=[1, 2, 3], AcquisitionMatrix=[0, 256, 192, 0])
    dataset[tag] = RawDataElement(Tag(tag), vr, 16, b"Vantreek, Hilde ", 0, False, True, True)
    if not is_raw:
        assert dataset[tag].value
    run(dataset, "strict", pseudonyms)
    assert tag not in dataset
    assert dataset.SelectorUSValue == [1, 2, 3] and dataset.AcquisitionMatrix == [0, 256, 192, 0]


def test_text_cleaned_to_nothing_leaves_a_dummy_where_the_object_needs_a_value(
    make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    code, segment = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "17", "99SITE", "Hausmeister"
    segment.SegmentLabel = segment.SegmentDescription = "Hausmeister"
    segment.TrackingID = "Quillfeather"
    values = {"ContentLabel": "QUILLFEATHER", "BodyPartExamined": "QUILLFEATHER"}
    dataset = make_dataset(
        SOPClassUID=SegmentationStorage,
        ProcedureCodeSequence=[code],
        SegmentSequence=[segment],
        **values,
    )
    run(dataset, "research", pseudonyms)
    (segment,) = dataset.SegmentSequence
    assert dataset.ContentLabel == dataset.ProcedureCodeSequence[0].CodeMeaning == "REMOVED"
    assert segment.SegmentLabel == segment.TrackingID == "REMOVED"
    assert not segment.SegmentDescription and not dataset.BodyPartExamined


def test_a_tracking_id_is_a_label_and_not_prose(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    """In prose a word with a capital that is a surname too would go."""
    segment = Dataset()
    segment.TrackingID = "Spine"
    dataset = make_dataset(SOPClassUID=SegmentationStorage, SegmentSequence=[segment])
    run(dataset, "research", pseudonyms)
    assert dataset.SegmentSequence[0].TrackingID == "Spine"


@pytest.mark.parametrize(
    "keyword", ["PlacerOrderNumberImagingServiceRequestRetired", "FillerOrderNumberProcedure"]
)
def test_a_retired_number_is_looked_for_too(
    keyword: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    values = {keyword: "ORD-5150", "SequenceName": "fl3d ORD-5150"}
    dataset = run(make_dataset(**values), "research", pseudonyms)
    assert dataset.SequenceName == "fl3d"


def test_whom_a_code_names_is_looked_for_too(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    operator, person = Dataset(), Dataset()
    person.CodeValue, person.CodeMeaning = "V7", "Vantreek, Hilde"
    operator.PersonIdentificationCodeSequence = [person]
    values = {"OperatorIdentificationSequence": [operator], "SequenceName": "fl3d vantreek"}
    assert run(make_dataset(**values), "research", pseudonyms).SequenceName == "fl3d"


def test_safe_private_stays_with_its_creator_alone(
    make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset()
    safe = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    safe.add_new(0x0C, "IS", "1000")
    safe.add_new(0x08, "CS", "IMAGE NUM 4")
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"QQ")
    run(dataset, "research", pseudonyms)
    assert dataset.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 1000
    private = [element.tag for element in dataset if element.tag.is_private]
    assert len(private) == 2


def test_overlays_and_curves_go_as_whole_groups(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = make_dataset()
    for tag, vr, value in (
        (0x60000010, "US", 4),
        (0x60003000, "OW", b"\1\2"),
        (0x60024000, "LT", "words"),
        (0x50003000, "OW", b"\1\2"),
        (0x50000022, "LO", "words"),
    ):
        dataset.add_new(tag, vr, value)
    run(dataset, "internal", pseudonyms)
    assert not [e.tag for e in dataset if e.tag.group >> 8 in (0x50, 0x60)]


@pytest.mark.parametrize(
    "keyword",
    [
        *("DeviceSerialNumber", "GantryID", "DetectorID", "PlateID", "StationName"),
        *("PerformedStationName", "PerformedStationAETitle"),
        *("ScheduledStationName", "ScheduledStationAETitle"),
    ],
)
def test_what_names_a_device_is_searched_in_what_describes_it(
    keyword: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """The gate looks for each of them, and would withhold all that a detector made."""
    told = {keyword: "L03-77246", "DetectorDescription": "SN=L03-77246; boot=3.2.1.0"}
    dataset = make_dataset(**told)
    run(dataset, "strict", pseudonyms)
    assert "77246" not in dataset.DetectorDescription
    assert "boot=3.2.1.0" in dataset.DetectorDescription


@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_a_document_goes_from_what_encapsulates_it(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset(
        SOPClassUID=EncapsulatedPDFStorage,
        Modality="DOC",
        EncapsulatedDocument=b"%PDF-1.4 Quillfeather",
    )
    run(dataset, profile, pseudonyms)
    assert dataset.EncapsulatedDocument.strip(b"\0") == b"", "Type 1: it stands there, empty"


@pytest.mark.parametrize(
    ("keyword", "sop_class", "left"),
    [
        ("SeriesDate", PositronEmissionTomographyImageStorage, "dummy"),  # X/D as Type 1
        ("SeriesDate", CTImageStorage, "gone"),  # as Type 3
        ("ContentDate", KeyObjectSelectionDocumentStorage, "dummy"),  # Z/D as Type 1
        ("ContentDate", CTImageStorage, "empty"),  # as Type 2C
    ],
)
def test_the_type_in_the_iod_decides_between_compound_actions(
    keyword: str, sop_class: str, left: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """The same attribute with the same value, in objects of two kinds."""
    dataset = make_dataset(SOPClassUID=sop_class, **{keyword: "20260302"})
    run(dataset, "strict", pseudonyms)
    if left == "gone":
        assert keyword not in dataset
    elif left == "empty":
        assert dataset[keyword].is_empty
    else:
        assert dataset[keyword].value not in ("", None, "20260302")


def test_one_patient_one_pseudonym_and_another_in_another_project(make_dataset: Make) -> None:
    def key(project: str, **values: object) -> str:
        names = Pseudonyms(bytes(32), project=project)
        return str(run(make_dataset(**values), "strict", names).PatientID)

    assert key("a") == key("a", StudyInstanceUID="1.2.99")
    assert key("a") != key("b")
    assert key("a", PatientID="") != key("a", PatientID="", StudyInstanceUID="1.2.99")


@pytest.mark.parametrize("station", ["Scanomat", "SCANOMAT", "SCANOMAT\0"])
def test_a_station_named_as_its_model_does_not_take_the_model(
    station: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    named = dict.fromkeys(("StationName", "PerformedStationAETitle"), station)
    dataset = make_dataset(**named, ManufacturerModelName="Scanomat")
    assert run(dataset, "research", pseudonyms).ManufacturerModelName == "Scanomat"


def test_a_recipe_comes_before_the_tables(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    recipe = Recipe.parse(
        "FORMAT dicom\n%header\nKEEP InstitutionName\nREPLACE StationName SITE7\n"
        "REMOVE Manufacturer\nADD ClinicalTrialSiteID 07\n"
    )
    dataset = make_dataset(StationName="CT-EAST")
    deidentifier = Deidentifier(Profile.load("strict"), pseudonyms, recipe)
    deidentifier.header(dataset, KnownIdentifiers())
    assert dataset.InstitutionName == "St. Odile Infirmary"
    assert dataset.StationName == "SITE7"
    assert dataset.ClinicalTrialSiteID == "07"
    assert not dataset.get("Manufacturer")


def test_the_record_counts_and_quotes_nothing(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = make_dataset()
    record = Deidentifier(Profile.load("strict"), pseudonyms).header(dataset, KnownIdentifiers())
    assert record.actions["pseudonym"] == 2
    assert record.actions["uid"] == 3
    assert record.rules["00100010 pseudonym"] == 1
    assert "Quillfeather" not in str(record)


@given(age=st.integers(0, 999))
def test_ages_over_89_are_one_category(age: int) -> None:
    from hounsfield.deid.walker import _capped_age

    assert _capped_age(f"{age:03}Y") == (f"{age:03}Y" if age <= 89 else "090Y")
    assert _capped_age(f"{age:03}D") == f"{age:03}D"


@pytest.mark.parametrize(
    ("keyword", "vr"),
    [("PixelData", "OB"), ("FloatPixelData", "OF"), ("DoubleFloatPixelData", "OD")],
)
@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_pictures_in_sequences_go(
    keyword: str, vr: str, profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    inner, item = Dataset(), Dataset()
    inner.ReferencedFrameNumber = item.ReferencedFrameNumber = 1
    item.FrameAnatomySequence = Sequence([inner])
    dataset = make_dataset(DerivationImageSequence=Sequence([item]))
    for each in (inner, item, dataset):
        each[keyword] = DataElement(keyword, vr, bytes(64))
    record = Deidentifier(Profile.load(profile), pseudonyms).header(dataset, KnownIdentifiers())
    kept = [element.tag >> 16 for element in dataset.iterall()]
    assert kept.count(0x7FE0) == 1 and keyword in dataset
    tag = int(dataset[keyword].tag)
    assert record.rules[f"{tag:08X} removed"] == 2
    assert "DerivationImageSequence" in dataset


@pytest.mark.parametrize("tag", [0x7F020010, 0x7F120020, 0x7FE00020, 0x7FE00040, 0x00143080])
@pytest.mark.parametrize("profile", ["strict", "internal"])
def test_pictures_beside_the_pixel_data_go(
    tag: int, profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """As Variable Pixel Data was, which is retired."""
    dataset = make_dataset()
    dataset.add_new(tag, "OW", bytes(64))
    Deidentifier(Profile.load(profile), pseudonyms).header(dataset, KnownIdentifiers())
    assert tag not in dataset
