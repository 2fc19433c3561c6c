from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hounsfield.dicom.geometry import Plane, arrange, places_of
from hounsfield.errors import GeometryError

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def stack(offsets: list[float], **changes: object) -> list[Plane]:
    values: dict = {"orientation": AXIAL, "pixel_spacing": (0.5, 0.7), "rows": 4, "columns": 5}
    values.update(changes)
    return [Plane(position=(10.0, 20.0, z), **values) for z in offsets]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[list[Plane], np.ndarray]:
    """A shuffled stack with its affine: any orientation, spacing, origin and gantry tilt."""
    angles = draw(st.lists(st.floats(-180, 180), min_size=3, max_size=3))
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    spacing = draw(st.lists(st.floats(0.1, 8), min_size=3, max_size=3))
    tilt = np.radians(draw(st.floats(-40, 40)))
    step = turn @ np.array([0, np.sin(tilt), np.cos(tilt)]) * spacing[2]
    origin = np.array(draw(st.lists(st.floats(-500, 500), min_size=3, max_size=3)))
    affine = np.eye(4)
    affine[:3, :] = np.stack([turn[:, 0] * spacing[0], turn[:, 1] * spacing[1], step, origin], 1)
    planes = [
        Plane(
            position=tuple(origin + step * index),
            orientation=(*turn[:, 0], *turn[:, 1]),
            pixel_spacing=(spacing[1], spacing[0]),
            rows=4,
            columns=5,
        )
        for index in range(draw(st.integers(2, 12)))
    ]
    return planes, affine


@settings(max_examples=60, deadline=None)
@given(stacks(), st.randoms(use_true_random=False))
def test_any_orientation_and_order_give_the_affine(
    made: tuple[list[Plane], np.ndarray], chance: random.Random
) -> None:
    planes, affine = made
    shuffled = list(enumerate(planes))
    chance.shuffle(shuffled)
    geometry = arrange([plane for _, plane in shuffled])
    np.testing.assert_allclose(geometry.affine, affine, atol=1e-6)
    assert [shuffled[i][0] for i in geometry.order] == list(range(len(planes)))
    for index, place in enumerate(geometry.order):
        voxel = geometry.affine @ [0, 0, index, 1]
        np.testing.assert_allclose(voxel[:3], shuffled[place][1].position, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(stacks(), st.data())
def test_a_missing_slice_is_found_where_it_is(
    made: tuple[list[Plane], np.ndarray], data: st.DataObject
) -> None:
    planes, _ = made
    if len(planes) < 5:
        return
    hole = data.draw(st.integers(1, len(planes) - 2))
    with pytest.raises(GeometryError, match=f"1 slice is missing between slice {hole - 1} and"):
        arrange(planes[:hole] + planes[hole + 1 :])


def test_an_axial_stack() -> None:
    geometry = arrange(stack([6.0, 2.0, 4.0]))
    assert geometry.order == (1, 2, 0)
    assert geometry.shape_zyx == (3, 4, 5)
    assert geometry.spacing_zyx == (2.0, 0.5, 0.7)
    assert geometry.tilt_degrees == pytest.approx(0)
    expected = [[0.7, 0, 0, 10], [0, 0.5, 0, 20], [0, 0, 2, 2], [0, 0, 0, 1]]
    np.testing.assert_allclose(geometry.affine, expected)


def test_one_slice_takes_its_thickness() -> None:
    assert arrange(stack([5.0], thickness=3.0)).spacing_zyx[0] == 3.0
    assert arrange(stack([5.0])).spacing_source == "assumed"


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ([], "no slices"),
        (stack([0, 1, 2, 2, 3]), "several images at one position: slice 2 and 3"),
        (stack([0, 1, 2, 5, 6]), "2 slices are missing between slice 2 and 3"),
        (stack([*range(5), *range(50, 55)]), "45 slices are missing .* two stacks share a series"),
        (stack([0, 1]) + stack([2], rows=9), "differ in size: 4 × 5, 9 × 5"),
        (stack([0, 1]) + stack([2], orientation=(1, 0, 0, 0, 0, -1)), "different orientations"),
        (stack([0, 1]) + stack([2], pixel_spacing=(0.5, 0.8)), "PixelSpacing"),
        ([*stack([0, 1, 2]), Plane((13, 20, 3), AXIAL, (0.5, 0.7), 4, 5)], "leave the line"),
    ],
)
def test_what_makes_no_volume_says_why(planes: list[Plane], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        arrange(planes)


def test_rounded_positions_are_regular() -> None:
    geometry = arrange(stack([round(i * 0.7031, 2) for i in range(400)]))
    assert geometry.shape_zyx[0] == 400
    assert geometry.regular


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 1, 2, 3.4, 4.4],
        [*range(10), *range(10, 30, 2)],  # a head CT that doubles its spacing half-way
    ],
)
def test_uneven_steps_are_recorded(offsets: list[float]) -> None:
    geometry = arrange(stack(offsets))
    assert not geometry.regular
    assert geometry.positions[:, 2].tolist() == offsets
    last = geometry.affine @ [0, 0, len(offsets) - 1, 1]
    np.testing.assert_allclose(last[:3], geometry.positions[-1])


def test_images_at_one_place_are_together() -> None:
    planes = stack([4, 0, 2, 0.01, 4, 2])
    assert [sorted(place) for place in places_of(planes)] == [[1, 3], [2, 5], [0, 4]]
    shifted = [*planes, Plane((11.0, 20.0, 2.0), AXIAL, (0.5, 0.7), 4, 5)]
    with pytest.raises(GeometryError, match="shifted against each other"):
        places_of(shifted)
