"""Segments are coded, numbered, tracked and all there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hounsfield.errors import ModelError
from hounsfield.results import OutputSettings, build_seg, part10
from hounsfield.results.segmentation import segment_numbers
from tests.results.made_up import NODULES, SEGMENTS, UID, WHEN, labels, predict, stack

LABELMAP = OutputSettings.model_validate({"segmentation": {"type": "LABELMAP"}})


def test_segments_say_what_they_are_and_what_made_them() -> None:
    seg = build_seg(predict(), labels(), stack(), uid=UID, when=WHEN)
    assert seg is not None
    assert seg.SegmentationType == "BINARY"
    nodule, lung = seg.SegmentSequence
    assert (nodule.SegmentNumber, nodule.SegmentLabel) == (1, "Nodule")
    assert nodule.SegmentAlgorithmType == "AUTOMATIC"
    assert nodule.SegmentedPropertyTypeCodeSequence[0].CodeValue == "27925004"
    assert nodule.AnatomicRegionSequence[0].CodeMeaning == "Lung"
    algorithm = nodule.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lung_nodule", "3")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert lung.SegmentedPropertyTypeCodeSequence[0].CodeValue == "39607008"
    assert seg.SeriesDescription == "lung_nodule 3 SEG - NOT FOR DIAGNOSTIC USE"
    assert seg.ContentLabel == "LUNG_NODULE"


def test_empty_frames_are_omitted() -> None:
    mask = labels()
    seg = build_seg(predict(), mask, stack(), uid=UID, when=WHEN)
    assert seg is not None
    assert seg.NumberOfFrames == sum((mask == v).any(axis=(1, 2)).sum() for v in (1, 2))


def test_a_segment_of_one_finding_carries_its_tracking_uid() -> None:
    alone = predict(findings=(NODULES[0],))
    seg = build_seg(alone, labels(), stack(), uid=UID, when=WHEN)
    assert seg is not None
    assert seg.SegmentSequence[0].TrackingUID == UID("tracking|pr-7|0")
    shared = build_seg(predict(), labels(), stack(), uid=UID, when=WHEN)
    assert shared is not None
    assert "TrackingUID" not in shared.SegmentSequence[0]


def test_an_empty_mask_gives_no_seg() -> None:
    assert build_seg(predict(), np.zeros_like(labels()), stack(), uid=UID, when=WHEN) is None


def test_label_values_with_gaps_become_consecutive_segments() -> None:
    segments = (replace(SEGMENTS[0], number=40), replace(SEGMENTS[1], number=7))
    prediction = predict(findings=(), segments=segments)
    assert segment_numbers(prediction) == {7: 1, 40: 2}
    mask = np.choose(labels(), [0, 40, 7]).astype(np.uint8)
    seg = build_seg(prediction, mask, stack(), uid=UID, when=WHEN)
    assert seg is not None
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["Lung", "Nodule"]


def test_a_label_map_holds_the_mask_itself() -> None:
    from highdicom.seg import Segmentation

    sources, mask = stack(), labels()
    seg = build_seg(predict(), mask, sources, uid=UID, when=WHEN, settings=LABELMAP)
    assert seg is not None
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage
    pixels = Segmentation.from_dataset(seg).get_pixels_by_source_instance(
        [one.SOPInstanceUID for one in sources],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(pixels, mask)
    binary = build_seg(predict(), mask, sources, uid=UID, when=WHEN)
    assert binary is not None
    assert binary.SOPInstanceUID != seg.SOPInstanceUID
    assert part10(binary) != part10(seg)


def test_voxels_that_no_segment_describes_are_refused() -> None:
    mask = labels()
    mask[0, 0, 0] = 9
    with pytest.raises(ModelError, match=r"without a segment: \[9\]"):
        build_seg(predict(), mask, stack(), uid=UID, when=WHEN)


def test_segments_of_one_number_are_refused() -> None:
    with pytest.raises(ModelError, match="each once"):
        segment_numbers(predict(segments=(SEGMENTS[0], SEGMENTS[0])))


def test_an_unknown_algorithm_family_is_refused() -> None:
    with pytest.raises(ModelError, match="CID 7162"):
        build_seg(predict(extra={"algorithm_family": "x"}), labels(), stack(), uid=UID, when=WHEN)
