from __future__ import annotations

import numpy as np
import pytest

from hounsfield.inference import Evaluation, Outcome, Score
from hounsfield.inference.codes import NODULE
from hounsfield.inference.scoring import lesions_of
from hounsfield.records import Finding

FINDING = Finding(label="Nodule", type=NODULE)


def _outcome(*boxes: tuple[slice, slice, slice]) -> Outcome:
    mask = np.zeros((10, 20, 20), np.uint8)
    for number, box in enumerate(boxes, start=1):
        mask[box] = number
    return Outcome(mask=mask if boxes else None, findings=(FINDING,) * len(boxes))


def _box(start: int) -> tuple[slice, slice, slice]:
    return slice(2, 6), slice(start, start + 4), slice(start, start + 4)


def _label(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    label = np.zeros((10, 20, 20), np.uint8)
    for number, box in enumerate(boxes, start=1):
        label[box] = number
    return label


def test_hits_misses_and_false_alarms_are_counted() -> None:
    score = Score.of(_outcome(_box(1), _box(15)), _label(_box(1), _box(8)))
    assert (score.lesions, score.found, score.false_positives) == (2, 1, 1)
    assert score.dice == pytest.approx(0.5)


def test_touching_lesions_are_told_apart_by_their_values() -> None:
    label = _label(_box(4), (slice(2, 6), slice(8, 12), slice(4, 8)))
    assert lesions_of(label)[1] == 2
    assert Score.of(_outcome(_box(4)), label).found == 1


def test_volumes_without_lesions_count_for_false_alarms_only() -> None:
    healthy = Score.of(_outcome(_box(1)), _label())
    assert healthy.dice is None
    ill = Score.of(_outcome(_box(8)), _label(_box(8)))
    assert Evaluation((healthy, ill)).overall == {
        "scans": 2,
        "lesions": 1,
        "false_positives_per_scan": 0.5,
        "sensitivity": 1,
        "dice": 1,
    }
    assert "sensitivity" not in Evaluation((healthy,)).overall


def test_metrics_are_broken_down_by_subgroup() -> None:
    scores = (
        Score.of(_outcome(_box(1)), _label(_box(1)), {"manufacturer": "ACME Corp."}),
        Score.of(_outcome(), _label(_box(1)), {"manufacturer": "Other"}),
        Score.of(_outcome(), _label(_box(1))),
    )
    evaluation = Evaluation(scores)
    split = evaluation.by_subgroup["manufacturer"]
    assert {name: m["sensitivity"] for name, m in split.items()} == {
        "ACME Corp.": 1,
        "Other": 0,
        "unknown": 0,
    }
    flat = evaluation.flat()
    assert flat["sensitivity.manufacturer.acme_corp"] == 1
    assert flat["sensitivity"] == pytest.approx(1 / 3, abs=1e-3)
