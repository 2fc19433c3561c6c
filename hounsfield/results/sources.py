"""The images that a result belongs to: their order, geometry and references.

A result object is built from *stand-ins*: datasets that hold what highdicom needs of the
source images and nothing of the patient. So no library can log, warn about, or raise an error
with a name in it, an optional attribute that is absent cannot fail a study, and the geometry
has been read once, here, from single-frame and multi-frame images alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from hounsfield.dicom.geometry import (
    ORIENTATION_TOLERANCE,
    POSITION_TOLERANCE_MM,
    Plane,
    planes_of,
)
from hounsfield.errors import GeometryError
from hounsfield.results.identity import REQUIRED

__all__ = ["Slice", "SourceImages"]


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of the volume, as the source holds it.

    Attributes
    ----------
    frame_number
        One-based frame of a multi-frame image; None where the image is single-frame.
    """

    SOPInstanceUID: str
    plane: Plane
    frame_number: int | None = None

    @property
    def position(self) -> tuple[float, ...]:
        """ImagePositionPatient: the centre of the first voxel, LPS, millimetres."""
        return self.plane.position


@dataclass(frozen=True, slots=True)
class SourceImages:
    """Identified source images in the volume's slice order.

    Attributes
    ----------
    header
        The first dataset: holds the patient.
    """

    header: Dataset
    slices: tuple[Slice, ...]

    @classmethod
    def read(cls, sources: Sequence[Dataset], frames: Sequence[int] | None = None) -> SourceImages:
        """Reads order and geometry; pixel data need not be there.

        Parameters
        ----------
        sources
            The dataset of each slice. A multi-frame image stands once for each of its slices,
            or alone for all of its frames in their own order.
        frames
            Of multi-frame images: the zero-based frame of each slice, as ``Volume.frames``.

        Raises
        ------
        GeometryError
            The images are of several series or sizes, differ in orientation, or do not say
            where they lie.
        """
        if not sources:
            raise GeometryError("a result needs at least one source image")
        slices = tuple(_slices(sources, frames))
        _check_one_series(sources)
        _check_one_orientation(slices)
        return cls(sources[0], slices)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns): the grid of the mask."""
        return len(self.slices), self._first.rows, self._first.columns

    @property
    def orientation(self) -> tuple[float, ...]:
        """ImageOrientationPatient: cosines of a row (along which x grows), then of a column."""
        return self._first.orientation

    @property
    def pixel_spacing(self) -> tuple[float, ...]:
        """Millimetres between rows (y), then between columns (x)."""
        return self._first.pixel_spacing

    @property
    def slice_thickness(self) -> float | None:
        """Millimetres; where not stated the distance between the first two slices, or None."""
        if self._first.thickness or len(self.slices) < 2:
            return self._first.thickness
        step = np.subtract(self.slices[1].position, self.slices[0].position)
        return float(np.linalg.norm(step)) or None

    @property
    def is_multi_frame(self) -> bool:
        return self.slices[0].frame_number is not None

    @property
    def _first(self) -> Plane:
        return self.slices[0].plane

    def check_against(self, affine: npt.NDArray[np.float64]) -> None:
        """Refuses slices that are not where the volume has them.

        A slice may be off by half a step, since headers round and the affine averages; what
        is written is its own position. In its plane the last voxel may be off by half a voxel.

        Parameters
        ----------
        affine
            4×4, from zero-based (x, y, z) voxel indices to LPS millimetres.

        Raises
        ------
        GeometryError
            A slice is elsewhere: the order or the series is another, and the mask would be
            written onto the wrong anatomy.
        """
        rows, columns = self.shape[1:]
        row, column = np.array(self.orientation).reshape(2, 3)
        step_y, step_x = self.pixel_spacing
        mine = row * step_x * (columns - 1) + column * step_y * (rows - 1)
        theirs = affine[:3, 0] * (columns - 1) + affine[:3, 1] * (rows - 1)
        z = np.arange(len(self.slices))[:, None]
        expected = affine[:3, 3] + z * affine[:3, 2]
        away = np.linalg.norm([one.position for one in self.slices] - expected, axis=1)
        step = float(np.linalg.norm(affine[:3, 2])) if len(self.slices) > 1 else 0.0
        if np.linalg.norm(mine - theirs) > min(self.pixel_spacing) / 2 or away.max() > max(
            POSITION_TOLERANCE_MM, step / 2
        ):
            raise GeometryError(
                "the source images do not lie where the volume has them",
                remedy="give them in the volume's slice order",
            )

    def stand_ins(self, frame_of_reference_uid: str) -> list[Dataset]:
        """Datasets for highdicom: one a slice, or one multi-frame image; no patient in them."""
        if self.is_multi_frame:
            return [self._multi_frame_stand_in(frame_of_reference_uid)]
        return [self.stand_in(z, frame_of_reference_uid) for z in range(len(self.slices))]

    def stand_in(self, z: int, frame_of_reference_uid: str) -> Dataset:
        """A dataset that describes slice `z` alone, as a single-frame image does."""
        dataset = self._common_stand_in(frame_of_reference_uid)
        dataset.SOPInstanceUID = self.slices[z].SOPInstanceUID
        dataset.ImagePositionPatient = list(self.slices[z].position)
        dataset.ImageOrientationPatient = list(self.orientation)
        self._put_measures(dataset)
        return dataset

    def instances(self, frame_of_reference_uid: str) -> list[Dataset]:
        """One stand-in for each SOP instance, to be named as evidence."""
        first = {one.SOPInstanceUID: z for z, one in reversed(list(enumerate(self.slices)))}
        return [self.stand_in(z, frame_of_reference_uid) for z in sorted(first.values())]

    def _multi_frame_stand_in(self, frame_of_reference_uid: str) -> Dataset:
        dataset = self._common_stand_in(frame_of_reference_uid)
        dataset.SOPInstanceUID = self.slices[0].SOPInstanceUID
        dataset.NumberOfFrames = len(self.slices)
        shared, measures, orientation = Dataset(), Dataset(), Dataset()
        self._put_measures(measures)
        orientation.ImageOrientationPatient = list(self.orientation)
        shared.PixelMeasuresSequence = [measures]
        shared.PlaneOrientationSequence = [orientation]
        dataset.SharedFunctionalGroupsSequence = [shared]
        frames = []
        for one in self.slices:
            frame, position = Dataset(), Dataset()
            position.ImagePositionPatient = list(one.position)
            frame.PlanePositionSequence = [position]
            frames.append(frame)
        dataset.PerFrameFunctionalGroupsSequence = frames
        return dataset

    def _common_stand_in(self, frame_of_reference_uid: str) -> Dataset:
        header, dataset = self.header, Dataset()
        for keyword in REQUIRED:  # highdicom reads them; the patient's own come afterwards
            setattr(dataset, keyword, None)
        for keyword in ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"):
            setattr(dataset, keyword, str(header[keyword].value))
        dataset.Modality = str(header.get("Modality", "OT"))
        dataset.Rows, dataset.Columns = self.shape[1:]
        dataset.FrameOfReferenceUID = frame_of_reference_uid
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio"):
            if header.get(keyword):
                dataset[keyword] = header[keyword]
        return dataset

    def _put_measures(self, dataset: Dataset) -> None:
        # SpacingBetweenSlices is left out: highdicom computes it from the positions, which are
        # what counts, while headers state it wrongly for tilted and irregular stacks.
        dataset.PixelSpacing = list(self.pixel_spacing)
        dataset.SliceThickness = self.slice_thickness


def _slices(sources: Sequence[Dataset], frames: Sequence[int] | None) -> Iterator[Slice]:
    instances = {str(one.SOPInstanceUID): one for one in sources}
    planes = {uid: planes_of(one) for uid, one in instances.items()}
    uids = [str(one.SOPInstanceUID) for one in sources]
    if len(uids) == 1:
        frames = range(len(planes[uids[0]])) if frames is None else frames
        uids *= len(frames)
    if frames is None:
        if any(len(of_one) > 1 for of_one in planes.values()):
            raise GeometryError("the sources are multi-frame, and no slice names its frame")
        frames = [0] * len(uids)
    if len(frames) != len(uids):
        raise GeometryError(f"there are {len(uids)} sources and {len(frames)} frames")
    for uid, frame in zip(uids, frames, strict=True):
        if not 0 <= frame < len(planes[uid]):
            raise GeometryError("a slice names a frame that the source image does not have")
        number = frame + 1 if "PerFrameFunctionalGroupsSequence" in instances[uid] else None
        yield Slice(uid, planes[uid][frame], number)


def _check_one_series(sources: Sequence[Dataset]) -> None:
    keywords = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns")
    keys = {tuple(str(one.get(keyword, "")) for keyword in keywords) for one in sources}
    if len(keys) > 1:
        raise GeometryError("the source images are not of one series and one size")


def _check_one_orientation(slices: Sequence[Slice]) -> None:
    spread = np.ptp([one.plane.orientation for one in slices], axis=0)
    if spread.max() > ORIENTATION_TOLERANCE:
        raise GeometryError("the source images differ in orientation")
