"""Where a finding lies: its segment in the SEG, else a region on a source image.

SCOORD coordinates are (column, row) with (0, 0) at the outer corner of the first pixel, so
that voxel index i spans i to i + 1 (PS3.3 C.18.6.1.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from hounsfield.records import Finding, Prediction
from hounsfield.results.segmentation import segment_numbers
from hounsfield.results.sources import SourceImages

if TYPE_CHECKING:
    from highdicom.sr import ImageRegion, ReferencedSegment

__all__ = ["Locator"]


@dataclass(frozen=True)
class Locator:
    """Finds the places of one prediction's findings.

    Attributes
    ----------
    mask
        Label values (z, y, x), or None.
    seg
        The SEG built from it, or None.
    """

    prediction: Prediction
    images: SourceImages
    mask: npt.NDArray[np.uint8] | None
    seg: Dataset | None

    def segment(self, finding: Finding) -> ReferencedSegment | None:
        """The segment of the SEG that outlines the finding, or None."""
        from highdicom.sr import ReferencedSegment, SourceSeriesForSegmentation

        number = self._numbers.get(finding.segment or 0)
        frames = self._frames_of(number, finding) if number else []
        if self.seg is None or number is None or not frames:
            return None
        by_frames = self._is_shared(finding) and self.seg.SegmentationType == "BINARY"
        reference = ReferencedSegment(
            sop_class_uid=self.seg.SOPClassUID,
            sop_instance_uid=self.seg.SOPInstanceUID,
            segment_number=number,
            frame_numbers=frames if by_frames else None,
            source_series=SourceSeriesForSegmentation(str(self.images.header.SeriesInstanceUID)),
        )
        if by_frames:
            # A frame of a binary SEG belongs to one segment, and a reference has frames or
            # segments, never both (PS3.3 Table 10-3).
            del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
        return reference

    def region(self, finding: Finding) -> ImageRegion | None:
        """The finding's box on its key slice, or its centre; None where it has neither."""
        from highdicom.sr import ImageRegion, SourceImageForRegion

        z = self.key_slice(finding)
        if z is None:
            return None
        one = self.images.slices[z]
        image = SourceImageForRegion(
            str(self.images.header.SOPClassUID),
            one.SOPInstanceUID,
            [one.frame_number] if one.frame_number else None,
        )
        if finding.box_zyx:
            _, (y0, y1), (x0, x1) = finding.box_zyx
            corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
            return ImageRegion("POLYLINE", np.array(corners, dtype=float), image)
        return ImageRegion("POINT", np.array([self._centre(finding)[1:]]), image)

    def key_slice(self, finding: Finding) -> int | None:
        """Zero-based z of the slice that shows the finding best; None for the whole volume."""
        depth = self.images.shape[0]
        if finding.box_zyx:
            z0, z1 = (min(max(z, 0), depth) for z in finding.box_zyx[0])
            if z0 < z1:
                return z0 + self._fullest(finding, z0, z1)
        if finding.centroid_lps:
            return int(np.clip(round(self._centre(finding)[0]), 0, depth - 1))
        return None

    def is_empty(self, value: int) -> bool:
        """Whether the mask is here and holds no voxel of this label value."""
        return self.mask is not None and not (self.mask == value).any()

    def _is_shared(self, finding: Finding) -> bool:
        """Whether one segment outlines several findings, so that only frames tell them apart."""
        return sum(other.segment == finding.segment for other in self.prediction.findings) > 1

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return segment_numbers(self.prediction)

    @cached_property
    def _places(self) -> dict[tuple[str, int | None], int]:
        return {(s.SOPInstanceUID, s.frame_number): z for z, s in enumerate(self.images.slices)}

    @cached_property
    def _frames(self) -> Sequence[tuple[int, int | None, int]]:
        """(frame, SegmentNumber or None in a label map, z) of each frame of the SEG."""
        if self.seg is None:
            return ()
        shared = self.seg.SharedFunctionalGroupsSequence[0]
        return [
            (number, _segment_number(item, shared), self._place(item))
            for number, item in enumerate(self.seg.PerFrameFunctionalGroupsSequence, 1)
        ]

    def _place(self, frame: Dataset) -> int:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        number = source.get("ReferencedFrameNumber")
        return self._places[source.ReferencedSOPInstanceUID, int(number) if number else None]

    def _frames_of(self, number: int, finding: Finding) -> list[int]:
        z0, z1 = finding.box_zyx[0] if finding.box_zyx else (0, self.images.shape[0])
        return [
            frame
            for frame, segment, z in self._frames
            if z0 <= z < z1 and (segment == number if segment else self._holds(finding, z))
        ]

    def _holds(self, finding: Finding, z: int) -> bool:
        return self.mask is None or bool((self.mask[z] == finding.segment).any())

    def _fullest(self, finding: Finding, z0: int, z1: int) -> int:
        """Offset from z0 of the slice with most of the finding's voxels, else the middle one."""
        if self.mask is not None and finding.segment is not None and finding.box_zyx:
            _, (y0, y1), (x0, x1) = finding.box_zyx
            box = self.mask[z0:z1, y0:y1, x0:x1] == finding.segment
            if box.any():
                return int(box.sum(axis=(1, 2)).argmax())
        return (z1 - z0) // 2

    def _centre(self, finding: Finding) -> tuple[float, float, float]:
        """(z, column, row) of the centroid: z as an index, the others as SCOORD has them."""
        point = np.array(finding.centroid_lps)
        row, column = np.array(self.images.orientation).reshape(2, 3)
        origins = np.array([one.position for one in self.images.slices])
        # Slices of a tilted stack are shifted in their plane: the nearest is the one whose
        # plane is nearest, and the point is then seen from that slice's own corner.
        z = int(np.abs((origins - point) @ np.cross(row, column)).argmin())
        step_y, step_x = self.images.pixel_spacing
        offset = point - origins[z]
        return float(z), float(offset @ row / step_x + 0.5), float(offset @ column / step_y + 0.5)


def _segment_number(frame: Dataset, shared: Dataset) -> int | None:
    for place in (frame, shared):
        if place.get("SegmentIdentificationSequence"):
            return int(place.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    return None
