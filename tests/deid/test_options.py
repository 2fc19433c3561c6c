"""Each option alone does what the method statement says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.pseudonyms import Pseudonyms

#: Switch → attribute, its value, and what is left of it when the switch is on, and when it is off.
ACTS: dict[str, tuple[str, str, str, str]] = {
    "clean_descriptors": ("ImageComments", "chest of Mr Quill", "chest of", ""),
    "retain_full_dates": ("StudyDate", "20240229", "20240229", ""),
    "retain_patient_characteristics": ("PatientAge", "095Y", "090Y", ""),
    "retain_device_identity": ("DeviceSerialNumber", "SN-4711", "SN-4711", ""),
    "retain_institution_identity": ("InstitutionName", "St Elsewhere", "St Elsewhere", ""),
    "retain_uids": ("FrameOfReferenceUID", "2.25.4711", "2.25.4711", "another"),
}


@pytest.mark.parametrize("switch", ACTS)
@pytest.mark.parametrize("on", [True, False])
def test_what_it_says_of_an_option_is_what_the_engine_does(
    switch: str,
    on: bool,
    make_dataset: Callable[..., FileDataset],
    pseudonyms: Pseudonyms,
    tmp_path: Path,
) -> None:
    keyword, value, kept, gone = ACTS[switch]
    file = tmp_path / "one.yaml"
    file.write_text(f"description: one\n{switch}: {str(on).lower()}\n")
    dataset = make_dataset(**{keyword: value})
    Deidentifier(Profile.load(file), pseudonyms).header(dataset, KnownIdentifiers())
    left = str(dataset.get(keyword) or "")
    if not on and gone == "another":
        assert left and left != value
    elif not on and keyword == "DeviceSerialNumber":
        assert value not in left
    else:
        assert left == (kept if on else gone)
