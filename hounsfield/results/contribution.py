"""What else a result came through: the de-identification of the images that the model read."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

__all__ = ["name_profile"]

# CID 7005 "Contributing Equipment Purposes of Reference".
_DE_IDENTIFYING: Final = {
    "CodeValue": "109104",
    "CodingSchemeDesignator": "DCM",
    "CodeMeaning": "De-identifying Equipment",
}


def name_profile(dataset: Dataset, profile_digest: str) -> None:
    """Names the de-identification profile behind a result (PS3.3 Section C.12.1.1.5).

    As contributing equipment, not as De-identification Method: the result is the identified
    patient's, and only what the model read was without one.
    """
    purpose, equipment = Dataset(), Dataset()
    for keyword, value in _DE_IDENTIFYING.items():
        setattr(purpose, keyword, value)
    equipment.PurposeOfReferenceCodeSequence = Sequence([purpose])
    equipment.Manufacturer = "Hounsfield"
    equipment.ContributionDescription = (
        f"The model read a de-identified copy of the images. Profile digest {profile_digest}"
    )
    others = dataset.get("ContributingEquipmentSequence") or ()
    dataset.ContributingEquipmentSequence = Sequence([*others, equipment])
