from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.inference.measure import centroid_lps, long_axis_mm, volume_mm3
from hounsfield.inference.nodules import NoduleReport
from tests.inference.stand_in import FakeVolume, ball, straight

SHAPE = (30, 60, 60)


def _volume(spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> FakeVolume:
    return FakeVolume(np.zeros(SHAPE, np.int16), straight(spacing))


def _map(*balls: tuple[tuple[float, float, float], float, float]) -> np.ndarray:
    volume = _volume()
    probability = np.zeros(SHAPE, np.float32)
    for centre, diameter, value in balls:
        probability[ball(SHAPE, volume.affine, centre, diameter)] = value
    return probability


def test_each_nodule_has_its_own_segment_the_most_confident_first() -> None:
    found = NoduleReport()(_volume(), _map(((15, 15, 20), 10, 0.7), ((40, 40, 40), 14, 0.95)))
    assert [f.label for f in found.findings] == ["Nodule 1", "Nodule 2"]
    assert [f.confidence for f in found.findings] == pytest.approx([0.95, 0.7])
    assert [f.segment for f in found.findings] == [s.number for s in found.segments] == [1, 2]
    assert found.mask is not None
    assert found.mask[20, 40, 40] == 1 and found.mask[10, 15, 15] == 2
    assert set(np.unique(found.mask)) == {0, 1, 2}


def test_small_and_doubtful_findings_are_left_out() -> None:
    found = NoduleReport(least_diameter_mm=6, least_confidence=0.6)(
        _volume(), _map(((15, 15, 20), 4, 0.9), ((40, 40, 40), 14, 0.55))
    )
    assert found.mask is None and found.findings == ()


def test_most_findings_are_a_limit_that_is_told() -> None:
    balls = [((float(x), 30.0, 30.0), 6.0, 0.6 + x / 200) for x in (8, 20, 32, 44)]
    found = NoduleReport(most_findings=3)(_volume(), _map(*balls))
    assert len(found.findings) == 3
    assert found.extra["findings_beyond_limit"] == 1
    assert min(f.confidence or 0 for f in found.findings) > 0.69


@settings(max_examples=25, deadline=None)
@given(
    diameter=st.floats(8, 24),
    spacing=st.tuples(st.floats(0.8, 3), st.floats(0.5, 1), st.floats(0.5, 1)),
)
def test_a_ball_is_measured_as_a_ball(diameter: float, spacing: tuple[float, float, float]) -> None:
    shape = tuple(int(30 / step) + 2 for step in spacing)
    affine = straight(spacing, (-100, 50, 7))
    centre = (-100 + 15.1, 50 + 14.7, 7 + 15.3)
    voxels = np.argwhere(ball(shape, affine, centre, diameter))
    assert long_axis_mm(voxels, affine) == pytest.approx(diameter, abs=1.6 * max(spacing[1:]))
    assert volume_mm3(voxels, affine) == pytest.approx(np.pi / 6 * diameter**3, rel=0.15)
    assert centroid_lps(voxels, affine) == pytest.approx(centre, abs=0.3)


def test_one_voxel_has_a_size() -> None:
    voxel = np.array([[3, 4, 5]])
    affine = straight((2.0, 0.5, 0.7))
    assert long_axis_mm(voxel, affine) == pytest.approx(0.7)
    assert volume_mm3(voxel, affine) == pytest.approx(0.7)
    assert centroid_lps(voxel, affine) == pytest.approx([3.5, 2.0, 6.0])
