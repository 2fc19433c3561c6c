"""The images that a result belongs to: their order, geometry and references.

A result object is built from *stand-ins*: datasets that hold what highdicom needs of the
source images and nothing of the patient. So no library can log, warn about, or raise an error
with a name in it, an optional attribute that is absent cannot fail a study, and the geometry
has been read once, here, from single-frame and multi-frame images alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

import hounsfield.dicom  # noqa: F401  (makes pydicom lenient and silent)
from hounsfield.errors import GeometryError
from hounsfield.results.identity import REQUIRED

__all__ = ["ORIENTATION_TOLERANCE", "POSITION_TOLERANCE_MM", "Slice", "SourceImages"]

#: Direction cosines of the slices of one stack may differ by so much; scanners round them.
ORIENTATION_TOLERANCE = 1e-4
#: A slice and its place in the volume's affine may differ by so many millimetres.
POSITION_TOLERANCE_MM = 0.05


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of the volume, as the source holds it.

    Attributes
    ----------
    position
        ImagePositionPatient: the centre of the first voxel, LPS, millimetres.
    frame_number
        One-based frame of a multi-frame image; None where the image is single-frame.
    """

    SOPInstanceUID: str
    position: tuple[float, ...]
    frame_number: int | None = None


@dataclass(frozen=True, slots=True)
class SourceImages:
    """Identified source images in the volume's slice order.

    Attributes
    ----------
    header
        The first dataset: holds the patient.
    orientation
        ImageOrientationPatient: direction cosines of a row (along which x grows), then of a
        column.
    pixel_spacing
        Millimetres between rows (y), then between columns (x).
    slice_thickness
        Millimetres; None where the source does not say.
    """

    header: Dataset
    slices: tuple[Slice, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    slice_thickness: float | None

    @classmethod
    def read(
        cls, sources: Sequence[Dataset], frame_numbers: Sequence[int] | None = None
    ) -> SourceImages:
        """Reads order and geometry; pixel data need not be there.

        Parameters
        ----------
        sources
            One single-frame dataset a slice, or one enhanced multi-frame dataset.
        frame_numbers
            Of a multi-frame dataset: the one-based frame of each slice. All frames in their
            own order where not given.

        Raises
        ------
        GeometryError
            The images are of several series or sizes, differ in orientation, or do not say
            where they lie.
        """
        if not sources:
            raise GeometryError("a result needs at least one source image")
        if "PerFrameFunctionalGroupsSequence" in sources[0]:
            return cls._of_frames(sources, frame_numbers)
        _check_one_series(sources)
        first = sources[0]
        slices = tuple(
            Slice(str(one.SOPInstanceUID), _numbers(one, "ImagePositionPatient", 3))
            for one in sources
        )
        return cls(
            header=first,
            slices=slices,
            orientation=_common([_numbers(one, "ImageOrientationPatient", 6) for one in sources]),
            pixel_spacing=_numbers(first, "PixelSpacing", 2),
            slice_thickness=_thickness(first, slices),
        )

    @classmethod
    def _of_frames(
        cls, sources: Sequence[Dataset], frame_numbers: Sequence[int] | None
    ) -> SourceImages:
        if len(sources) > 1:
            raise GeometryError("a result belongs to one multi-frame image, not to several")
        image = sources[0]
        items = image.PerFrameFunctionalGroupsSequence
        numbers = range(1, len(items) + 1) if frame_numbers is None else frame_numbers
        if not all(1 <= number <= len(items) for number in numbers):
            raise GeometryError("a slice names a frame that the source image does not have")
        frames = [_Frame(image, items[number - 1]) for number in numbers]
        slices = tuple(
            Slice(str(image.SOPInstanceUID), frame.numbers("ImagePositionPatient", 3), number)
            for frame, number in zip(frames, numbers, strict=True)
        )
        return cls(
            header=image,
            slices=slices,
            orientation=_common([frame.numbers("ImageOrientationPatient", 6) for frame in frames]),
            pixel_spacing=frames[0].numbers("PixelSpacing", 2),
            slice_thickness=_thickness(frames[0].group("PixelMeasuresSequence"), slices),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns): the grid of the mask."""
        return len(self.slices), int(self.header.Rows), int(self.header.Columns)

    @property
    def is_multi_frame(self) -> bool:
        return self.slices[0].frame_number is not None

    def check_against(self, affine: npt.NDArray[np.float64]) -> None:
        """Refuses slices that are not where the volume has them.

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
        # Two opposite corners of each slice fix its position, orientation and spacing.
        origin = np.array([one.position for one in self.slices])
        corner = origin + row * step_x * (columns - 1) + column * step_y * (rows - 1)
        z = np.arange(len(self.slices))
        for mine, x, y in ((origin, 0, 0), (corner, columns - 1, rows - 1)):
            indices = np.stack([np.full_like(z, x), np.full_like(z, y), z, np.ones_like(z)])
            if np.abs(mine - (affine @ indices)[:3].T).max() > POSITION_TOLERANCE_MM:
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
        _put_measures(dataset, self)
        return dataset

    def _multi_frame_stand_in(self, frame_of_reference_uid: str) -> Dataset:
        dataset = self._common_stand_in(frame_of_reference_uid)
        dataset.SOPInstanceUID = self.slices[0].SOPInstanceUID
        dataset.NumberOfFrames = len(self.slices)
        shared, measures, orientation = Dataset(), Dataset(), Dataset()
        _put_measures(measures, self)
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


# The functional group that holds an attribute (PS3.3 C.7.6.16.2).
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}


class _Frame:
    """The functional groups of one frame: its own, else those that all frames share."""

    def __init__(self, image: Dataset, item: Dataset) -> None:
        shared = image.get("SharedFunctionalGroupsSequence") or [Dataset()]
        self._places = (item, shared[0])

    def group(self, keyword: str) -> Dataset:
        for place in self._places:
            if place.get(keyword):
                return place[keyword].value[0]
        raise GeometryError(f"a frame of the source image has no {keyword}")

    def numbers(self, keyword: str, count: int) -> tuple[float, ...]:
        return _numbers(self.group(_GROUPS[keyword]), keyword, count)


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    try:
        values = tuple(float(value) for value in dataset.get(keyword) or ())
    except (TypeError, ValueError):
        values = ()
    if len(values) != count or not np.isfinite(values).all():
        raise GeometryError(f"a source image has no usable {keyword}")
    return values


def _common(orientations: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    if np.ptp(orientations, axis=0).max() > ORIENTATION_TOLERANCE:
        raise GeometryError("the source images differ in orientation")
    return orientations[0]


def _thickness(dataset: Dataset, slices: Sequence[Slice]) -> float | None:
    """SliceThickness, or where it is missing the distance between the first two slices."""
    try:
        stated = float(dataset.get("SliceThickness") or 0)
    except (TypeError, ValueError):
        stated = 0.0
    if stated > 0:
        return stated
    if len(slices) < 2:
        return None
    return float(np.linalg.norm(np.subtract(slices[1].position, slices[0].position))) or None


def _put_measures(dataset: Dataset, images: SourceImages) -> None:
    # SpacingBetweenSlices is left out: highdicom computes it from the positions, which are
    # what counts, while headers state it wrongly for tilted and irregular stacks.
    dataset.PixelSpacing = list(images.pixel_spacing)
    dataset.SliceThickness = images.slice_thickness


def _check_one_series(sources: Sequence[Dataset]) -> None:
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns")
    keys = {tuple(str(one.get(keyword, "")) for keyword in keywords) for one in sources}
    if len(keys) > 1:
        raise GeometryError("the source images are not of one series and one size")
