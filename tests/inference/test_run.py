"""A bundle's findings must lie where the lesion lies, whatever the volume's grid."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hounsfield.errors import ModelError
from hounsfield.inference import MASK_FILE, VolumeLike, prediction_id, run_bundle
from hounsfield.inference.bundle import Bundle, choose_device
from hounsfield.records import Prediction
from tests.inference.stand_in import NODULE, FakeVolume, ball, straight, threshold_bundle

DIAMETER = 14.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return threshold_bundle(tmp_path_factory.mktemp("bundle"))[0]


def _oblique() -> NDArray[np.float64]:
    turn, tip = np.radians(25), np.radians(12)
    about_z = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    about_x = np.array([[1, 0, 0], [0, np.cos(tip), -np.sin(tip)], [0, np.sin(tip), np.cos(tip)]])
    affine = straight((2.5, 0.9, 0.8), (-20, -30, 40))
    affine[:3, :3] = about_z @ about_x @ affine[:3, :3]
    return affine


def _flipped() -> NDArray[np.float64]:
    affine = straight((2.0, 1.0, 1.0), (30, 40, 500))
    return affine @ np.diag([-1.0, -1.0, -1.0, 1.0])


def _tilted() -> NDArray[np.float64]:
    affine = straight((3.0, 0.8, 0.8), (-25, -25, -600))
    affine[1, 2] = 3.0 * np.tan(np.radians(16.5))  # Gantry tilt: slices shift along y.
    return affine


def _coronal() -> NDArray[np.float64]:
    affine = np.zeros((4, 4))
    affine[0, 0], affine[2, 1], affine[1, 2], affine[3, 3] = 0.9, -0.9, 2.0, 1
    affine[:3, 3] = (-25, -30, 200)
    return affine


GRIDS = {
    "anisotropic": straight((5.0, 0.7, 0.7), (-12.3, 45.6, -789.1)),
    "isotropic": straight((1.0, 1.0, 1.0)),
    "flipped": _flipped(),
    "oblique": _oblique(),
    "tilted": _tilted(),
    "coronal": _coronal(),
}


def _lesion(affine: NDArray[np.float64]) -> tuple[FakeVolume, NDArray[np.bool_], list[float]]:
    """A bright ball, off the centre along each axis, in air."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    shape = [round(extent / step) for extent, step in zip((70, 56, 62), spacing, strict=True)]
    index = np.array([0.62 * shape[2], 0.36 * shape[1], 0.57 * shape[0]])
    centre = affine[:3, :3] @ index + affine[:3, 3]
    inside = ball(shape, affine, centre, DIAMETER)
    values = np.where(inside, 400, -1000).astype(np.int16)
    return FakeVolume(values, affine), inside, list(centre)


@pytest.mark.parametrize("name", GRIDS)
def test_findings_lie_where_the_lesion_lies(bundle: Path, name: str) -> None:
    volume, truth, centre = _lesion(GRIDS[name])
    prediction, mask = run_bundle(bundle, volume, version="1", device="cpu")
    (finding,) = prediction.findings
    assert mask is not None and mask.dtype == np.uint8 and mask.shape == volume.shape
    assert finding.centroid_lps == pytest.approx(centre, abs=0.5 * max(volume.spacing_zyx))
    dice = 2 * np.count_nonzero(truth & (mask > 0)) / (np.count_nonzero(mask) + truth.sum())
    assert dice > 0.85
    sizes = {m.name.meaning: m.value for m in finding.measurements}
    voxel = abs(np.linalg.det(volume.affine[:3, :3]))
    assert sizes["Volume"] == pytest.approx(truth.sum() * voxel, rel=0.2)
    # Within one slice of the series, whose planes need not pass through the centre.
    assert sizes["Long Axis"] == pytest.approx(DIAMETER, abs=2.0)
    assert finding.box_zyx is not None
    box = tuple(slice(*edges) for edges in finding.box_zyx)
    assert np.count_nonzero(mask[box]) == np.count_nonzero(mask)


def test_mask_is_not_moved_by_a_fraction_of_a_voxel(bundle: Path) -> None:
    """Twelve balls at random places: the centroids' mean error must vanish."""
    rng = np.random.default_rng(5)
    affine, shape = straight((1.0, 1.0, 1.0), (3, -8, 21)), (96, 64, 64)
    errors = []
    for z in (14, 34, 54, 74):
        for y in (16, 32, 48):
            centre = np.array([rng.uniform(16, 48), y + rng.random(), z + rng.random()])
            inside = ball(shape, affine, centre + affine[:3, 3], 12)
            volume = FakeVolume(np.where(inside, 400, -1000), affine)
            prediction, _ = run_bundle(bundle, volume, version="1", device="cpu")
            truth = np.argwhere(inside).mean(axis=0)[::-1] + affine[:3, 3]
            errors.append(np.subtract(prediction.findings[0].centroid_lps, truth))
    assert np.abs(np.mean(errors, axis=0)).max() < 0.1


def test_prediction_says_where_it_comes_from(bundle: Path) -> None:
    volume, _, _ = _lesion(GRIDS["isotropic"])
    prediction, _ = run_bundle(
        bundle, volume, version="7", study_key="st-x", series_key="1.2", device="cpu"
    )
    assert isinstance(volume, VolumeLike)
    assert prediction.prediction_id == prediction_id(volume.digest, "lung_nodule", "7")
    assert prediction.prediction_id != prediction_id(volume.digest, "lung_nodule", "8")
    assert (prediction.model, prediction.version) == ("lung_nodule", "7")
    assert (prediction.study_key, prediction.series_key) == ("st-x", "1.2")
    assert "not for diagnostic use" in prediction.disclaimer.lower()
    assert prediction.device == "cpu"
    assert prediction.mask == MASK_FILE
    assert Prediction.from_dict(prediction.to_dict()) == prediction


def test_nothing_found_has_no_mask(bundle: Path) -> None:
    empty = FakeVolume(np.full((40, 40, 40), -1000, np.int16), straight((1, 1, 1)))
    prediction, mask = run_bundle(bundle, empty, version="1", device="cpu")
    assert mask is None and prediction.mask is None
    assert prediction.findings == () and prediction.segments == ()


def test_weights_are_asked_for(tmp_path: Path) -> None:
    volume = FakeVolume(np.zeros((8, 8, 8), np.int16), straight((1, 1, 1)))
    with pytest.raises(ModelError, match="no weights"):
        run_bundle(NODULE, volume, version="1", weights=tmp_path, device="cpu")


def test_weights_of_another_network_are_refused(bundle: Path) -> None:
    volume = FakeVolume(np.zeros((32, 32, 32), np.int16), straight((2, 2, 2)))
    with pytest.raises(ModelError, match="lung_nodule"):
        run_bundle(NODULE, volume, version="1", weights=bundle / "models", device="cpu")


def test_weights_that_would_run_code_are_refused(bundle: Path, tmp_path: Path) -> None:
    import pickle

    (tmp_path / "model.pt").write_bytes(pickle.dumps(print))
    volume = FakeVolume(np.zeros((32, 32, 32), np.int16), straight((2, 2, 2)))
    with pytest.raises(ModelError):
        run_bundle(bundle, volume, version="1", weights=tmp_path, device="cpu")


def test_folder_without_bundle_is_refused(tmp_path: Path) -> None:
    volume = FakeVolume(np.zeros((8, 8, 8), np.int16), straight((1, 1, 1)))
    with pytest.raises(ModelError, match=r"metadata\.json"):
        run_bundle(tmp_path, volume, version="1")


def test_bundle_without_warning_gets_one(tmp_path: Path) -> None:
    shutil.copytree(NODULE / "configs", tmp_path / "configs")
    (tmp_path / "configs" / "metadata.json").write_text('{"name": "x"}')
    assert "not for diagnostic use" in Bundle.open(tmp_path).disclaimer.lower()


def test_device_is_the_cpu_where_there_is_no_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        assert choose_device().type == "cuda"
        return
    assert choose_device().type == "cpu"
    with pytest.raises(ModelError, match="GPU"):
        choose_device("cuda")


def test_nothing_heavy_is_imported_before_a_model_runs() -> None:
    heavy = "torch monai ignite mlflow skimage zarr"
    code = (
        "import sys, hounsfield.inference\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
