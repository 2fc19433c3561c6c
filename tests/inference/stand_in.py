"""Volumes in memory, and a bundle whose network is a threshold: geometry without training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

MODELS = Path(__file__).resolve().parents[2] / "models"
NODULE, DENSITY = MODELS / "lung_nodule", MODELS / "lung_density"


@dataclass(frozen=True)
class FakeVolume:
    """A volume (z, y, x) in HU that was never on disk."""

    values: NDArray[Any]
    affine: NDArray[np.float64]
    digest: str = "0" * 64
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def spacing_zyx(self) -> tuple[float, ...]:
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    def rescaled(self, dtype: Any = np.float32) -> NDArray[Any]:
        return self.values.astype(dtype)


def straight(
    spacing_zyx: Sequence[float], origin: Sequence[float] = (0, 0, 0)
) -> NDArray[np.float64]:
    affine = np.diag([*spacing_zyx[::-1], 1.0])
    affine[:3, 3] = origin
    return affine


def points_of(shape: Sequence[int], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(z, y, x, 3): each voxel's centre in LPS millimetres."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return np.stack([x, y, z], axis=-1) @ affine[:3, :3].T + affine[:3, 3]


def ball(
    shape: Sequence[int], affine: NDArray[np.float64], centre: Sequence[float], diameter: float
) -> NDArray[np.bool_]:
    away = np.linalg.norm(points_of(shape, affine) - np.asarray(centre), axis=-1)
    return away <= diameter / 2


def threshold_bundle(folder: Path, hu: float = -300.0) -> tuple[Path, Path]:
    """The nodule bundle with a network that finds what is brighter than `hu`; its weights."""
    import torch

    bundle = folder / "lung_nodule"
    shutil.copytree(NODULE, bundle)
    path = bundle / "configs" / "inference.yaml"
    config = yaml.safe_load(path.read_text())
    config["network_def"] = {
        "_target_": "torch.nn.Conv3d",
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": 1,
    }
    path.write_text(yaml.safe_dump(config))
    steep, edge = 60.0, (hu + 1000) / 1400
    state = {
        "weight": torch.tensor([0.0, steep]).reshape(2, 1, 1, 1, 1),
        "bias": torch.tensor([0.0, -steep * edge]),
    }
    (bundle / "models").mkdir()
    torch.save({"model": state}, bundle / "models" / "model.pt")
    return bundle, bundle / "models"


def small_bundle(folder: Path) -> Path:
    """The nodule bundle with patches so small that a training takes seconds."""
    bundle = folder / "small"
    shutil.copytree(NODULE / "configs", bundle / "configs")
    path = bundle / "configs" / "train.yaml"
    config = yaml.safe_load(path.read_text())
    config |= {"patch": [16, 16, 16], "patches_per_volume": 4, "learning_rate": 0.02}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return bundle
