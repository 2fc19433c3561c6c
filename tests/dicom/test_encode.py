"""What is copied is what pydicom would have written, byte for byte."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import FileDataset
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.deid.stamp import renew_file_meta
from hounsfield.dicom.encode import can_encode, encode
from hounsfield.dicom.reading import find_files, read_header, read_lazily
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import HounsfieldError
from hounsfield.pseudonyms import Pseudonyms


def by_pydicom(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def ours(dataset: FileDataset, path: Path) -> bytes:
    write_dataset(dataset, path)
    return path.read_bytes()


def some(folder: Path) -> Iterator[Path]:
    """Two files of each folder, which can be read."""
    seen: dict[Path, int] = {}
    for path in find_files(folder):
        if seen.setdefault(path.parent, 0) < 2:
            try:
                read_header(path)
            except HounsfieldError:
                continue
            seen[path.parent] += 1
            yield path


@pytest.mark.data
@pytest.mark.parametrize("change", ["nothing", "deidentified"])
def test_real_files_are_written_as_pydicom_writes_them(
    real_data: Path, tmp_path: Path, change: str
) -> None:
    engine = Deidentifier(Profile.load("research"), Pseudonyms(bytes(32)))
    copied = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in some(real_data):
            dataset = read_lazily(path)
            try:
                if change == "deidentified":
                    engine.header(dataset, KnownIdentifiers.gather([dataset]))
                renew_file_meta(dataset)
                found = ours(dataset, tmp_path / "x.dcm")
            except HounsfieldError:
                continue
            syntax = dataset.file_meta.TransferSyntaxUID
            copied += can_encode(
                dataset,
                implicit_vr=syntax.is_implicit_VR,
                little_endian=syntax.is_little_endian,
            )
            assert found == by_pydicom(dataset), path.relative_to(real_data)
    assert copied > 50, "and not all went pydicom's way"


def test_items_of_any_make_are_encoded(tmp_path: Path) -> None:
    """Of undefined length, made by hand, with a character set of their own."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Ödland^Åse"
    item = Dataset()
    item.SpecificCharacterSet, item.CodeMeaning = "ISO_IR 192", "頭"
    item.is_undefined_length_sequence_item = True
    dataset.ProcedureCodeSequence = Sequence([item, Dataset()])
    dataset["ProcedureCodeSequence"].is_undefined_length = True
    dataset.PixelData = b"\0\1"
    dataset["PixelData"].VR = "OW"
    for implicit in (True, False):
        buffer = io.BytesIO()
        dataset.save_as(buffer, implicit_vr=implicit, little_endian=True)
        assert encode(dataset, implicit_vr=implicit) == buffer.getvalue()
