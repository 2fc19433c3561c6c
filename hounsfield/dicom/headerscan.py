"""What one header says by itself, as plain columns without PHI.

Numbers and coded terms that identify nobody are given as they are; of every other attribute
only whether it is there. Coded strings outside their defined terms show as ``other``: a free
text in the wrong place may be a name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, UID_dictionary

__all__ = ["HEADER_COLUMNS", "REQUIRED", "int_or", "scan_header"]

#: Attributes that the modules of PS3.3 require, with their type: of type 1 a value must be
#: there (1C and 2C are left to dciodvfy), of type 2 the element. Each gives a ``has_`` column.
REQUIRED: Mapping[str, int] = {
    # SOP Common (C.12.1), Patient (C.7.1.1), General Study (C.7.2.1)
    "SOPClassUID": 1,
    "SOPInstanceUID": 1,
    "PatientName": 2,
    "PatientID": 2,
    "PatientBirthDate": 2,
    "PatientSex": 2,
    "StudyInstanceUID": 1,
    "StudyDate": 2,
    "StudyTime": 2,
    "ReferringPhysicianName": 2,
    "StudyID": 2,
    "AccessionNumber": 2,
    # General Series (C.7.3.1), General Equipment (C.7.5.1), Frame of Reference (C.7.4.1)
    "Modality": 1,
    "SeriesInstanceUID": 1,
    "SeriesNumber": 2,
    "Manufacturer": 2,
    "FrameOfReferenceUID": 1,
    # General Image (C.7.6.1), Image Plane (C.7.6.2), Image Pixel (C.7.6.3)
    "InstanceNumber": 2,
    "PixelSpacing": 1,
    "ImageOrientationPatient": 1,
    "ImagePositionPatient": 1,
    "SliceThickness": 2,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": 1,
    "Rows": 1,
    "Columns": 1,
    "BitsAllocated": 1,
    "BitsStored": 1,
    "HighBit": 1,
    "PixelRepresentation": 1,
    # CT Image (C.8.2.1), MR Image (C.8.3.1), PET Series and Image (C.8.9.1, C.8.9.4)
    "ImageType": 1,
    "RescaleIntercept": 1,
    "RescaleSlope": 1,
    "KVP": 2,
    "ScanningSequence": 1,
    "SequenceVariant": 1,
    "MRAcquisitionType": 2,
    "RepetitionTime": 2,
    "EchoTime": 2,
    "Units": 1,
    "DecayCorrection": 1,
    "CorrectedImage": 2,
    "AcquisitionDate": 2,
    "AcquisitionTime": 2,
}

#: Numbers that identify nobody, given as they are (the first value of several).
_NUMBERS = (
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SliceThickness",
    "RescaleIntercept",
    "RescaleSlope",
    "KVP",
)

# Defined terms (PS3.3 C.7.3.1.1.1 and C.7.6.3.1.2).
_MODALITIES = """
ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC
HD IO IOL IVOCT IVUS KER KO LEN LS MG MR M3D NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA
PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN
RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
"""
_PHOTOMETRIC = """
MONOCHROME1,MONOCHROME2,PALETTE COLOR,RGB,YBR_FULL,YBR_FULL_422,YBR_PARTIAL_420,YBR_ICT,
YBR_RCT,XYB
"""
_TERMS: Mapping[str, frozenset[str]] = {
    "Modality": frozenset(_MODALITIES.split()),
    "PhotometricInterpretation": frozenset(term.strip() for term in _PHOTOMETRIC.split(",")),
}

# Images that lie one behind the other in single files.
_SLICE_CLASSES = frozenset(
    {"CTImageStorage", "MRImageStorage", "PositronEmissionTomographyImageStorage"}
)

HEADER_COLUMNS = (
    "kind",  # slice, localizer, frames, image, object or unreadable
    "SOPClassUID",  # by its keyword in PS3.6 Table A-1; so is the next
    "TransferSyntaxUID",
    "has_TransferSyntaxUID",  # in the File Meta Information
    *_TERMS,
    *_NUMBERS,
    *(f"has_{keyword}" for keyword in REQUIRED),
    "patient_id_empty",
)


def scan_header(header: Dataset) -> dict[str, Any]:
    """`HEADER_COLUMNS` of one dataset; never raises, whatever it holds."""
    columns: dict[str, Any] = {
        "SOPClassUID": _uid_keyword(header.get("SOPClassUID")),
        "TransferSyntaxUID": _uid_keyword(
            getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
        ),
        "patient_id_empty": not str(header.get("PatientID") or "").strip(),
    }
    columns["has_TransferSyntaxUID"] = columns["TransferSyntaxUID"] is not None
    for keyword, terms in _TERMS.items():
        value = str(header.get(keyword) or "").strip()
        columns[keyword] = value if value in terms else "other" if value else None
    for keyword in _NUMBERS:
        columns[keyword] = _number(header.get(keyword))
    for keyword, kind in REQUIRED.items():
        columns[f"has_{keyword}"] = keyword in header and (kind == 2 or _has_value(header, keyword))
    columns["kind"] = _kind(header, columns)
    return columns


def _kind(header: Dataset, columns: Mapping[str, Any]) -> str:
    if (columns["NumberOfFrames"] or 1) > 1 or "SharedFunctionalGroupsSequence" in header:
        return "frames"
    if columns["SOPClassUID"] in _SLICE_CLASSES:
        types = {str(value).upper() for value in _several(header.get("ImageType"))}
        return "localizer" if types & {"LOCALIZER", "SCOUT"} else "slice"
    return "image" if columns["Rows"] else "object"


def int_or(value: object, default: int) -> int:
    """`value` as an integer, or `default` where it is none."""
    try:
        return int(str(value))
    except ValueError:
        return default


def _uid_keyword(value: object) -> str | None:
    text = str(value or "").strip(" \0")
    if not text:
        return None
    return UID(text).keyword if text in UID_dictionary else "other"


def _has_value(header: Dataset, keyword: str) -> bool:
    value = header.get(keyword)
    return value is not None and str(value).strip(" \0") not in ("", "[]")


def _several(value: object) -> list[Any]:
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def _number(value: object) -> float | None:
    numbers = _numbers(_several(value)[:1], 1)
    return None if numbers is None else numbers[0]


def _numbers(value: object, count: int) -> tuple[float, ...] | None:
    """`count` finite numbers, or None where a header has anything else there."""
    try:
        numbers = tuple(float(item) for item in _several(value))
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None
