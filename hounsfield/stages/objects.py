"""The SR and the SEG of a prediction, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from hounsfield.records import Prediction
from hounsfield.results import (
    OutputSettings,
    Predecessor,
    build_seg,
    build_sr,
    name_profile,
    part10,
)
from hounsfield.volume import Volume

__all__ = ["write_objects"]


def write_objects(
    folder: Path,
    prediction: Prediction,
    mask: np.ndarray | None,
    sources: Sequence[Dataset],
    volume: Volume,
    *,
    uid: Callable[[str], str],
    when: datetime,
    settings: OutputSettings,
    predecessor: Predecessor | None = None,
    profile_digest: str = "",
) -> list[str]:
    """Writes ``sr.dcm``, and ``seg.dcm`` where there is something to outline; gives their kinds.

    Parameters
    ----------
    sources
        Headers of the original instances, in the volume's slice order: theirs is the patient.
    predecessor
        The report whose place this one takes.
    profile_digest
        Of the profile that made what the model read; empty where the sources are that themselves.
    """
    seg = None
    if mask is not None:
        seg = build_seg(
            prediction,
            mask,
            sources,
            uid=uid,
            when=when,
            settings=settings,
            affine=volume.affine,
            frames=volume.frames,
        )
    report = build_sr(
        prediction,
        mask,
        sources,
        seg,
        uid=uid,
        when=when,
        settings=settings,
        predecessor=predecessor,
        frames=volume.frames,
    )
    objects = {"sr": report} | ({"seg": seg} if seg is not None else {})
    for kind, dataset in objects.items():
        if profile_digest:
            name_profile(dataset, profile_digest)
        (folder / f"{kind}.dcm").write_bytes(part10(dataset))
    return sorted(objects)
