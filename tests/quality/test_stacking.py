"""Gaps are found wherever they are, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.dicom.geometry import Plane
from hounsfield.dicom.stacking import stack_columns

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def plane(z: float, orientation: tuple[float, ...] = AXIAL, y: float = 0.0) -> Plane:
    normal = np.cross(orientation[:3], orientation[3:])
    x, dy, dz = z * normal
    return Plane((x, y + dy, dz), orientation, (0.8, 0.8), 512, 512)


def stack(positions: list[float], numbers: list[int | None] | None = None) -> list[dict]:
    planes = [plane(z) for z in positions]
    return stack_columns(planes, numbers or [None] * len(planes))


@given(
    count=st.integers(8, 60),
    spacing=st.floats(0.4, 10),
    start=st.floats(-1000, 1000),
    data=st.data(),
)
def test_one_missing_slice_is_found_where_it_is(
    count: int, spacing: float, start: float, data: st.DataObject
) -> None:
    missing = data.draw(st.integers(1, count - 2))
    order = data.draw(st.permutations([i for i in range(count) if i != missing]))
    # Headers round to two decimals.
    columns = stack([round(start + index * spacing, 2) for index in order])
    gaps = [order[i] for i, each in enumerate(columns) if each.get("gap")]
    assert gaps == [missing - 1]
    assert sum(each.get("missing_slices", 0) for each in columns) == 1


@given(count=st.integers(2, 60), spacing=st.floats(0.4, 10), start=st.floats(-1000, 1000))
def test_a_whole_stack_has_no_gap(count: int, spacing: float, start: float) -> None:
    columns = stack([round(start + index * spacing, 2) for index in range(count)])
    assert not any(each.get("gap") for each in columns)
    assert all(each["spacing_even"] for each in columns[:-1])
    assert {each["gantry_tilt_degrees"] for each in columns} == {0.0}


def test_spacing_that_doubles_half_way_is_uneven_not_incomplete() -> None:
    positions = [5.0 * i for i in range(10)] + [45 + 10.0 * i for i in range(1, 10)]
    columns = stack(positions, list(range(1, 20)))
    assert not any(each.get("gap") for each in columns)
    assert not all(each["spacing_even"] for each in columns[:-1])


def test_many_holes_show_by_the_instance_numbers() -> None:
    kept = [i for i in range(30) if i % 3]
    columns = stack([2.0 * i for i in kept], [i + 1 for i in kept])
    assert sum(bool(each.get("gap")) for each in columns) == 9


def test_three_planes_are_three_stacks() -> None:
    planes = [plane(0), plane(0, SAGITTAL), plane(5), plane(5, SAGITTAL)]
    columns = stack_columns(planes, [1, 2, 3, 4])
    assert {each["stack_count"] for each in columns} == {2}
    assert not any(each.get("gap") for each in columns)


def test_echoes_share_their_positions() -> None:
    columns = stack([0, 0, 3, 3, 6, 6])
    assert {each["images_here"] for each in columns} == {2}
    assert all(each["places_even"] for each in columns)
    columns = stack([0, 0, 3, 6, 6])
    assert not any(each["places_even"] for each in columns)


@pytest.mark.parametrize("degrees", [0.0, 5.0, 16.5, -20.0])
def test_tilt_is_the_angle_between_normal_and_path(degrees: float) -> None:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    tilted = (1.0, 0.0, 0.0, 0.0, float(cosine), float(sine))
    planes = [Plane((0.0, 0.0, 2.4 * i), tilted, (0.5, 0.5), 512, 512) for i in range(20)]
    columns = stack_columns(planes, [None] * 20)
    assert columns[0]["gantry_tilt_degrees"] == pytest.approx(abs(degrees), abs=0.01)


def test_a_slice_beside_the_line_is_seen() -> None:
    planes = [plane(2.0 * i, y=3.0 if i == 4 else 0.0) for i in range(9)]
    columns = stack_columns(planes, [None] * 9)
    assert [each["in_line"] for each in columns].index(False) == 4
    assert sum(not each["in_line"] for each in columns) == 1


def test_images_without_a_plane_are_left_alone() -> None:
    assert stack_columns([None, plane(0)], [1, 2])[0] == {}
