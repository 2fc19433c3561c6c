"""Grids and fields: the ground on which a chest is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.phantom.fields import Field
from hounsfield.phantom.grid import Grid

coordinate = st.floats(-200, 200)
spacing = st.floats(0.4, 6)


@given(
    scene=st.tuples(coordinate, coordinate, coordinate),
    steps=st.tuples(spacing, spacing, spacing),
    origin=st.tuples(coordinate, coordinate, coordinate),
)
def test_affine_takes_the_index_of_a_point_to_its_place(
    scene: tuple[float, float, float],
    steps: tuple[float, float, float],
    origin: tuple[float, float, float],
) -> None:
    grid = Grid.around((20, 30, 40), steps, origin)
    z, y, x = grid.index_of(scene)
    assert np.allclose((grid.affine @ (x, y, z, 1))[:3], grid.lps_of(scene), atol=1e-6)


def test_without_an_origin_scene_and_patient_agree() -> None:
    grid = Grid.around((20, 30, 40), (3.0, 2.0, 1.0))
    assert grid.lps_of((5.0, -6.0, 7.0)) == pytest.approx((5, -6, 7))
    assert grid.axis(0)[0] == pytest.approx(grid.origin_lps[2])


@given(seed=st.integers(0, 2**32))
def test_a_field_is_the_same_on_a_plane_and_at_its_points(seed: int) -> None:
    field = Field.drawn(np.random.default_rng(seed), mm=(10, 60), count=12)
    x, y, z = np.float32([-40, 0, 33]), np.float32([-7, 21]), 12.5
    points = np.float32([(a, b, z) for b in y for a in x])
    assert np.allclose(field.on_plane(x, y, z).ravel(), field.at(points), atol=1e-3)


def test_a_field_has_unit_variance() -> None:
    rng = np.random.default_rng(0)
    field = Field.drawn(rng, mm=(10, 30), count=40)
    values = field.at(rng.uniform(-300, 300, (20000, 3)).astype(np.float32))
    assert abs(values.mean()) < 0.1
    assert values.std() == pytest.approx(1, abs=0.15)
