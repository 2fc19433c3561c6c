"""What tells of a patient is found in an output that it is planted in, by kind and place."""

from __future__ import annotations

import time

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from hounsfield.gate.search import Search
from hounsfield.gate.sentinels import Sentinels
from tests.gate.conftest import Clean, Cleaned, Edit, private, put
from tests.quality.conftest import CANARIES

FAMILY, GIVEN, PATIENT_ID, ACCESSION, BIRTH, STREET, ROOT = CANARIES
UID = f"{ROOT}.1"


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


@pytest.mark.parametrize(("profile", "name"), [("strict", "REMOVED"), ("research", "MODIFIED")])
def test_what_we_write_tells_of_nobody(clean: Clean, profile: str, name: str) -> None:
    """Public collections have such names, of whoever cleaned them first."""
    assert clean(put("OperatorsName", name), profile).found() == set()


def test_a_station_named_as_its_model_is_no_secret(clean: Clean) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.StationName, dataset.ManufacturerModelName = "SCANOMAT", "Scanomat\0"

    cleaned = clean(edit)
    assert cleaned.found() == set()
    assert cleaned.found(put("SeriesDescription", "Scanomat")) == set()


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
