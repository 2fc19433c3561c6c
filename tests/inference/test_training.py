"""Training, as small as it can be while it still learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from hounsfield.errors import ModelError
from hounsfield.inference import Datalist, TrainingItem, evaluate_bundle, run_bundle, train_bundle
from tests.inference.stand_in import FakeVolume, ball, small_bundle, straight, threshold_bundle

SHAPE, SPACING = (32, 32, 32), (2.0, 2.0, 2.0)


def _item(seed: int) -> TrainingItem:
    rng = np.random.default_rng(seed)
    affine = straight(SPACING)
    lesion = ball(SHAPE, affine, rng.uniform(22, 40, 3), 16)
    values = np.where(lesion, 40, -850) + rng.normal(0, 20, SHAPE)
    maker = "ACME" if seed % 2 else "Other"
    volume = FakeVolume(values.astype(np.int16), affine)
    return TrainingItem(volume, lesion.astype(np.uint8), {"manufacturer": maker})


DATA = Datalist(training=(_item(1), _item(2)), validation=(_item(3), _item(4)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle"))


def test_training_lowers_the_loss_and_tells_how_it_went(bundle: Path, tmp_path: Path) -> None:
    told: list[tuple[str, float, int]] = []
    outcome = train_bundle(
        bundle,
        DATA,
        tmp_path,
        seed=3,
        max_epochs=8,
        log=lambda name, value, step: told.append((name, value, step)),
        device="cpu",
    )
    assert outcome.losses[-1] < 0.8 * outcome.losses[0]
    assert [step for name, _, step in told if name == "train_loss"] == list(range(1, 9))
    assert [p.name for p in outcome.weights.parent.iterdir()] == ["model.pt"]
    assert set(outcome.evaluation.by_subgroup["manufacturer"]) == {"ACME", "Other"}
    assert outcome.flat_metrics()["lesions.manufacturer.acme"] == 1
    assert outcome.params["epochs"] == 8
    assert json.loads(json.dumps(outcome.to_dict()))["params"]["seed"] == 3
    # The weights are what inference loads.
    run_bundle(bundle, DATA.validation[0].image, version="1", weights=outcome.weights.parent)


def test_the_same_seed_gives_the_same_weights(bundle: Path, tmp_path: Path) -> None:
    import torch

    states = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        outcome = train_bundle(
            bundle,
            Datalist(DATA.training, ()),
            tmp_path / name,
            seed=seed,
            max_epochs=1,
            device="cpu",
        )
        states.append(torch.load(outcome.weights, weights_only=True))
    first, again, other = states
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_training_ends_when_its_time_is_over(bundle: Path, tmp_path: Path) -> None:
    outcome = train_bundle(
        bundle, Datalist(DATA.training, ()), tmp_path, max_epochs=50, max_seconds=0, device="cpu"
    )
    assert len(outcome.losses) == 1


def test_evaluation_reads_labels_from_disk(tmp_path: Path) -> None:
    bundle, weights = threshold_bundle(tmp_path)
    items = []
    for number, item in enumerate(DATA.validation):
        array = zarr.create_array(str(tmp_path / f"{number}"), shape=SHAPE, dtype=np.uint8)
        array[:] = item.label
        items.append(TrainingItem(item.image, str(tmp_path / f"{number}"), item.subgroup))
    found = evaluate_bundle(bundle, items, weights=weights, device="cpu").overall
    assert found["sensitivity"] == 1 and found["false_positives_per_scan"] == 0
    assert found["dice"] > 0.85


def test_nothing_to_train_on_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no training volumes"):
        train_bundle(bundle, Datalist((), ()), tmp_path)


def test_labels_on_another_grid_are_refused(bundle: Path, tmp_path: Path) -> None:
    item = TrainingItem(DATA.training[0].image, np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(ModelError, match="grid"):
        train_bundle(bundle, Datalist((item,), ()), tmp_path, max_epochs=1, device="cpu")
