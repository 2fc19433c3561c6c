"""Which kinds of object become volumes, by their SOP Class (PS3.6 Annex A)."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from pydicom.dataset import Dataset
from pydicom.uid import UID, UID_dictionary

__all__ = ["Kind", "kind_of", "reason_against"]

#: A "stack" is of planes that have a place in the patient; an "image" is a picture without
#: one, or a film of such pictures.
Kind: TypeAlias = Literal["stack", "image"]

_STACKS: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
        "1.2.840.10008.5.1.4.1.1.4",  # MR
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
        "1.2.840.10008.5.1.4.1.1.13.1.1",  # X-Ray 3D Angiographic
        "1.2.840.10008.5.1.4.1.1.13.1.2",  # X-Ray 3D Craniofacial
        "1.2.840.10008.5.1.4.1.1.13.1.3",  # Breast Tomosynthesis
        "1.2.840.10008.5.1.4.1.1.20",  # NM
        "1.2.840.10008.5.1.4.1.1.128",  # PET
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET
    }
)
_IMAGES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # CR
        "1.2.840.10008.5.1.4.1.1.1.1",  # DX, for presentation
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # DX, for processing
        "1.2.840.10008.5.1.4.1.1.1.2",  # MG, for presentation
        "1.2.840.10008.5.1.4.1.1.1.2.1",  # MG, for processing
        "1.2.840.10008.5.1.4.1.1.1.3",  # IO, for presentation
        "1.2.840.10008.5.1.4.1.1.1.3.1",  # IO, for processing
        "1.2.840.10008.5.1.4.1.1.12.1",  # XA
        "1.2.840.10008.5.1.4.1.1.12.1.1",  # Enhanced XA
        "1.2.840.10008.5.1.4.1.1.12.2",  # XRF
        "1.2.840.10008.5.1.4.1.1.12.2.1",  # Enhanced XRF
        "1.2.840.10008.5.1.4.1.1.3",  # US multi-frame, retired
        "1.2.840.10008.5.1.4.1.1.3.1",  # US multi-frame
        "1.2.840.10008.5.1.4.1.1.6",  # US, retired
        "1.2.840.10008.5.1.4.1.1.6.1",  # US
    }
)
_NM: Final = "1.2.840.10008.5.1.4.1.1.20"
#: Among the values of ImageType (PS3.3 C.8.4.9.1).
_RECONSTRUCTED: Final = frozenset({"RECON TOMO", "RECON GATED TOMO"})
# Start of the SOP Class UID → why such an object makes no volume here. First match counts.
_REASONS: Final = (
    ("1.2.840.10008.5.1.4.1.1.6.2", "an ultrasound volume, whose frames lie in the transducer"),
    ("1.2.840.10008.5.1.4.1.1.7", "a secondary capture, without a place in the patient"),
    ("1.2.840.10008.5.1.4.1.1.30", "a parametric map, derived from images"),
    ("1.2.840.10008.5.1.4.1.1.66", "a segmentation or registration, derived from images"),
    ("1.2.840.10008.5.1.4.1.1.77", "a visible-light image"),
    ("1.2.840.10008.5.1.4.1.1.88", "a report, which has no pixels"),
    ("1.2.840.10008.5.1.4.1.1.9", "a waveform, which has no pixels"),
    ("1.2.840.10008.5.1.4.1.1.91", "annotations, which have no pixels"),
    ("1.2.840.10008.5.1.4.1.1.104", "a document, which has no pixels"),
    ("1.2.840.10008.5.1.4.1.1.481", "a radiotherapy object"),
)


def kind_of(dataset: Dataset) -> Kind | None:
    """Of an instance that makes a volume; None where :func:`reason_against` tells why not."""
    if reason_against(dataset):
        return None
    return "stack" if _class_of(dataset) in _STACKS else "image"


def reason_against(dataset: Dataset) -> str:
    """Why an instance makes no volume, to be read after "it is"; empty where it may."""
    sop_class = _class_of(dataset)
    if sop_class in _STACKS:
        image_type = dataset.get("ImageType") or []
        if dataset.get("Modality") == "CT" and "LOCALIZER" in image_type:
            return "a localizer, which is a projection image"
        if sop_class == _NM and not _RECONSTRUCTED & set(image_type):
            return "nuclear medicine before reconstruction, which places detectors, not frames"
        return ""
    if sop_class in _IMAGES:
        return ""
    for start, reason in _REASONS:
        if sop_class == start or sop_class.startswith(start + "."):
            return reason
    name = UID(sop_class).name if sop_class in UID_dictionary else "an object of unknown SOP Class"
    return f"{name} is no cross-sectional image"


def _class_of(dataset: Dataset) -> str:
    return str(dataset.get("SOPClassUID", ""))
