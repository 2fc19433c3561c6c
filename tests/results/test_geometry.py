"""A mask voxel at patient position p going in is at p coming out, whoever reads the file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from hounsfield.errors import GeometryError
from hounsfield.results import SourceImages, build_seg, part10
from tests.results.made_up import (
    SHAPE,
    STACKS,
    UID,
    WHEN,
    in_order,
    labels,
    multi_frame,
    positions,
    predict,
    stack,
)

REAL = {"ct_head_phantom": 58, "mr_brain_flair": 22, "pt_nema_phantom_1": 89}


def seg_of(sources: list[Dataset] | SourceImages, mask: npt.NDArray[np.uint8]) -> Dataset:
    seg = build_seg(predict(), mask, sources, uid=UID, when=WHEN)
    assert seg is not None
    return seg


def read_by_hand(seg: Dataset, number: int) -> npt.NDArray[np.float64]:
    """Positions of a segment's voxels from PixelData's bits and the functional groups alone."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    row, column = np.array(
        shared.PlaneOrientationSequence[0].ImageOrientationPatient, float
    ).reshape(2, 3)
    step_y, step_x = (float(s) for s in shared.PixelMeasuresSequence[0].PixelSpacing)
    count = int(seg.NumberOfFrames)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: count * seg.Rows * seg.Columns].reshape(count, seg.Rows, seg.Columns)
    points = []
    for frame, item in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        y, x = np.nonzero(frame)
        origin = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        points.append(origin + x[:, None] * row * step_x + y[:, None] * column * step_y)
    return in_order(np.concatenate(points))


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("numbers_rise", [True, False])
def test_voxels_stay_where_they_were(kind: str, numbers_rise: bool) -> None:
    sources, mask = stack(kind, numbers_rise=numbers_rise), labels()
    seg = seg_of(sources, mask)
    for value in (1, 2):
        np.testing.assert_allclose(
            read_by_hand(seg, value), positions(mask, sources, value), atol=1e-4
        )


@pytest.mark.parametrize("kind", STACKS)
def test_highdicom_finds_each_slice_on_its_source_image(kind: str) -> None:
    from highdicom.seg import Segmentation

    sources, mask = stack(kind), labels()
    read = Segmentation.from_dataset(seg_of(sources, mask))
    pixels = read.get_pixels_by_source_instance(
        [one.SOPInstanceUID for one in sources],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(pixels, mask)


@pytest.mark.parametrize("kind", ["axial", "flipped", "oblique", "sagittal"])
def test_highdicom_makes_the_same_volume_of_it(kind: str) -> None:
    from highdicom.seg import Segmentation

    sources, mask = stack(kind), labels()
    volume = Segmentation.from_dataset(seg_of(sources, mask)).get_volume(combine_segments=True)
    for value in (1, 2):
        index = np.argwhere(volume.array == value)
        np.testing.assert_allclose(
            in_order(volume.map_indices_to_reference(index)),
            positions(mask, sources, value),
            atol=1e-4,
        )


@pytest.mark.server
@pytest.mark.parametrize("kind", ["flipped", "gantry-tilted"])
def test_dcmtk_reads_the_positions_of_the_sources(
    kind: str, tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    sources, mask = stack(kind), labels()
    path = tmp_path / "seg.dcm"
    path.write_bytes(part10(seg_of(sources, mask)))
    dump = subprocess.run(
        [need_program("dcmdump"), "+L", "+p", "+P", "0020,0032", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    found = [tuple(map(float, m.split("\\"))) for m in re.findall(r"DS \[([^\]]+)\]", dump)]
    expected = [
        tuple(map(float, sources[z].ImagePositionPatient))
        for value in (1, 2)
        for z in range(SHAPE[0])
        if (mask[z] == value).any()
    ]
    assert sorted(found) == sorted(expected)


def test_frames_of_a_multi_frame_image_keep_their_numbers() -> None:
    image, mask = multi_frame(), labels()[1:6]
    chosen = [6, 5, 4, 3, 2]  # the volume runs up, the frames run down
    images = SourceImages.read([image] * 5, [number - 1 for number in chosen])
    seg = seg_of(images, mask)
    number_at = {}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        z = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        number_at[int(source.ReferencedFrameNumber)] = z
    assert number_at == {n: -2.0 * (n - 1) for n in chosen}
    z, y, x = np.nonzero(mask == 1)
    expected = np.stack([x * 0.6, y * 0.7, -2.0 * (np.array(chosen)[z] - 1)], axis=1)
    np.testing.assert_allclose(read_by_hand(seg, 1), in_order(expected), atol=1e-4)


def test_slices_from_several_multi_frame_images_refer_to_their_own() -> None:
    first, second = multi_frame(), multi_frame()
    second.SOPInstanceUID = UID("enhanced, the second")
    sources, frames = [first, first, second, second], [1, 0, 6, 5]
    mask = labels()[1:5]
    images = SourceImages.read(sources, frames)
    seg = seg_of(images, mask)
    found = {
        (item.ReferencedSOPInstanceUID, int(item.ReferencedFrameNumber))
        for frame in seg.PerFrameFunctionalGroupsSequence
        for item in frame.DerivationImageSequence[0].SourceImageSequence
    }
    assert found == {
        (one.SOPInstanceUID, frame + 1) for one, frame in zip(sources, frames, strict=True)
    }
    (series,) = seg.ReferencedSeriesSequence
    assert len(series.ReferencedInstanceSequence) == len(seg.SourceImageSequence) == 2


def test_slices_of_multi_frame_images_must_name_their_frame() -> None:
    with pytest.raises(GeometryError, match="no slice names its frame"):
        SourceImages.read([multi_frame()] * 3)
    with pytest.raises(GeometryError, match="does not have"):
        SourceImages.read([multi_frame()] * 2, [0, 7])


@pytest.mark.data
@pytest.mark.parametrize("folder", REAL)
def test_real_series_stay_where_they_were(folder: str, real_data: Path) -> None:
    from hounsfield.dicom.reading import read_header

    sources = [read_header(path) for path in sorted((real_data / folder).iterdir())]
    normal = np.cross(*np.array(sources[0].ImageOrientationPatient, float).reshape(2, 3))
    sources.sort(key=lambda one: float(normal @ np.array(one.ImagePositionPatient, float)))
    assert len(sources) == REAL[folder]
    mask = np.zeros(SourceImages.read(sources).shape, np.uint8)
    mask[3:9, 40:60, 20:90] = 1
    mask[7, 100, 5] = 2
    seg = seg_of(sources, mask)
    for value in (1, 2):
        np.testing.assert_allclose(
            read_by_hand(seg, value), positions(mask, sources, value), atol=1e-4
        )


def affine_of(kind: str) -> npt.NDArray[np.float64]:
    (row, column), step = STACKS[kind]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = np.multiply(row, 0.6), np.multiply(column, 0.7)
    affine[:3, 2], affine[:3, 3] = step, (-12.25, 30.5, -200.125)
    return affine


@pytest.mark.parametrize("kind", STACKS)
def test_the_affine_of_the_volume_agrees_with_its_sources(kind: str) -> None:
    SourceImages.read(stack(kind)).check_against(affine_of(kind))


def test_sources_in_another_order_are_refused() -> None:
    with pytest.raises(GeometryError, match="do not lie where the volume has them"):
        build_seg(predict(), labels(), stack()[::-1], uid=UID, when=WHEN, affine=affine_of("axial"))


def test_jittered_orientation_is_borne_and_a_turned_slice_is_not() -> None:
    sources = stack()
    sources[3].ImageOrientationPatient = ["1", "0.00001", "0", "0", "1", "0"]
    seg_of(sources, labels())
    sources[3].ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]
    with pytest.raises(GeometryError, match="orientation"):
        seg_of(sources, labels())


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_a_slice_that_lies_nowhere_is_refused(keyword: str) -> None:
    sources = stack()
    del sources[2][keyword]
    with pytest.raises(GeometryError, match=keyword):
        seg_of(sources, labels())


def test_a_stack_with_a_gap_keeps_its_positions() -> None:
    sources, mask = stack(), labels()
    del sources[3]
    mask = np.delete(mask, 3, axis=0)
    seg = seg_of(sources, mask)
    np.testing.assert_allclose(read_by_hand(seg, 2), positions(mask, sources, 2), atol=1e-4)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert "SpacingBetweenSlices" not in measures  # there is no one spacing to state


def test_a_missing_frame_of_reference_and_thickness_do_not_fail() -> None:
    sources = stack()
    for one in sources:
        del one.FrameOfReferenceUID
        one.SliceThickness = None
    seg = seg_of(sources, labels())
    assert seg.FrameOfReferenceUID == seg_of(sources, labels()).FrameOfReferenceUID
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == 2.5


def test_images_of_two_series_are_refused() -> None:
    sources = stack()
    sources[1].SeriesInstanceUID = "1.2.3"
    with pytest.raises(GeometryError, match="one series"):
        seg_of(sources, labels())


def test_a_mask_on_another_grid_is_refused() -> None:
    with pytest.raises(GeometryError, match="the mask is"):
        seg_of(stack(), labels()[:-1])
