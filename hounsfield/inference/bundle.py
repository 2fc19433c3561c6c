"""MONAI bundles: opened, checked, and turned into what their configurations describe.

See https://monai.readthedocs.io/en/stable/mb_specification.html. What this pipeline asks of
an inference configuration beyond MONAI's own items is `report`, a
:class:`hounsfield.inference.seams.Report`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hounsfield.errors import ModelError

__all__ = ["WEIGHTS", "Bundle", "choose_device"]

#: File of the weights within their folder: a PyTorch state dict.
WEIGHTS = "model.pt"
_NOT_DIAGNOSTIC = "Not for diagnostic use."


@dataclass(frozen=True)
class Bundle:
    """One model: its folder and what its metadata says.

    Attributes
    ----------
    root
        Folder with ``configs/``.
    metadata
        configs/metadata.json.
    """

    root: Path
    metadata: dict[str, Any]

    @classmethod
    def open(cls, root: Path) -> Self:
        """Reads a bundle's metadata.

        Raises
        ------
        ModelError
            If the folder holds no bundle.
        """
        try:
            metadata = json.loads((root / "configs" / "metadata.json").read_text())
        except (OSError, ValueError):
            raise ModelError(
                "no bundle: configs/metadata.json is missing or is not JSON",
                where=f"model {root.name}",
            ) from None
        return cls(root.resolve(), metadata)

    @property
    def name(self) -> str:
        """The folder's name, which is the model's in routing and registry."""
        return self.root.name

    @property
    def algorithm(self) -> str:
        """The name for people, which results bear."""
        return str(self.metadata.get("name", self.name))

    @property
    def disclaimer(self) -> str:
        """What every result says; never without the warning."""
        said = str(self.metadata.get("intended_use", "")).strip()
        return said if "not for diagnostic use" in said.lower() else f"{said} {_NOT_DIAGNOSTIC}"

    def configure(self, *names: str, **values: Any) -> Any:
        """A MONAI ConfigParser over ``configs/<name>.yaml``, later ones over earlier ones.

        Parameters
        ----------
        values
            Replace items of the configuration. Lists are passed as tuples: MONAI takes those
            as they are, and looks for expressions to evaluate inside lists.

        Raises
        ------
        ModelError
            If the bundle lacks the configuration.
        """
        from monai.bundle import ConfigParser

        files = [self.root / "configs" / f"{name}.yaml" for name in names]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ModelError(f"the bundle has no configs/{missing[0]}", where=f"model {self.name}")
        parser = ConfigParser()
        parser.read_config([str(file) for file in files])
        parser.read_meta(str(self.root / "configs" / "metadata.json"))
        parser.update({"bundle_root": str(self.root), **values})
        return parser


def choose_device(wanted: str = "auto") -> Any:
    """A torch device: the GPU where there is one, unless told otherwise.

    Parameters
    ----------
    wanted
        "auto", or a device of PyTorch such as "cpu", "cuda" or "cuda:1".

    Raises
    ------
    ModelError
        If a GPU is demanded and there is none.
    """
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(
            "a GPU was asked for and there is none", remedy="use the device auto or cpu"
        )
    return torch.device(wanted)
