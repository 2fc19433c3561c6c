"""The two seams of inference: what a volume must offer, and what a bundle must say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hounsfield.records import Finding, Measurement, Segment

__all__ = ["Outcome", "Report", "VolumeLike"]


@runtime_checkable
class VolumeLike(Protocol):
    """What inference reads of a volume; `hounsfield.volume.Volume` is one.

    Attributes
    ----------
    shape
        Voxels along (z, y, x).
    affine
        4x4 float64: (x = column, y = row, z = slice, 1), zero-based voxel centres, to LPS
        millimetres (PS3.3 C.7.6.2.1.1).
    spacing_zyx
        Distance of voxel centres along (z, y, x), mm.
    digest
        Of the volume's content.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def affine(self) -> NDArray[np.float64]: ...

    @property
    def spacing_zyx(self) -> tuple[float, ...]: ...

    @property
    def digest(self) -> str: ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    def rescaled(self, dtype: Any = np.float32) -> NDArray[Any]:
        """(z, y, x), after the modality transform: HU for CT."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a model found in one volume, before it is given an identity.

    Attributes
    ----------
    mask
        (z, y, x) uint8 on the volume's grid, its values the numbers of `segments`; None
        where there is nothing to outline.
    measurements
        Of the volume as a whole.
    """

    mask: NDArray[np.uint8] | None = None
    segments: tuple[Segment, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


class Report(Protocol):
    """The item `report` of a bundle's inference configuration."""

    def __call__(self, volume: VolumeLike, prediction: NDArray[np.float32]) -> Outcome:
        """Turns the network's output into findings.

        Parameters
        ----------
        prediction
            (z, y, x) on the volume's grid: the probability of the foreground, 0 to 1.

        Raises
        ------
        ModelError
            If the volume does not show what the model looks at.
        """
        ...
