from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from hounsfield.dicom.attributes import AttributeTable, Encoder
from hounsfield.dicom.codecs import PIXEL_KEYWORDS
from hounsfield.dicom.reading import find_files, read_header, read_lazily
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import HounsfieldError
from tests.dicom.test_reading import small


def through_json(table: AttributeTable) -> AttributeTable:
    return AttributeTable.from_dict(json.loads(json.dumps(table.to_dict(), allow_nan=False)))


def assert_same(original: Dataset, rebuilt: Dataset) -> None:
    expected = [element for element in original if element.keyword not in PIXEL_KEYWORDS]
    assert [element.tag for element in rebuilt] == [element.tag for element in expected]
    for one, other in zip(expected, rebuilt, strict=True):
        assert one.VR == other.VR, one.tag
        if one.VR == "SQ":
            assert len(one.value) == len(other.value), one.tag
            for inner, outer in zip(one.value, other.value, strict=True):
                assert_same(inner, outer)
        else:
            assert one.value == other.value or (one.is_empty and other.is_empty), one.tag


def test_shared_elements_are_kept_once(tmp_path: Path) -> None:
    encoder, rows = Encoder(), []
    for index in range(3):
        dataset = small()
        dataset.SOPInstanceUID = f"2.25.{index + 1}"
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientComments = "Größe 1,80 m"
        dataset.add_new(0x00091001, "OB", bytes(range(256)))
        dataset.add_new(0x00090010, "LO", "MAKER")
        item = Dataset()
        item.CodeValue = f"T-{index}"
        dataset.ProcedureCodeSequence = Sequence([item])
        write_dataset(dataset, tmp_path / f"{index}.dcm")
        rows.append(encoder.instance(read_lazily(tmp_path / f"{index}.dcm")))
    table = through_json(AttributeTable.of(rows))
    assert [sorted(own.elements) for own in table.instances] == [["00080018", "00081032"]] * 3
    assert "7FE00010" not in table.shared.elements
    for index in range(3):
        original = read_header(tmp_path / f"{index}.dcm")
        assert_same(original, table.dataset(index))
        assert_same(original.file_meta, table.dataset(index).file_meta)


def test_values_that_json_cannot_carry_keep_their_bytes(tmp_path: Path) -> None:
    dataset = small()
    dataset.add_new(0x00280008, "IS", "77")
    dataset.add_new(0x00186020, "SL", 5)
    item = Dataset()
    item.RealWorldValueSlope = float("nan")
    dataset.RealWorldValueMappingSequence = Sequence([item])
    write_dataset(dataset, tmp_path / "one.dcm")
    content = (tmp_path / "one.dcm").read_bytes()
    (tmp_path / "one.dcm").write_bytes(content.replace(b"IS\x02\x0077", b"IS\x02\x00Qz"))
    original = read_header(tmp_path / "one.dcm")
    encoded = Encoder().instance(read_lazily(tmp_path / "one.dcm"))
    assert encoded.elements["00280008"] == {"vr": "UN", "InlineBinary": "UXo="}
    rebuilt = through_json(AttributeTable.of([encoded])).dataset(0)
    assert rebuilt.NumberOfFrames == original.NumberOfFrames == "Qz"
    slope = rebuilt.RealWorldValueMappingSequence[0].RealWorldValueSlope
    assert slope != slope


@pytest.mark.data
def test_every_real_instance_is_rebuilt_element_for_element(real_data: Path) -> None:
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in find_files(real_data):
        if len(folders[path.parent]) < 12:
            folders[path.parent].append(path)
    rebuilt = 0
    for paths in folders.values():
        encoder, rows, good = Encoder(), [], []
        for path in paths:
            try:
                rows.append(encoder.instance(read_lazily(path)))
            except HounsfieldError:
                continue
            good.append(path)
        table = through_json(AttributeTable.of(rows))
        for index, path in enumerate(good):
            original, again = read_header(path, stop_before_pixels=False), table.dataset(index)
            assert_same(original, again)
            assert_same(original.file_meta, again.file_meta)
            rebuilt += 1
    assert rebuilt > 200
