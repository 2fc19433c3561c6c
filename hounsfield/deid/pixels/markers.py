"""Text that belongs to the picture: laterality and view markers stay."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_marker", "is_telling"]

_MARKERS: Final = frozenset(
    """
    L R RT LT LEFT RIGHT RE LI LINKS RECHTS A P S I H F AP PA LAT LATERAL OBL RAO LAO LPO RPO
    CC MLO RCC LCC RMLO LMLO ML LM XCCL AT SI IS HF HFS FFS HFP FFP SUPINE PRONE ERECT
    UPRIGHT STANDING SITTING PORTABLE DECUB DECUBITUS INSP EXP INSPIRATION EXPIRATION
    LL RL APR APL
    """.split()  # noqa: SIM905
)


def is_marker(text: str) -> bool:
    """Whether the whole text is made of laterality, view and position markers."""
    words = re.findall(r"[A-Za-z0-9]+", text.upper())
    return bool(words) and all(word in _MARKERS for word in words)


def is_telling(text: str) -> bool:
    """Whether a text could identify anybody: two letters or digits at least."""
    return sum(character.isalnum() for character in text) >= 2 and not is_marker(text)
