"""The verdict over all checks."""

from __future__ import annotations

import pytest

from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.gate import Output, inspect
from tests.gate.conftest import Clean
from tests.quality.conftest import CANARIES

FAMILY = CANARIES[0]


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


def test_a_file_that_the_second_reader_cannot_read(clean: Clean) -> None:
    cleaned = clean()
    spoilt = cleaned.folder / "spoilt.dcm"
    spoilt.write_bytes(cleaned.output.read_bytes()[:-300])
    report = inspect([Output(cleaned.raw, spoilt)], [cleaned.raw], cleaned.profile, pixels=False)
    assert report.verdict == "doubtful"
