"""A sentinel of its own in each attribute of the table, at each depth: none survives."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.profile import Switches
from hounsfield.deid.table import PRIVATE, all_rows, find_row
from hounsfield.dicom.reading import read_header
from hounsfield.pseudonyms import MAX_SHIFT_DAYS, Pseudonyms
from tests.quality.conftest import ct_slice

Make = Callable[..., FileDataset]
SENTINEL = "Zqaxomir"
LETTERS = "BDFGKLMNRT"  # of a sentinel's number, for a name has no digits
PROFILES = ("strict", "research", "internal")

#: Kind of object → SOP Class, and paths of sequences that hold what is planted: one that the
#: table names, and ones that it does not, down to depth 2.
KINDS: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "CT": (
        "1.2.840.10008.5.1.4.1.1.2",
        (("RequestAttributesSequence",), ("CTDIPhantomTypeCodeSequence", "EquivalentCodeSequence")),
    ),
    "MR": (
        "1.2.840.10008.5.1.4.1.1.4",
        (
            ("ReferencedImageSequence",),
            ("RealWorldValueMappingSequence", "QuantityDefinitionSequence"),
        ),
    ),
    "US": (
        "1.2.840.10008.5.1.4.1.1.6.1",
        (("SequenceOfUltrasoundRegions",), ("AcquisitionContextSequence", "ConceptCodeSequence")),
    ),
    "SR": (
        "1.2.840.10008.5.1.4.1.1.88.33",
        (
            ("ContentSequence",),
            ("ContentSequence", "ContentSequence"),
            ("VerifyingObserverSequence",),
        ),
    ),
    "SEG": (
        "1.2.840.10008.5.1.4.1.1.66.4",
        (("SegmentSequence",), ("SegmentSequence", "SegmentedPropertyTypeCodeSequence")),
    ),
    "RTSTRUCT": (
        "1.2.840.10008.5.1.4.1.1.481.3",
        (("StructureSetROISequence",), ("ROIContourSequence", "ContourSequence")),
    ),
    "enhanced": (
        "1.2.840.10008.5.1.4.1.1.4.1",
        (
            ("PerFrameFunctionalGroupsSequence",),
            ("SharedFunctionalGroupsSequence", "FrameAnatomySequence"),
        ),
    ),
    "PR": (
        "1.2.840.10008.5.1.4.1.1.11.1",
        (("GraphicAnnotationSequence",), ("GraphicAnnotationSequence", "TextObjectSequence")),
    ),
}
#: Planted in each kind, too: one that the table names and one that it does not, at depth 1 and 2.
NAMED, UNNAMED = "RequestAttributesSequence", "AnatomicRegionSequence"
EVERYWHERE = ((NAMED,), (UNNAMED,), (UNNAMED, NAMED), (UNNAMED, "AnatomicRegionModifierSequence"))
#: Binary VRs, as `struct` writes them; and numbers that no picture has side by side.
NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
TELLING = (0x7EAD, 0x3EEF)
#: What says of which kind an object is.
KIND = (0x00080016,)
#: A real object of each kind.
REAL = {
    "CT": "ct_head_phantom/0001.dcm",
    "MR": "mr_knee_t1/0001.dcm",
    "US": "us_us1/US1_J2KI.dcm",
    "SR": "obj_highdicom/sr_document.dcm",
    "SEG": "obj_highdicom/seg_image_ct_binary.dcm",
    "RTSTRUCT": "obj_rt_small/rtstruct.dcm",
    "enhanced": "enh_mr_xa10/6_1.dcm",
    "waveform": "obj_ecg/waveform_ecg.dcm",
}


#: Groups of commands, of file meta and of directories: none stands in the dataset of an image.
COMMAND, META, DIRECTORY = 0x0000, 0x0002, 0x0004


def planted_tags() -> Iterator[int]:
    """Every attribute of the table that can stand in a dataset, and unknown ones.

    But for lengths of groups, which are not written.
    """
    for tag in all_rows():
        if tag == PRIVATE:
            yield 0x00991001
        elif "X" in tag:
            numbers = (int(tag.replace("X", digit), 16) for digit in "02")
            yield from (number if number & 0xFFFF else number | 0x10 for number in numbers)
        elif int(tag[:4], 16) not in (COMMAND, META, DIRECTORY):
            yield int(tag, 16)
    yield from (0x00180003, 0x00091010, 0x0019109E)


TAGS = tuple(planted_tags())
ELSEWHERE = tuple(
    int(tag, 16)
    for tag in all_rows()
    if tag[:4].isdigit() and int(tag[:4]) in (COMMAND, META, DIRECTORY)
)
NUMBER = {tag: number for number, tag in enumerate((*TAGS, *ELSEWHERE))}


def trace(tag: int, vr: str) -> str:
    """What tells, in the bytes of an object, that the value of this attribute survived."""
    number = NUMBER[tag]
    if vr in ("DA", "DT"):
        # So far apart that none is another's that was shifted; without a time, whose digits would
        # make another date with those before.
        return f"{date(1021, 1, 1) + timedelta(days=(MAX_SHIFT_DAYS + 1) * number):%Y%m%d}"
    return {
        "AS": f"{number:03}W",
        "DS": f"47.{number:06}",
        "IS": f"47{number:06}",
        "TM": f"101010.{number:06}",
        "UI": f"1.2.826.0.1.3680043.9.7777777.{number}7",
    }.get(
        vr, "".join(("vexo", *(LETTERS[int(digit)] for digit in f"{number:03}"), "quist")).upper()
    )


def element(tag: int) -> tuple[DataElement, bytes]:
    """An element with the trace in it, and the trace as it is written, in capitals."""
    vr = vr_of(tag)
    if vr in NUMBERS:
        numbers = [*TELLING, NUMBER[tag]]
        return DataElement(tag, vr, numbers), struct.pack(f"<3{NUMBERS[vr]}", *numbers).upper()
    value, text = text_element(tag, vr)
    return value, text.encode()


def text_element(tag: int, vr: str) -> tuple[DataElement, str]:
    text = trace(tag, vr)
    if vr == "SQ":
        item = Dataset()
        item.CodeMeaning = item.TextValue = item.SegmentDescription = item.PersonName = text
        return DataElement(tag, "SQ", Sequence([item])), text
    if vr in ("OB", "OV", "OW", "UN"):
        return DataElement(tag, vr, text.encode()), text
    value = f"https://{text}.example" if vr == "UR" else text
    return DataElement(tag, vr, value), text


def vr_of(tag: int) -> str:
    try:
        return "LO" if tag >> 16 & 1 else str(dictionary_VR(tag)).split(" or ")[0]
    except KeyError:
        return "LO"


def plant(dataset: Dataset, *, over: bool = False) -> dict[bytes, int]:
    """Plants everything that `dataset` has not, or all but its kind; trace → tag."""
    found = {}
    for group, creator in ((0x0099, "SOMEBODY 1.0"), (0x0019, "GEMS_ACQU_01")):
        if (group, 0x10) not in dataset:
            dataset.add_new((group, 0x10), "LO", creator)
    for tag in TAGS:
        planted, told = element(tag)
        if tag not in dataset or (over and tag not in KIND):
            dataset[tag] = planted
            found[told] = tag
    return found


def item_at(dataset: Dataset, path: tuple[str, ...]) -> Dataset:
    for keyword in path:
        if keyword not in dataset:
            setattr(dataset, keyword, Sequence([Dataset()]))
        dataset = getattr(dataset, keyword)[0]
    return dataset


def surviving(dataset: FileDataset) -> bytes:
    """All bytes that would be written, in capitals."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue().upper()


def retained(profile: Profile) -> set[int]:
    """Attributes whose values an option keeps as they are; times of day among them."""
    kept = set()
    for tag in TAGS:
        row = find_row(tag)
        options = {row.options[o] for o in profile.options if o in row.options} if row else set()
        if "K" in options or (options and vr_of(tag) == "TM"):
            kept.add(tag)
    return kept


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_planted_survives(
    kind: str, profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    sop_class, paths = KINDS[kind]
    rules = Profile.load(profile)
    engine, kept = Deidentifier(rules, pseudonyms), retained(rules)
    for path in ((), *paths, *EVERYWHERE):
        dataset = make_dataset(SOPClassUID=sop_class, Modality=kind[:2])
        planted = plant(item_at(dataset, path), over=True)
        assert len(planted) == len(TAGS)
        engine.header(dataset, KnownIdentifiers())
        left = surviving(dataset)
        found = {tag for told, tag in planted.items() if told in left}
        assert {f"{tag:08X}" for tag in found - kept} == set(), path


SWITCHES = [name for name in Switches.model_fields if name.startswith(("clean_", "retain_"))]
#: No profile of the project retains full dates or UIDs, or has most options alone.
OPTIONS = {
    **{switch: {switch} for switch in SWITCHES},
    "all": set(SWITCHES) - {"retain_modified_dates"},
}


@pytest.mark.parametrize("on", OPTIONS.values(), ids=OPTIONS)
def test_nothing_planted_survives_whatever_is_switched_on(
    on: set[str], make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    rules = Profile(name="site", **dict.fromkeys(on, True))
    engine, kept = Deidentifier(rules, pseudonyms), retained(rules)
    for path in ((), *EVERYWHERE):
        dataset = make_dataset()
        planted = plant(item_at(dataset, path), over=True)
        engine.header(dataset, KnownIdentifiers())
        left = surviving(dataset)
        found = {tag for told, tag in planted.items() if told in left}
        assert {f"{tag:08X}" for tag in found - kept} == set(), path


@pytest.mark.parametrize("byte", [0x69, 0x6A])
def test_nothing_planted_in_a_private_sequence_that_stays_survives(
    byte: int, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    rules = Profile.load("research")
    dataset, item = make_dataset(), Dataset()
    planted = plant(item, over=True)
    block = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
    block.add_new(byte, "SQ", Sequence([item]))
    Deidentifier(rules, pseudonyms).header(dataset, KnownIdentifiers())
    assert block[byte].value, "it is safe, says PS3.15 Table E.3.10-1"
    left = surviving(dataset)
    found = {tag for told, tag in planted.items() if told in left}
    assert {f"{tag:08X}" for tag in found - retained(rules)} == set()


def test_what_is_planted_is_found_where_nobody_takes_it_out(make_dataset: Make) -> None:
    dataset = make_dataset()
    planted = plant(dataset, over=True)
    left = surviving(dataset)
    assert {f"{tag:08X}" for told, tag in planted.items() if told not in left} == set()
    assert {0x001021C0, 0x00160075} <= set(planted.values())  # numbers


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_of_file_meta_and_directories_is_gone_or_new(
    profile: str, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    dataset, told = ct_slice(0), {}
    for tag in ELSEWHERE:
        if tag >> 16 != COMMAND:
            planted, told[f"{tag:08X}"] = element(tag)
            (dataset.file_meta if tag >> 16 == META else dataset)[tag] = planted
    file = tmp_path / "raw.dcm"
    dataset.save_as(file, enforce_file_format=False)  # which would mend the file meta
    assert {"00020003", "00041511"} <= told.keys()
    assert [tag for tag, text in told.items() if text not in file.read_bytes().upper()] == []

    engine = Deidentifier(Profile.load(profile), pseudonyms, pixels=False)
    (record,) = engine.study([file], tmp_path / "out").written
    path = tmp_path / "out" / str(record.output)
    written, output = path.read_bytes().upper(), read_header(path)
    assert [tag for tag, text in told.items() if text in written] == []
    assert output.file_meta.MediaStorageSOPInstanceUID == output.SOPInstanceUID


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_of_commands_is_gone(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """Nor is the object refused for it, though pydicom writes no file that has such elements."""
    commands = [tag for tag in ELSEWHERE if tag >> 16 == COMMAND]
    assert commands == [0x00001000, 0x00001001]
    dataset = make_dataset()
    for tag in commands:
        dataset[tag], _ = element(tag)
    Deidentifier(Profile.load(profile), pseudonyms).header(dataset, KnownIdentifiers())
    told = {tag: element(tag)[1].decode() for tag in commands}
    assert [tag for tag, text in told.items() if text in str(dataset)] == []
    assert [tag for tag in commands if tag in dataset] == []


def test_what_is_planted_everywhere_is_named_or_not() -> None:
    assert find_row(tag_for_keyword(NAMED)) is not None
    assert find_row(tag_for_keyword(UNNAMED)) is None
    planted = plant(Dataset(), over=True).values()
    assert {0x00100010, 0x00100020, 0x00100030, 0x00080050} <= set(planted)


@pytest.mark.data
@pytest.mark.parametrize("kind", REAL)
def test_nothing_planted_in_a_real_object_survives(
    kind: str, real_data: Path, pseudonyms: Pseudonyms
) -> None:
    """In the object, and in the first item of a few of its sequences at depth 1 and 2."""
    rules = Profile.load("research")
    kept = retained(rules)
    file = real_data / REAL[kind]
    for spot in spots(read_header(file)):
        dataset = read_header(file)
        planted = plant(item_at(dataset, spot))
        Deidentifier(rules, pseudonyms).header(dataset, KnownIdentifiers())
        left = surviving(dataset)
        found = {tag for told, tag in planted.items() if told in left}
        assert {f"{tag:08X}" for tag in found - kept} == set(), spot


def spots(dataset: Dataset, depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Paths of the dataset and of the first items in it, the last three of each level."""
    yield ()
    named = [e for e in dataset if e.VR == "SQ" and e.keyword and len(e.value)]
    for one in named[-3:] if depth < 2 else ():
        yield from ((one.keyword, *rest) for rest in spots(one.value[0], depth + 1))


def test_research_finds_a_known_name_wherever_it_is_kept(
    make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    """Also where text is kept that no words are taken from: private, codes, models."""
    deidentifier = Deidentifier(Profile.load("research"), pseudonyms)
    dataset = make_dataset(
        ManufacturerModelName=f"Scanner of {SENTINEL}", SequenceName=f"*{SENTINEL}3d1"
    )
    code = Dataset()
    code.CodeMeaning = f"Chest of {SENTINEL}"
    dataset.ProcedureCodeSequence = Sequence([code])
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    block.add_new(0x9E, "LO", f"FSE {SENTINEL}")
    known = KnownIdentifiers(names=frozenset({f"{SENTINEL}^Planted"}))
    deidentifier.header(dataset, known)
    assert SENTINEL.upper().encode() not in surviving(dataset)
    assert block[0x9E].value == "FSE"


@pytest.mark.parametrize("name", PROFILES)
def test_unknown_and_private_elements_go(
    name: str, make_dataset: Make, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset()
    dataset.add_new(0x00180003, "LO", SENTINEL)  # in no dictionary
    dataset.add_new(0x00184101, "UN", SENTINEL.encode())
    dataset.add_new(0x00091010, "LO", SENTINEL)  # private, without a creator
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    block.add_new(0x01, "LO", SENTINEL)  # a known creator's unknown element
    inner = Dataset()
    inner.add_new(0x00111010, "LO", SENTINEL)
    dataset.SharedFunctionalGroupsSequence = Sequence([inner])
    Deidentifier(Profile.load(name), pseudonyms).header(dataset, KnownIdentifiers())
    assert SENTINEL.upper().encode() not in surviving(dataset)


def test_a_value_of_the_wrong_kind_goes(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = make_dataset()
    dataset.add_new("Rows", "LO", SENTINEL)
    dataset.add_new("SliceThickness", "OB", SENTINEL.encode())
    Deidentifier(Profile.load("research"), pseudonyms).header(dataset, KnownIdentifiers())
    assert SENTINEL.upper().encode() not in surviving(dataset)
