"""A name of each script goes from every text, in Unicode and in its installation's own charset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from hounsfield.deid import Deidentifier, Profile
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.midi.people import NAMES

Make = Callable[..., FileDataset]
FORMS = ("{family} {given}", "{given} {family}", "{family}, {given}", "{family}^{given}")
#: Of a model all words stay but the patient's; elsewhere a name goes as no word of medicine, too.
PLACES = ("ManufacturerModelName", "SeriesDescription", "ProtocolName", "ImageComments")
SAFE_PRIVATE = (0x0019, "GEMS_ACQU_01")


@pytest.mark.parametrize("is_unicode", [True, False])
@pytest.mark.parametrize(
    ("charset", "name"),
    [pytest.param(charset, name, id=name) for charset, names in NAMES for name in names],
)
def test_a_name_goes_from_every_text(
    charset: str,
    name: str,
    is_unicode: bool,
    make_dataset: Make,
    pseudonyms: Pseudonyms,
    tmp_path: Path,
) -> None:
    charset = "ISO_IR 192" if is_unicode else charset
    engine = Deidentifier(Profile.load("research"), pseudonyms, pixels=False)
    for group in name.split("="):
        family, _, given = group.partition("^")
        for form in FORMS:
            text = "FSE " + form.format(family=family, given=given.split("^")[0]).strip(" ,^")
            source = tmp_path / "in.dcm"
            write_dataset(with_text(make_dataset, text, charset.split("\\"), name), source)
            assert set(texts_of(read_header(source))) == {text}
            (record,) = engine.study([source], tmp_path / "out").written
            assert set(texts_of(read_header(tmp_path / "out" / record.output))) == {"FSE"}


def with_text(make: Make, text: str, charset: list[str], name: str) -> FileDataset:
    item = Dataset()
    item.CodeMeaning = text
    dataset = make(
        SpecificCharacterSet=charset,
        PatientName=name,
        AnatomicRegionSequence=Sequence([item]),
        **dict.fromkeys(PLACES, text),
    )
    dataset.private_block(*SAFE_PRIVATE, create=True).add_new(0x9E, "LO", text)
    return dataset


def texts_of(dataset: Dataset) -> list[str]:
    """What stands where the text was planted."""
    private = dataset.private_block(*SAFE_PRIVATE)[0x9E].value
    meaning = dataset.AnatomicRegionSequence[0].CodeMeaning
    return [private, meaning, *(dataset[keyword].value for keyword in PLACES)]
