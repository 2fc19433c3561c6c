"""Objects that no table and no scan can make safe."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from hounsfield.errors import DeidentificationError

__all__ = ["refuse_unsafe"]

_REFUSED: Final[dict[str, str]] = {
    "1.2.840.10008.5.1.4.1.1.9.4.1": "a voice tells who speaks",  # Basic Voice Audio Waveform
    "1.2.840.10008.5.1.4.1.1.9.4.2": "a voice tells who speaks",  # General Audio Waveform
}


def refuse_unsafe(dataset: Dataset) -> None:
    """Refuses what cannot be de-identified.

    Raises
    ------
    DeidentificationError
        Saying why.
    """
    reason = _REFUSED.get(str(dataset.get("SOPClassUID", "")))
    if reason:
        raise DeidentificationError(
            f"this kind of object cannot be de-identified: {reason}",
            remedy="leave it in the protected zone",
        )
