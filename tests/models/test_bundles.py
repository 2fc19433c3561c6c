"""Each folder under models/ is a MONAI bundle, and one that this pipeline can run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hounsfield.inference import load_routes
from tests.inference.stand_in import FakeVolume, ball, straight, threshold_bundle

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(p.parents[1] for p in (ROOT / "models").glob("*/configs/metadata.json"))

# What MONAI's schema (meta_schema_20240725.json) demands; the schema itself is not in the
# package, and tests need no network.
REQUIRED = {
    "version": str,
    "changelog": dict,
    "monai_version": str,
    "pytorch_version": str,
    "numpy_version": str,
    "required_packages_version": dict,
    "task": str,
    "description": str,
    "authors": str,
    "copyright": str,
    "network_data_format": dict,
}
TENSOR = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"}


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def _yaml(bundle: Path, name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((bundle / "configs" / f"{name}.yaml").read_text()))


def test_there_is_a_bundle_for_each_model_that_routing_names() -> None:
    assert {b.name for b in BUNDLES} == set(load_routes(ROOT / "configs" / "routing.yaml").models)


def test_metadata_has_what_the_schema_demands(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["schema"].endswith("meta_schema_20240725.json")
    for key, kind in REQUIRED.items():
        assert isinstance(metadata[key], kind), key
    assert metadata["version"] in metadata["changelog"]
    assert "not for diagnostic use" in metadata["intended_use"].lower()
    formats = metadata["network_data_format"]
    for tensor in (*formats["inputs"].values(), *formats["outputs"].values()):
        assert set(tensor) >= TENSOR
    assert "not for diagnostic use" in (bundle / "docs" / "README.md").read_text().lower()


def test_versions_are_those_that_are_installed(bundle: Path) -> None:
    from importlib.metadata import version

    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["monai_version"] == version("monai")
    assert metadata["pytorch_version"] == version("torch").split("+")[0]
    assert metadata["numpy_version"] == version("numpy")
    for name, wanted in metadata["required_packages_version"].items():
        assert wanted == version(name), name


@pytest.mark.parametrize(("name", "kind"), [("inference", "infer"), ("train", "train")])
def test_configurations_have_monais_properties(bundle: Path, name: str, kind: str) -> None:
    from monai.bundle import ConfigWorkflow

    path = bundle / "configs" / f"{name}.yaml"
    if not path.is_file():
        assert "weights" not in _yaml(bundle, "inference")  # Nothing is learned.
        return
    volume = FakeVolume(np.zeros((16, 16, 16), np.int16), straight((2, 2, 2)))
    item = {"image": volume, "label": np.zeros(volume.shape, np.uint8)}
    workflow = ConfigWorkflow(
        str(path), workflow_type=kind, logging_file=False, datalist=(item,), training=(item,)
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_weights_are_not_in_the_repository(bundle: Path) -> None:
    kinds = {".pt", ".pth", ".ts", ".onnx", ".safetensors"}
    assert [p for p in bundle.rglob("*") if p.suffix in kinds] == []


def test_training_and_inference_agree() -> None:
    train, inference = (_yaml(ROOT / "models" / "lung_nodule", n) for n in ("train", "inference"))
    for key in ("network_def", "spacing_mm", "hu_range"):
        assert train[key] == inference[key], key


def test_evaluation_by_monais_own_workflow(tmp_path: Path) -> None:
    from monai.bundle import ConfigWorkflow

    bundle, weights = threshold_bundle(tmp_path)
    affine = straight((2.0, 1.5, 1.5))
    lesion = ball((40, 50, 50), affine, (30, 40, 44), 16)
    volume = FakeVolume(np.where(lesion, 400, -1000).astype(np.int16), affine)
    workflow = ConfigWorkflow(
        [str(bundle / "configs" / f"{name}.yaml") for name in ("inference", "evaluate")],
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(bundle),
        weights=str(weights / "model.pt"),
        datalist=({"image": volume, "label": lesion.astype(np.uint8)},),
    )
    workflow.initialize()
    workflow.run()
    assert workflow.evaluator.state.metrics["dice"] > 0.85
