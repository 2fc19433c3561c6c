"""Made-up stacks, predictions and UIDs. Every name in here is invented."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from hounsfield.pseudonyms import Pseudonyms
from hounsfield.records import Code, Finding, Measurement, Prediction, Segment

UID = Pseudonyms(b"k" * 32, project="tests").uid
WHEN = datetime(2024, 5, 1, 12, 30, 15, tzinfo=UTC)
# 11 × 13 pixels do not fill whole bytes, so that the packing of bits is tried as well.
SHAPE = (7, 11, 13)
SPACING = (0.7, 0.6)  # between rows, between columns, mm

_c, _s = np.cos(0.3), np.sin(0.3)
_AXIAL = ((1, 0, 0), (0, 1, 0))
#: orientation (row, column), step from slice to slice in mm: one kind of stack each
STACKS: dict[str, tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]] = {
    "axial": (_AXIAL, (0, 0, 2.5)),
    "flipped": (_AXIAL, (0, 0, -2.5)),
    "oblique": (((_c, _s, 0), (-_s * _c, _c * _c, _s)), (_s * _s * 2, -_c * _s * 2, _c * 2)),
    "sagittal": (((0, 1, 0), (0, 0, -1)), (-3, 0, 0)),
    "gantry-tilted": (((1, 0, 0), (0, _c, _s)), (0, 0, 2.5)),
}


def stack(kind: str = "axial", *, numbers_rise: bool = True, **attributes: object) -> list[Dataset]:
    """A CT series of SHAPE without pixel data, in slice order, as read from files."""
    orientation, step = STACKS[kind]
    slices = []
    for z in range(SHAPE[0]):
        one = _patient()
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, UID(f"{kind}|{z}")
        one.InstanceNumber = z + 1 if numbers_rise else SHAPE[0] - z
        one.ImagePositionPatient = [
            _ds(a + b * z) for a, b in zip((-12.25, 30.5, -200.125), step, strict=True)
        ]
        one.ImageOrientationPatient = [_ds(c) for c in np.ravel(orientation)]
        one.PixelSpacing, one.SliceThickness = list(SPACING), 2.5
        for keyword, value in attributes.items():
            setattr(one, keyword, value)
        slices.append(from_file(one))
    return slices


def multi_frame() -> Dataset:
    """An Enhanced CT whose frames run against the axis, each with its own functional groups."""
    image = _patient()
    image.SOPClassUID, image.SOPInstanceUID = EnhancedCTImageStorage, UID("enhanced")
    image.NumberOfFrames = SHAPE[0]
    image.SharedFunctionalGroupsSequence = [Dataset()]
    frames = []
    for z in range(SHAPE[0]):
        frame, position, orientation, measures = (Dataset() for _ in range(4))
        position.ImagePositionPatient = [0, 0, -2 * z]
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = list(SPACING), 2
        frame.PlanePositionSequence = [position]
        frame.PlaneOrientationSequence = [orientation]
        frame.PixelMeasuresSequence = [measures]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    return from_file(image)


def from_file(dataset: Dataset) -> Dataset:
    """The dataset after a trip through a file, its text as bytes in its character set."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def labels() -> npt.NDArray[np.uint8]:
    """Two nodules (1) and a band of lung (2) on the grid of SHAPE."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 2:5, 3:6] = 1
    mask[4:6, 6:9, 7:12] = 1
    mask[2:5, 0, :] = 2
    mask[2, 10, 0] = 2  # one voxel alone, in a corner, shows a flip at once
    return mask


SCT = {
    "abnormal": Code("49755003", "SCT", "Morphologically Abnormal Structure"),
    "anatomy": Code("91723000", "SCT", "Anatomical Structure"),
    "nodule": Code("27925004", "SCT", "Nodule"),
    "lung": Code("39607008", "SCT", "Lung"),
    "volume": Code("118565006", "SCT", "Volume"),
    "diameter": Code("81827009", "SCT", "Diameter"),
}
VOLUME = Measurement(SCT["volume"], 523.6, Code("mm3", "UCUM", "cubic millimeter"))
DIAMETER = Measurement(SCT["diameter"], 10.0, Code("mm", "UCUM", "millimeter"))
SEGMENTS = (
    Segment(1, "Nodule", SCT["abnormal"], SCT["nodule"], SCT["lung"]),
    Segment(2, "Lung", SCT["anatomy"], SCT["lung"]),
)
NODULES = (
    Finding(
        "Nodule",
        SCT["nodule"],
        (VOLUME, DIAMETER),
        segment=1,
        box_zyx=((1, 3), (2, 5), (3, 6)),
        confidence=0.93,
        site=SCT["lung"],
    ),
    Finding("Nodule", SCT["nodule"], (VOLUME,), segment=1, box_zyx=((4, 6), (6, 9), (7, 12))),
)


def predict(
    findings: tuple[Finding, ...] = NODULES,
    segments: tuple[Segment, ...] = SEGMENTS,
    **more: object,
) -> Prediction:
    return Prediction(
        prediction_id="pr-7",
        study_key="st-abc",
        series_key="se-abc",
        volume_digest="00ff",
        model="lung_nodule",
        version="3",
        algorithm="SegResNet",
        disclaimer="A demonstration – trained on phantoms.",
        findings=findings,
        segments=segments,
        **more,  # type: ignore[arg-type]
    )


def positions(
    mask: npt.NDArray[np.uint8], sources: list[Dataset], value: int
) -> npt.NDArray[np.float64]:
    """Patient coordinates (LPS, mm) of a label's voxels, sorted, from the source headers."""
    z, y, x = np.nonzero(mask == value)
    origin = np.array([one.ImagePositionPatient for one in sources], float)[z]
    row, column = np.array(sources[0].ImageOrientationPatient, float).reshape(2, 3)
    step_y, step_x = (float(s) for s in sources[0].PixelSpacing)
    return in_order(origin + x[:, None] * row * step_x + y[:, None] * column * step_y)


def in_order(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rounded = np.round(points, 3)
    return points[np.lexsort(rounded.T)]


def _patient() -> Dataset:
    one = Dataset()
    one.PatientName, one.PatientID = "Kestrel^Quintus", "MRN-0042"
    one.PatientBirthDate, one.PatientSex = "19610203", "M"
    one.StudyInstanceUID, one.SeriesInstanceUID = "1.2.826.7.1", "1.2.826.7.2"
    one.FrameOfReferenceUID = "1.2.826.7.3"
    one.StudyDate, one.StudyTime, one.StudyID = "20240430", "0915", "S1"
    one.AccessionNumber, one.ReferringPhysicianName = "ACC-77", "Heron^Ada"
    one.Modality = "CT"
    one.Rows, one.Columns = SHAPE[1:]
    return one


def _ds(value: float) -> str:
    return f"{value:.9g}"
