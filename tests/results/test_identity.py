"""A result is the patient's: in their own letters, in the PACS's own keys, and in no log."""

from __future__ import annotations

import logging
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from hounsfield.dicom.reading import read_header
from hounsfield.errors import ModelError
from hounsfield.records import Code, Segment
from hounsfield.results import build_seg, build_sr, part10
from hounsfield.results.identity import identity_of, local_time, plain
from tests.results.made_up import SCT, UID, WHEN, labels, predict, stack

# PS3.5 H.3.1, the Standard's own example of a Japanese name.
YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"
KANJI = b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"


def both(sources: list[Dataset]) -> tuple[Dataset, Dataset]:
    seg = build_seg(predict(), labels(), sources, uid=UID, when=WHEN)
    assert seg is not None
    return seg, build_sr(predict(), labels(), sources, seg, uid=UID, when=WHEN)


def test_results_belong_to_the_original_patient_and_study() -> None:
    sources = stack(IssuerOfPatientID="HOSP", StudyDescription="CT chest", PatientAge="063Y")
    for built in both(sources):
        for keyword in (
            *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
            *("StudyInstanceUID", "StudyID", "AccessionNumber", "StudyDate", "StudyDescription"),
            *("PatientAge", "ReferringPhysicianName"),
        ):
            assert built[keyword].value == sources[0][keyword].value
        assert built.SeriesInstanceUID != sources[0].SeriesInstanceUID


def test_a_japanese_name_survives_to_the_byte() -> None:
    sources = stack(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=YAMADA)
    for built in both(sources):
        assert KANJI in part10(built)
        assert built.PatientName == PersonName(YAMADA)
        assert list(built.SpecificCharacterSet) == ["", "ISO 2022 IR 87"]


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 192", "Ștefănescu^Ioană"), ("ISO_IR 144", "Люкceмбypг"), (None, "Äneas^Rüdiger")],
)
def test_names_survive_in_other_character_sets(charset: str | None, name: str) -> None:
    more = {"SpecificCharacterSet": charset} if charset else {}
    for built in both(stack(PatientName=name, **more)):
        assert str(built.PatientName) == name


@pytest.mark.data
def test_real_names_in_many_scripts_survive(real_data: Path) -> None:
    paths = [
        *(real_data / "charset_pydicom").iterdir(),
        *(real_data / "charset_clunie_sc").iterdir(),
    ]
    names = set()
    for path in sorted(paths):
        header = read_header(path)
        if not header.get("PatientName"):
            continue
        made = stack()
        made[0].update(identity_of(header))
        made[0].StudyInstanceUID = made[1].StudyInstanceUID
        built = build_sr(predict(), None, made, None, uid=UID, when=WHEN)
        assert built.PatientName == header.PatientName
        names.add(str(header.PatientName))
    assert len(names) > 10


def test_absent_attributes_are_empty_and_do_not_fail() -> None:
    sources = stack()
    absent = ["StudyID", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate"]
    for one in sources:
        for keyword in [*absent, "PatientName", "PatientID", "StudyDate", "StudyTime"]:
            del one[keyword]
    for built in both(sources):
        assert all(keyword in built and not built[keyword].value for keyword in absent)


def test_what_is_invalid_is_left_out_but_never_a_key() -> None:
    sources = stack(PatientSex="0000", PatientAge="sixty", PatientID="MRN\x0042", StudyDate="soon")
    identity = identity_of(sources[0])
    assert identity.PatientSex in (None, "")
    assert not identity.StudyDate
    assert "PatientAge" not in identity
    assert identity.PatientID == sources[0].PatientID


def test_nothing_is_logged_warned_or_raised_with_a_name_in_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    canaries = ("Kestrel", "MRN-0042", "1.2.826.7", "ACC-77", "Ibis", "31.31")
    # A name in one component, a birth date and a sex that are none: what libraries moan about.
    sources = stack(PatientName="Ibis", PatientBirthDate="31.31.1900", PatientSex="Ibis")
    broken = predict(segments=(Segment(1, "N", Code("", "SCT", ""), SCT["nodule"]),))
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        both(sources)
        for one in sources:
            del one.SOPClassUID
        with pytest.raises(ModelError) as refused:
            build_seg(broken, labels() == 1, sources, uid=UID, when=WHEN)
    said = caplog.text + str(refused.value) + "".join(str(w.message) for w in caught)
    assert not [canary for canary in canaries if canary in said]
    assert refused.value.__cause__ is None


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = both(stack()), both(stack())
    assert [part10(one) for one in first] == [part10(one) for one in second]


def test_another_header_gives_another_object() -> None:
    (seg, sr), (other_seg, other_sr) = both(stack()), both(stack(PatientName="Heron^Quintus"))
    assert seg.SOPInstanceUID != other_seg.SOPInstanceUID
    assert sr.SOPInstanceUID != other_sr.SOPInstanceUID


def test_times_are_the_predictions_in_the_zone_of_the_source() -> None:
    identity = Dataset()
    assert local_time(WHEN, identity) == ("20240501", "123015")
    identity.TimezoneOffsetFromUTC = "+0930"
    assert local_time(datetime(2024, 5, 1, 20, tzinfo=UTC), identity) == ("20240502", "053000")
    for built in both(stack()):
        assert (built.ContentDate, built.ContentTime) == ("20240501", "123015")
        assert (built.InstanceCreationDate, built.SeriesDate) == ("20240501", "20240501")


def test_own_texts_are_ascii_in_any_character_set() -> None:
    assert plain("Ø 5 µm – “très” dense\n\\") == '5 um - "tres" dense /'
    assert plain("x" * 80) == "x" * 64
