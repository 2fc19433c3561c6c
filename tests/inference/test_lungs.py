from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from hounsfield.errors import ModelError
from hounsfield.inference import TrainingItem, evaluate_bundle, run_bundle
from hounsfield.inference.lungs import segment_lungs
from hounsfield.phantom import chest_volume
from hounsfield.records import Prediction
from tests.inference.stand_in import DENSITY, FakeVolume, straight, threshold_bundle

SHAPE, SPACING = (100, 120, 124), (3.0, 3.0, 3.0)


def _numbers(prediction: Prediction) -> dict[str, float]:
    return {m.name.meaning: m.value for m in prediction.measurements}


@pytest.mark.parametrize(("seed", "emphysema"), [(11, 0.0), (12, 0.15), (13, 0.3)])
def test_emphysema_index_is_that_of_the_phantom(seed: int, emphysema: float) -> None:
    phantom = chest_volume(seed, shape=SHAPE, spacing_zyx=SPACING, emphysema=emphysema)
    volume = FakeVolume(phantom.hu, phantom.affine)
    prediction, mask = run_bundle(DENSITY, volume, version="1", device="cpu")
    numbers = _numbers(prediction)
    assert numbers["Emphysema index"] == pytest.approx(100 * phantom.emphysema_share, abs=1.5)
    truth = phantom.hu[phantom.lung_mask]
    assert numbers["Mean lung density"] == pytest.approx(truth.mean(), abs=15)
    assert numbers["15th percentile of lung density"] == pytest.approx(
        np.percentile(truth, 15), abs=8
    )
    litres = np.count_nonzero(phantom.lung_mask) * np.prod(SPACING) / 1e6
    assert numbers["Volume"] / 1000 == pytest.approx(litres, rel=0.06)
    assert mask is not None
    both = np.count_nonzero((mask > 0) & phantom.lung_mask)
    assert 2 * both / (np.count_nonzero(mask) + np.count_nonzero(phantom.lung_mask)) > 0.95
    assert prediction.findings == () and [s.type.meaning for s in prediction.segments] == ["Lung"]
    assert "not for diagnostic use" in prediction.disclaimer.lower()


def test_order_of_slices_and_cut_off_scans_do_not_matter() -> None:
    phantom = chest_volume(14, shape=SHAPE, spacing_zyx=SPACING, emphysema=0.1)
    upside_down = phantom.affine @ np.diag([1.0, 1.0, -1.0, 1.0])
    upside_down[:3, 3] = phantom.affine[:3, 3] + phantom.affine[:3, 2] * (SHAPE[0] - 1)
    plain = run_bundle(DENSITY, FakeVolume(phantom.hu, phantom.affine), version="1")[0]
    flipped = run_bundle(DENSITY, FakeVolume(phantom.hu[::-1], upside_down), version="1")[0]
    assert _numbers(flipped) == pytest.approx(_numbers(plain), rel=0.01)
    part = slice(30, 75)
    cut = run_bundle(DENSITY, FakeVolume(phantom.hu[part], phantom.affine), version="1")[0]
    truth = phantom.hu[part][phantom.lung_mask[part]]
    assert _numbers(cut)["Emphysema index"] == pytest.approx(100 * (truth < -950).mean(), abs=2)


@pytest.mark.parametrize("hu", [-1000, 0, 60], ids=["air", "water", "tissue"])
def test_no_lungs_in_view_is_refused(hu: int) -> None:
    volume = FakeVolume(np.full((40, 60, 60), hu, np.int16), straight((3, 3, 3)))
    with pytest.raises(ModelError, match="no lungs"):
        run_bundle(DENSITY, volume, version="1", device="cpu")


def test_an_abdomen_with_gas_is_refused() -> None:
    z, y, x = np.mgrid[:50, :80, :100]
    hu = np.where(((y - 40) / 34) ** 2 + ((x - 50) / 44) ** 2 < 1, 40, -1000).astype(np.float32)
    hu[(z - 25) ** 2 + (y - 20) ** 2 + (x - 60) ** 2 < 64] = -990
    with pytest.raises(ModelError, match="no lungs"):
        segment_lungs(hu, (3, 3, 3))


@pytest.mark.data
def test_a_real_head_is_refused(real_data: Path, tmp_path: Path) -> None:
    from hounsfield.volume import build_volume

    files = sorted(p for p in (real_data / "ct_head_phantom").rglob("*") if p.is_file())
    volume = build_volume(files, tmp_path / "volume", provenance={})
    with pytest.raises(ModelError, match="no lungs"):
        run_bundle(DENSITY, volume, version="1", device="cpu")


@pytest.mark.data
def test_volumes_on_disk_are_read_by_their_path(real_data: Path, tmp_path: Path) -> None:
    """A real head, its gantry tilted by 16.5 degrees: bone must be found where bone is."""
    from hounsfield.volume import build_volume

    files = sorted(p for p in (real_data / "ct_head_phantom").rglob("*") if p.is_file())
    volume = build_volume(files, tmp_path / "volume", provenance={})
    bone = ndimage.binary_opening(volume.rescaled() > 300, np.ones((1, 5, 5)))
    bundle, weights = threshold_bundle(tmp_path, hu=300)
    item = TrainingItem(str(tmp_path / "volume"), bone.astype(np.uint8))
    score = evaluate_bundle(bundle, [item], weights=weights, device="cpu").scores[0]
    assert score.dice is not None and score.dice > 0.6
