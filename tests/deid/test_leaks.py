"""A sentinel in each attribute of the table, at each depth: none survives."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.table import PRIVATE, all_rows
from hounsfield.pseudonyms import Pseudonyms

SENTINEL = "ZqxSentinel"
UID_SENTINEL = "1.2.826.0.1.3680043.9.7777777.1"
NUMBER_SENTINEL = 47
# Sequences that hold the planted item: named by the table or not, at depth 1 and 2.
NESTS = {
    0: (),
    1: ("RadiopharmaceuticalInformationSequence",),
    2: ("SharedFunctionalGroupsSequence", "FrameAnatomySequence"),
    3: ("AcquisitionContextSequence", "ConceptCodeSequence"),
}

_BY_VR: dict[str, Any] = {
    "AS": "047Y",
    "DA": "19470704",
    "DT": "19470704101010",
    "TM": "101010.474747",
    "UI": UID_SENTINEL,
    "DS": "47.474747",
    "IS": "474747",
    "PN": f"{SENTINEL}^Planted",
    "UR": f"https://{SENTINEL}.example",
    "CS": SENTINEL.upper(),
}
_TRACES = (
    SENTINEL.encode(),
    SENTINEL.upper().encode(),
    UID_SENTINEL.encode(),
    b"19470704",
    b"47.474747",
    b"474747",
    b"047Y",
)


def planted_tags() -> Iterator[int]:
    for tag in all_rows():
        if tag == PRIVATE:
            yield 0x00991001
        elif "X" in tag:
            yield from (int(tag.replace("X", digit), 16) for digit in "02")
        else:
            yield int(tag, 16)


def element(tag: int) -> DataElement:
    if tag >> 16 & 1:
        return DataElement(tag, "LO", SENTINEL)
    try:
        vr = str(dictionary_VR(tag)).split(" or ")[0]
    except KeyError:
        vr = "LO"
    if vr == "SQ":
        item = Dataset()
        item.CodeMeaning = item.CodeValue = SENTINEL
        item.TextValue = SENTINEL
        return DataElement(tag, "SQ", Sequence([item]))
    if vr in ("OB", "OW", "UN"):
        return DataElement(tag, vr, SENTINEL.encode() + b"\0")
    if vr in ("US", "UL", "FD", "FL", "SS"):
        return DataElement(tag, vr, NUMBER_SENTINEL)
    return DataElement(tag, vr, _BY_VR.get(vr, SENTINEL))


def plant(dataset: Dataset, tag: int, nest: tuple[str, ...]) -> None:
    for keyword in nest:
        inner = Dataset()
        if keyword not in dataset:
            setattr(dataset, keyword, Sequence([inner]))
        dataset = getattr(dataset, keyword)[0]
    if tag >> 16 & 1:
        dataset.add_new((tag & 0xFFFF0000) | 0x0010, "LO", "SOMEBODY 1.0")
    dataset.add(element(tag))


def surviving(dataset: FileDataset) -> bytes:
    """All bytes that would be written."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def leaks(deidentifier: Deidentifier, make: Callable[..., FileDataset], depth: int) -> set[str]:
    found = set()
    for tag in planted_tags():
        if tag >> 16 in (0x0000, 0x0002, 0x0004):
            continue  # not of a dataset; the file meta is made anew (test_stamp)
        dataset = make()
        plant(dataset, tag, NESTS[depth])
        deidentifier.header(dataset, KnownIdentifiers())
        data = surviving(dataset)
        if any(trace in data for trace in _TRACES):
            found.add(f"{tag:08X}")
    return found


@pytest.mark.parametrize("depth", NESTS)
def test_nothing_planted_survives_strict(
    depth: int, make_dataset: Callable[..., FileDataset], pseudonyms: Pseudonyms
) -> None:
    deidentifier = Deidentifier(Profile.load("strict"), pseudonyms)
    assert leaks(deidentifier, make_dataset, depth) == set()


@pytest.mark.parametrize("depth", NESTS)
def test_research_keeps_only_what_its_options_keep(
    depth: int, make_dataset: Callable[..., FileDataset], pseudonyms: Pseudonyms
) -> None:
    profile = Profile.load("research")
    left = leaks(Deidentifier(profile, pseudonyms), make_dataset, depth)
    kept = {tag for tag, row in all_rows().items() if profile.options & set(row.options)}
    assert left <= kept


def test_research_finds_a_known_name_wherever_it_is_kept(
    make_dataset: Callable[..., FileDataset], pseudonyms: Pseudonyms
) -> None:
    deidentifier = Deidentifier(Profile.load("research"), pseudonyms)
    known = KnownIdentifiers(names=frozenset({f"{SENTINEL}^Planted"}))
    for tag in planted_tags():
        if tag >> 16 in (0x0000, 0x0002, 0x0004):
            continue
        dataset = make_dataset()
        plant(dataset, tag, NESTS[2])
        deidentifier.header(dataset, known)
        assert SENTINEL.lower().encode() not in surviving(dataset).lower(), f"{tag:08X}"


@pytest.mark.parametrize("name", ["strict", "research", "internal"])
def test_unknown_and_private_elements_go(
    name: str, make_dataset: Callable[..., FileDataset], pseudonyms: Pseudonyms
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
    assert SENTINEL.encode() not in surviving(dataset)


def test_a_value_of_the_wrong_kind_goes(
    make_dataset: Callable[..., FileDataset], pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset()
    dataset.add_new("Rows", "LO", SENTINEL)
    dataset.add_new("SliceThickness", "OB", SENTINEL.encode())
    Deidentifier(Profile.load("research"), pseudonyms).header(dataset, KnownIdentifiers())
    assert SENTINEL.encode() not in surviving(dataset)
