"""Prose is not cleaned but removed: it names people whom no header names."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile
from hounsfield.pseudonyms import Pseudonyms


@pytest.mark.parametrize("profile", ["strict", "research"])
def test_a_stranger_in_a_comment_goes(profile: str) -> None:
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2"
    dataset.PatientID, dataset.PatientName = "P1", "Known^Name"
    dataset.PatientComments = "wants a call after the study, or ask Ehrwynda Jolbngweholtz."
    engine = Deidentifier(Profile.load(profile), Pseudonyms(b"k" * 32))
    engine.header(dataset, KnownIdentifiers.gather([dataset]))
    assert "Jolbngweholtz" not in str(dataset)
