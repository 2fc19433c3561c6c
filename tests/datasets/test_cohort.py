"""The cohort is parsed at the edge, and each of its restrictions restricts."""

from __future__ import annotations

from typing import Any

import pytest

from hounsfield.catalog.models import Study
from hounsfield.datasets import Cohort
from hounsfield.datasets.cohort import PHANTOMS
from hounsfield.errors import ConfigError
from hounsfield.site import Site
from tests.datasets.conftest import add_volume


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"patient_name": "x"}, "patient_name"),
        ({"description": "("}, "description"),
        ({"slice_thickness_mm": [3, 1]}, "order"),
        ({"slice_thickness_mm": "thin"}, "two numbers"),
        ({"min_slices": 0}, "min_slices"),
        ({"min_slices": True}, "min_slices"),
        ({"modality": 7}, "modality"),
    ],
)
def test_what_cannot_be_asked_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Cohort.from_dict(data)


def test_there_and_back() -> None:
    cohort = Cohort.from_dict({"modality": "CT", "slice_thickness_mm": [0.5, 3], "body_part": None})
    assert Cohort.from_dict(cohort.to_dict()) == cohort


@pytest.mark.parametrize(
    ("cohort", "left"),
    [
        ({}, {1, 2, 3}),
        ({"modality": "ct"}, {1, 2}),
        ({"body_part": "Abdomen"}, {2}),
        ({"manufacturer": "ACME"}, {1, 3}),
        ({"description": "^lung|b70"}, {1, 2}),
        ({"slice_thickness_mm": [0.5, 1.0]}, {1}),
        ({"min_slices": 100}, {2}),
    ],
)
def test_each_restriction_restricts(site: Site, cohort: dict[str, Any], left: set[int]) -> None:
    add_volume(site, 1)
    add_volume(site, 2, body_part="ABDOMEN", slice_thickness_mm=5.0, instance_count=100)
    add_volume(site, 3, modality="MR", description="T1", slice_thickness_mm=None)
    add_volume(site, 4, state="quarantined")
    add_volume(site, 5, state="received")
    question = Cohort.from_dict(cohort)
    with site.catalog.read() as session:
        rows = [row[0] for row in session.execute(question.query())]
    assert {int(r.series_key[5:]) for r in rows if question.describes(r)} == left


def test_a_phantom_is_never_taken_for_a_patient(site: Site) -> None:
    add_volume(site, 1)
    add_volume(site, 2)
    site.catalog.put(Study(study_key="st-2", project=PHANTOMS))
    for cohort, left in ((Cohort(), "st-1"), (Cohort(project=PHANTOMS), "st-2")):
        with site.catalog.read() as session:
            assert [row[1].study_key for row in session.execute(cohort.query())] == [left]
