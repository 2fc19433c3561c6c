"""Each check can fail: what is planted in an output is found, by kind and place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.gate import Output, conformance, inspect
from hounsfield.gate.search import Search
from hounsfield.gate.sentinels import Sentinels
from tests.gate.conftest import Cleaned, Edit
from tests.quality.conftest import CANARIES

FAMILY, GIVEN, PATIENT_ID, ACCESSION, BIRTH, STREET, ROOT = CANARIES
Clean = Callable[..., Cleaned]
UID = f"{ROOT}.1"


def put(keyword: str, value: object) -> Edit:
    return lambda dataset: setattr(dataset, keyword, value)


def test_what_is_clean_passes(clean: Clean) -> None:
    report = clean().inspect()
    assert report.findings == () and report.verdict == "passed"
    assert [check.name for check in report.checks] == [
        *("sentinels", "standard", "conformance", "pixels")
    ]
    assert "person 2" in report.checks[0].note


@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_every_profile_passes_its_own_gate(clean: Clean, profile: str) -> None:
    assert clean(profile=profile).inspect().findings == ()


def test_what_stands_in_two_objects_is_found_in_both(clean: Clean) -> None:
    """It is searched once, and reported of each."""
    one = clean()
    paths = []
    for number in (1, 2):
        dataset = read_header(one.output, stop_before_pixels=False)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
        dataset.SeriesDescription = FAMILY
        paths.append(one.folder / f"{number}.dcm")
        write_dataset(dataset, paths[-1])
    outputs = [Output(one.raw, path) for path in paths]
    report = inspect(outputs, [one.raw], one.profile, pixels=False)
    found = [f for f in report.findings if f.rule == "person"]
    assert sum(f.count for f in found) == 2


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("person", FAMILY),
        ("person", f"thorax {FAMILY.title()} 2"),
        ("person", f"x{FAMILY.lower()}y"),
        ("person", f"{GIVEN},{FAMILY}"),
        ("person", f"{FAMILY[:3]}\u00ad{FAMILY[3:]}"),
        ("person", f"{GIVEN[0]}{FAMILY} knee"),
        ("person", f"{FAMILY[:4]} {FAMILY[4:]} knee"),
        ("person", f"{FAMILY[:4]}\r\n{FAMILY[4:]}"),
        ("patient ID", f"MRN {PATIENT_ID}"),
        ("patient ID", PATIENT_ID.replace("-", "_")),
        ("order", ACCESSION),
        ("date", "seen 1947-08-23"),
        ("date", "23.08.1947"),
        ("date", "08/23/1947"),
        ("date", "23 Aug 1947"),
        ("date", "August 23rd, 1947"),
        ("date", "born 23.8.47"),
        ("date", "1947-Aug-23"),
        ("date", "1947:08:23"),
        ("date", "23.8. 1947"),
        ("date", "8 / 23 / 1947"),
        ("date", "23-VIII-47"),
        ("date", "1947-235"),
        ("date", "S22.8.23"),
        ("date", "August the 23rd 1947"),
        ("date", f"D{BIRTH}"),
        ("address", f"{STREET} 3"),
        ("institution", "Finkenwerder-Klinik"),
        ("device", "KANARISTATION"),
        ("device", "CNRY SERIAL 9"),
        ("UID", f"see {UID}"),
        ("UID", f"{UID}.77"),
    ],
)
def test_a_sentinel_in_a_text(clean: Clean, kind: str, text: str) -> None:
    found = clean().found(put("SeriesDescription", text))
    assert ("sentinels", kind, "SeriesDescription (0008,103E)") in found


def test_no_text_takes_long() -> None:
    search = Search(Sentinels(uids={"1.2.3"}))
    began = time.process_time()
    assert not search.text("9.8." * 20_000) and search.is_uid("1.2.3" + ".4" * 90)
    assert time.process_time() - began < 1


def test_words_of_the_examination_are_no_name_in_parts() -> None:
    search = Search(Sentinels(texts={"person": {"Chester^Al"}}))
    assert search.text("CHES TER") and not search.text("CHEST ER")
    search = Search(Sentinels(texts={"person": {"Ma^Tom"}}))
    assert search.text("MATOM") and search.text("ma, tom 2") and not search.text("SOMATOM")
    assert search.text("T. MA") and search.text("ma t") and not search.text("200 mA T2")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        *(("55220", True), ("55221", False), ("5.522", False)),
        *(("-00055220", True), ("55220.0", True), ("5.522e4", True), ("5.522e-4", False)),
    ],
)
def test_a_number_of_five_digits_as_a_number(clean: Clean, value: str, found: bool) -> None:
    for keyword in ("SeriesNumber", "TotalPixelMatrixColumns") if value.isdigit() else ("KVP",):
        kinds = {
            rule
            for check, rule, _ in clean(put("PatientID", "55220")).found(
                put(keyword, int(value) if value.isdigit() else value)
            )
            if check == "sentinels"
        }
        assert kinds == ({"patient ID"} if found else set())


@pytest.mark.parametrize("value", [55220.0, -55220.0])
def test_a_number_of_five_digits_as_a_float(clean: Clean, value: float) -> None:
    one = clean(put("PatientID", "55220"))
    for keyword in ("DiffusionBValue", "ReferencePixelPhysicalValueX"):
        assert any(rule == "patient ID" for _, rule, _ in one.found(put(keyword, value)))
        assert not any(rule == "patient ID" for _, rule, _ in one.found(put(keyword, value + 0.5)))


def test_a_name_parted_over_values(clean: Clean) -> None:
    for text in ([FAMILY[:4], FAMILY[4:]], ["A", FAMILY[:2], FAMILY[2:], "B"]):
        found = clean().found(put("SoftwareVersions", text))
        assert ("sentinels", "person", "SoftwareVersions (0018,1020)") in found


def test_a_name_that_control_characters_part(clean: Clean) -> None:
    for text in (f"{FAMILY[:3]}\x07{FAMILY[3:]}", f"{FAMILY}\0T1", f"T1\x85{FAMILY}"):
        assert ("sentinels", "person", SERIES) in clean().found(put("SeriesDescription", text))


SERIES = "SeriesDescription (0008,103E)"
#: The patient's number, as a file of the other order of bytes has it.
SWAPPED = int.from_bytes((740913).to_bytes(4, "big"), "little")


def short_identifiers(dataset: FileDataset) -> None:
    dataset.PatientID, dataset.AccessionNumber, dataset.StudyID = "731", "A42", "001"
    dataset.StudyDescription = "CT head 731 A42"


@pytest.mark.parametrize(
    ("kind", "text"),
    [("patient ID", "CT head 731"), ("order", "CT, a42"), ("visit", "T1_001")],
)
def test_a_short_identifier_in_a_text(clean: Clean, kind: str, text: str) -> None:
    one = clean(short_identifiers)
    assert one.found() == set()
    assert f"{kind} 1" in one.inspect().checks[0].note
    assert one.found(put("SeriesDescription", text)) == {("sentinels", kind, SERIES)}


def made_elsewhere(dataset: FileDataset) -> None:
    """Numbers that are the patient's by chance; the makers of private blocks number them."""
    dataset.KVP, dataset.SeriesNumber = "731", 731
    dataset.SeriesDescription = "7310 731a x731 CT 0010"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "001"]
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x05, "SS", 731)


def test_a_short_identifier_is_none_in_a_number(clean: Clean) -> None:
    found = clean(short_identifiers).found(made_elsewhere)
    assert {rule for check, rule, _ in found if check == "sentinels"} == set()


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (put("SeriesNumber", 740913), "SeriesNumber (0020,0011)"),
        (put("SpacingBetweenSlices", "740913"), "SpacingBetweenSlices (0018,0088)"),
        (put("SequenceName", "fl3d_P740913x"), "SequenceName (0018,0024)"),
        (put("ReferencedSOPClassUID", "1.2.276.740913.1"), "ReferencedSOPClassUID (0008,1150)"),
        (put("SOPClassesInStudy", "1.2.276.7409131"), ""),
        (put("SeriesNumber", 1740913), ""),
        (put("TotalPixelMatrixColumns", 740913), "TotalPixelMatrixColumns (0048,0006)"),
        (put("TotalPixelMatrixColumns", SWAPPED), "TotalPixelMatrixColumns (0048,0006)"),
        (put("TotalPixelMatrixColumns", 740914), ""),
    ],
)
def test_a_long_number_as_a_number(clean: Clean, edit: Edit, place: str) -> None:
    """Also in the UID of a class: that of an object is looked for as a whole."""
    found = clean(put("PatientID", "MRN-740913")).found(edit)
    sentinels = {finding for finding in found if finding[0] == "sentinels"}
    assert sentinels == ({("sentinels", "patient ID", place)} if place else set())


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("O'Brien^Sean", "OBrien"),
        ("van der Berg^Piet", "vanderberg"),
        ("Müller^Eva", "MULLER"),
        ("Müller^Eva", "Mueller"),
        ("Mueller^Eva", "Müller"),
        ("Łukaszewicz^Ola", "LUKASZEWICZ"),
        ("Soerensen^Bo", "Sørensen"),
        ("Đoković^Ana", "Djokovic"),
        ("Þórðarson^Jón", "Thordarson"),
        ("Li^Na", "Li Na"),
        ("İpekçi^Ali", "ipekçi"),
        ("Семенов^Пётр", "Семёнов"),
        ("김^민수", "민수"),
        ("やまだ^たろう", "ﾔﾏﾀﾞ"),
    ],
)
def test_a_name_as_others_spell_it(clean: Clean, name: str, written: str) -> None:
    def edit(dataset: FileDataset) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 192", name

    found = clean(edit).found(put("SequenceName", written))
    assert ("sentinels", "person", "SequenceName (0018,0024)") in found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CT4711HEAD", True),
        ("x4711", True),
        ("v20471100", False),
        ("47110", False),
    ],
)
def test_a_number_beside_letters(clean: Clean, text: str, found: bool) -> None:
    rules = clean(put("PatientID", "4711")).found(put("SequenceName", text))
    assert (("sentinels", "patient ID", "SequenceName (0018,0024)") in rules) == found


def operator(dataset: FileDataset) -> None:
    one, person = Dataset(), Dataset()
    person.CodeValue, person.CodeMeaning = "V7", "Vantreek, Hilde"
    one.PersonIdentificationCodeSequence = [person]
    dataset.OperatorIdentificationSequence = [one]


def test_whom_a_code_names(clean: Clean) -> None:
    found = clean(operator).found(put("SequenceName", "vantreek t1"))
    assert ("sentinels", "person", "SequenceName (0018,0024)") in found


@pytest.mark.parametrize("keyword", ["PatientTelecomInformation", "FillerOrderNumberProcedure"])
def test_whatever_else_tells_whose_it_is(clean: Clean, keyword: str) -> None:
    one = clean(put(keyword, "040-7654999"))
    assert one.found(put("SequenceName", "040 7654999")) != set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seen Aug 23", True),
        ("23rd August", True),
        ("geb. 23.08.", True),
        ("08/23", True),
        ("augment 23, 23 augments", False),
        ("08/23/4, 108/23", False),
    ],
)
def test_a_day_without_its_year(clean: Clean, text: str, found: bool) -> None:
    rules = clean().found(put("SeriesDescription", text))
    assert (("sentinels", "date", SERIES) in rules) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, True) for text in ("23–08–1947", "1947\u201108\u201123", "23\u221208\u22121947")),
        *((text, True) for text in ("23·08·1947", "23∕8∕47", "47/08/23", "1947-08", "08/47")),
        *((text, True) for text in ("23 Αυγούστου 1947", "23 ΑΥΓΟΥΣΤΟΥ", "23 أغسطس", "23 באוגוסט")),
        *((text, True) for text in ("23 Ağustos 1947", "1947. augusztus 23", "23. kolovoza 1947")),
        *((text, True) for text in ("23rd of August 1947", "agosto de 1947", "23 สิงหาคม 2490")),
        *((text, False) for text in ("8/23", "1947-08-24", "24 Ağustos", "23 серпантин")),
    ],
)
def test_a_day_as_people_write_it(clean: Clean, text: str, found: bool) -> None:
    def edit(dataset: FileDataset) -> None:
        dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO_IR 192", text

    assert (("sentinels", "date", SERIES) in clean().found(edit)) == found


def test_a_number_with_a_long_dash(clean: Clean) -> None:
    def edit(dataset: FileDataset) -> None:
        dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO_IR 192", "CT 740–913"

    assert ("sentinels", "patient ID", SERIES) in clean(put("PatientID", "740913")).found(edit)


def test_a_long_identifier_in_groups(clean: Clean) -> None:
    one = clean(put("PatientID", "P123456"))
    found = one.found(put("SeriesDescription", "CT P-12-3456"))
    assert ("sentinels", "patient ID", SERIES) in found
    assert one.found(put("SeriesDescription", "CT P-12-34567")) == set()


@pytest.mark.parametrize(
    "text", ["CT THORAX 5.0 B31f", "WITSCHER", "20240102", "ACC77", "1.2.826.0.1", "KANARIEN"]
)
def test_what_is_no_sentinel_is_none(clean: Clean, text: str) -> None:
    assert clean().found(put("SeriesDescription", text)) == set()


def test_a_date_in_japanese(clean: Clean) -> None:
    def edit(dataset: FileDataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.SeriesDescription = "1947年8月23日"

    assert ("sentinels", "date", "SeriesDescription (0008,103E)") in clean().found(edit)


def nested(dataset: FileDataset) -> None:
    deepest = Dataset()
    deepest.CodeMeaning = f"of {FAMILY}"
    middle = Dataset()
    middle.PurposeOfReferenceCodeSequence = Sequence([deepest])
    dataset.ReferencedImageSequence = Sequence([middle])


def private(vr: str, value: Any) -> Edit:
    def edit(dataset: FileDataset) -> None:
        block = dataset.private_block(0x0009, "KNOWN TO NOBODY", create=True)
        block.add_new(0x10, vr, value)

    return edit


def private_sequence(dataset: FileDataset) -> None:
    item = Dataset()
    item.add_new(0x00091020, "LO", FAMILY)
    private("SQ", Sequence([item]))(dataset)


def test_in_a_sequence(clean: Clean) -> None:
    place = "ReferencedImageSequence > PurposeOfReferenceCodeSequence > CodeMeaning (0008,0104)"
    assert ("sentinels", "person", place) in clean().found(nested)


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (private("LO", FAMILY), "(0009,1010)"),
        (private("UN", f"a {FAMILY} b ".encode()), "(0009,1010)"),
        (private("OB", FAMILY.encode("utf-16-le")), "(0009,1010)"),
        (private("OB", b"\0" * 999 + FAMILY.encode("utf-16-be") + b"\0"), "(0009,1010)"),
        (private_sequence, "(0009,1010) > (0009,1020)"),
    ],
    ids=["text", "unknown", "utf-16", "far into bytes", "sequence"],
)
def test_in_a_private_element(clean: Clean, edit: Edit, place: str) -> None:
    found = clean().found(edit)
    assert ("sentinels", "person", place) in found
    assert any(rule.startswith("no private element") for _, rule, _ in found)


def test_in_file_meta(clean: Clean) -> None:
    def edit(dataset: FileDataset) -> None:
        dataset.file_meta.SourceApplicationEntityTitle = FAMILY

    place = "SourceApplicationEntityTitle (0002,0016)"
    assert ("sentinels", "person", place) in clean().found(edit)


def test_in_the_preamble(clean: Clean) -> None:
    def edit(dataset: FileDataset) -> None:
        dataset.preamble = FAMILY.encode().ljust(128, b"\0")

    found = clean().found(edit)
    assert ("sentinels", "person", "preamble") in found
    assert any(place == "preamble" and check == "standard" for check, _, place in found)


def test_in_the_header_of_a_compressed_frame(clean: Clean) -> None:
    """A JPEG's comment, before the picture itself."""
    from pydicom.encaps import encapsulate

    frame = b"\xff\xd8\xff\xfe\x00\x20" + FAMILY.encode().ljust(30) + b"\xff\xda" + bytes(200)
    after = b"\xff\xd8\xff\xfe\x00\x20" + bytes(30) + b"\xff\xda" + FAMILY.encode() + bytes(50)

    def edit(content: bytes) -> Edit:
        def change(dataset: FileDataset) -> None:
            dataset.file_meta.TransferSyntaxUID = RLELossless
            dataset.PixelData = encapsulate([content])
            dataset["PixelData"].is_undefined_length = True

        return change

    place = "PixelData (7FE0,0010)"
    assert ("sentinels", "person", place) in clean().found(edit(frame))
    assert ("sentinels", "person", place) not in clean().found(edit(after)), "picture data"


#: Names in the charsets that patients have, and how a text of that charset is written.
SCRIPTS = {
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "길동"),
    "chinese": (["GB18030"], "Wang^XiaoDong=王^小东", "小东"),
    "greek": (["ISO_IR 126"], "Διονυσιος", "Διονυσιος"),
    "russian": (["ISO_IR 144"], "Люкceмбypг", "Люкceмбypг"),
    "arabic": (["ISO_IR 127"], "قباني^لنزار", "قباني"),
    "hebrew": (["ISO_IR 138"], "שרון^דבורה", "דבורה"),
    "polish": (["ISO_IR 101"], "Żółcibrzęk^Ola", "Żółcibrzęk"),
    "any": (["ISO_IR 192"], "Grünspåhn^Zoë", "Grünspåhn"),
}


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest, clean: Clean) -> tuple[Cleaned, list[str], str]:
    charset, name, part = SCRIPTS[request.param]

    def edit(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = charset
        dataset.PatientName = name

    return clean(edit), charset, part


def test_in_the_charset_of_the_study(script: tuple[Cleaned, list[str], str]) -> None:
    cleaned, charset, part = script

    def edit(dataset: FileDataset) -> None:
        dataset.SpecificCharacterSet = charset
        dataset.SeriesDescription = f"CT {part} 3"

    assert cleaned.found() == set()
    assert ("sentinels", "person", "SeriesDescription (0008,103E)") in cleaned.found(edit)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "gb18030"])
def test_in_another_charset_as_bytes(script: tuple[Cleaned, list[str], str], encoding: str) -> None:
    cleaned, _, part = script
    content = b"\x01\x02" + part.encode(encoding) + b"\x03\x04"
    assert ("sentinels", "person", "(0009,1010)") in cleaned.found(private("UN", content))


def test_in_a_text_whose_charset_is_named_wrongly(clean: Clean) -> None:
    """UTF-8 in what says to be Latin-1."""

    def name(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = "Grünspåhn^Zoë"

    def edit(dataset: FileDataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.SeriesDescription = "Grünspåhn".encode().decode("latin-1")

    assert ("sentinels", "person", "SeriesDescription (0008,103E)") in clean(name).found(edit)


def test_a_name_that_is_a_word_is_known_beside_the_other(clean: Clean) -> None:
    cleaned = clean(put("PatientName", "Head^Long"))
    assert cleaned.found(put("SeriesDescription", "HEAD 5MM")) == set()
    found = cleaned.found(put("SeriesDescription", "for Long, Head"))
    assert ("sentinels", "person", "SeriesDescription (0008,103E)") in found


def test_a_date_that_stayed_where_it_was(clean: Clean) -> None:
    found = clean().found(put("StudyDate", "20240101"))
    assert ("sentinels", "date", "StudyDate (0008,0020)") in found


@pytest.mark.parametrize(
    ("keyword", "value", "found"),
    [
        ("SeriesNumber", 19470823, True),
        ("SeriesNumber", 19470824, False),
        ("ContentTime", "19470823", True),
        ("ContentTime", "194708", False),
    ],
)
def test_a_date_as_a_number_or_a_time(
    clean: Clean, keyword: str, value: object, found: bool
) -> None:
    rules = {rule for check, rule, _ in clean().found(put(keyword, value)) if check == "sentinels"}
    assert rules == ({"date"} if found else set())


def test_a_uid_that_stayed(clean: Clean) -> None:
    found = clean().found(put("FrameOfReferenceUID", f"{ROOT}.4"))
    assert ("sentinels", "UID", "FrameOfReferenceUID (0020,0052)") in found


def test_what_the_profile_retains_is_no_secret(clean: Clean) -> None:
    cleaned = clean(profile="internal")
    assert cleaned.found(put("SeriesDescription", "Finkenwerder Klinik")) == set()
    assert cleaned.found(put("SeriesDescription", FAMILY)) != set()


# What the Standard asks.


def drop(keyword: str) -> Edit:
    return lambda dataset: delattr(dataset, keyword)


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


def test_a_file_that_the_second_reader_cannot_read(clean: Clean) -> None:
    cleaned = clean()
    spoilt = cleaned.folder / "spoilt.dcm"
    spoilt.write_bytes(cleaned.output.read_bytes()[:-300])
    report = inspect([Output(cleaned.raw, spoilt)], [cleaned.raw], cleaned.profile, pixels=False)
    assert report.verdict == "doubtful"


def test_a_recipe_goes_before_the_table(clean: Clean) -> None:
    cleaned = clean()
    spoilt = Output(cleaned.raw, cleaned.folder / "spoilt.dcm")
    cleaned.inspect(put("PatientAddress", "REMOVED"))
    report = inspect(
        [spoilt], [cleaned.raw], cleaned.profile, overridden=frozenset({0x00101040}), pixels=False
    )
    assert report.findings == ()


# dciodvfy.


@pytest.mark.server
def test_objects_of_another_structure_are_judged_too(
    clean: Clean, need_program: Callable[[str], str]
) -> None:
    """In a series of many, one whose output lacks what the others have."""
    need_program("dciodvfy")
    cleaned = clean()
    spoilt = Output(cleaned.raw, cleaned.folder / "spoilt.dcm")
    cleaned.inspect(drop("KVP"))
    good = Output(cleaned.raw, cleaned.output)
    report = inspect([good, good, spoilt], [cleaned.raw], cleaned.profile, pixels=False)
    assert [finding.place for finding in report.findings] == ["KVP in CTImage"]
    looked_at = {check.name: check.looked_at for check in report.checks}
    assert looked_at["conformance"] == 2


@pytest.mark.server
def test_an_error_that_the_input_did_not_have(
    clean: Clean, need_program: Callable[[str], str]
) -> None:
    need_program("dciodvfy")
    cleaned = clean()
    found = cleaned.found(drop("KVP"))
    errors = {(rule, place) for check, rule, place in found if check == "conformance"}
    assert errors == {("Missing attribute Type 2 Required Element", "KVP in CTImage")}
    # The input has it too: then it is not ours.
    both = clean(drop("KVP"))
    assert {check for check, _, _ in both.found()} <= {"sentinels", "standard"}


def test_where_it_is_not_installed_that_is_said(
    clean: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "program", lambda: None)
    report = clean().inspect(drop("KVP"))
    (check,) = (check for check in report.checks if check.name == "conformance")
    assert check.note == "not made: dciodvfy is not installed" and report.passed
    strict = clean().inspect(drop("KVP"), need_dciodvfy=True)
    assert not strict.passed
    assert "dciodvfy is not installed" in {finding.rule for finding in strict.findings}


def test_it_gets_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the project key."""
    monkeypatch.setenv("HOUNSFIELD_PROJECT_KEY", "4711")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "4711")
    tool = tmp_path / "dciodvfy"
    tool.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\n")
    tool.chmod(0o700)
    assert conformance.compare(str(tool), tool, tool, "") == []
    names = {line.split("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert "PATH" in names
    assert names <= {"PATH", "LANG", "LC_ALL", "PWD", "SHLVL", "OLDPWD", "_"}


@pytest.mark.server
def test_what_it_quotes_is_not_told(clean: Clean, need_program: Callable[[str], str]) -> None:
    need_program("dciodvfy")

    def edit(dataset: FileDataset) -> None:
        dataset[0x00080020] = DataElement(0x00080020, "DA", FAMILY, already_converted=True)
        dataset.PatientSex = FAMILY
        dataset.BodyPartExamined = f"{FAMILY} {GIVEN}"

    report = clean().inspect(edit)
    assert {finding.check for finding in report.findings} >= {"conformance", "sentinels"}
    told = json.dumps(report.to_dict()).upper()
    assert not [canary for canary in CANARIES if canary.upper() in told]
