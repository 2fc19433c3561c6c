"""Objects that no table and no scan can make safe: somebody may be heard, or nobody can look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import MPEGTransferSyntaxes

from hounsfield.dicom.codecs import transfer_syntax_of
from hounsfield.dicom.surplus import surplus
from hounsfield.errors import DeidentificationError, HounsfieldError, UnreadableFile

__all__ = ["refuse_unsafe", "refuse_unseen"]

_VOICE: Final = "a voice tells who speaks"
_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.9.4.1",  # Basic Voice Audio Waveform
        "1.2.840.10008.5.1.4.1.1.9.4.2",  # General Audio Waveform
    }
)
# CID 3000 "Audio Channel Source": voice, operator's narrative, ambient room environment. Its
# others (Doppler, phonocardiogram) are of the body.
_SOURCES: Final = frozenset({"109110", "109111", "109112"})
# µ-law and A-law (PS3.3 C.10.9.1.5), in which nothing but speech is coded.
_INTERPRETATIONS: Final = frozenset({"MB", "AB"})
_FILMS: Final = frozenset(MPEGTransferSyntaxes)
# Where alone the Standard has pixels of fractions (PS3.3 A.75): measured, not photographed.
_PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"
_FRACTIONS: Final = ("FloatPixelData", "DoubleFloatPixelData")


def refuse_unsafe(dataset: Dataset) -> None:
    """Refuses what cannot be de-identified.

    Raises
    ------
    DeidentificationError
        Saying why.
    UnreadableFile
        What would tell cannot be read.
    """
    try:
        reason = _reason(dataset)
    except HounsfieldError:
        raise
    except Exception as error:  # its message may quote a value
        raise UnreadableFile(
            "a file holds a value that cannot be read", where=type(error).__name__
        ) from None
    if reason:
        raise DeidentificationError(
            f"this kind of object cannot be de-identified: {reason}",
            remedy="leave it in the protected zone",
        )


def refuse_unseen(dataset: Dataset) -> None:
    """Refuses pixels that may be a picture, and that cannot be looked at.

    Raises
    ------
    DeidentificationError
        Fractions stand where the Standard has none.
    """
    if dataset.get("SOPClassUID") != _PARAMETRIC_MAP and any(map(dataset.get, _FRACTIONS)):
        raise DeidentificationError(
            "pixels of fractions cannot be looked at, and this is no parametric map",
            remedy="ask its source for integers, or leave it in the protected zone",
        )


def _reason(dataset: Dataset) -> str:
    if transfer_syntax_of(dataset) in _FILMS:
        return "a film may hold sound, and a voice tells who speaks"
    if str(dataset.get("SOPClassUID", "")) in _CLASSES or dataset.get("Modality") == "AU":
        return _VOICE
    if any(map(_is_heard, _items(dataset, "WaveformSequence"))):
        return _VOICE
    with suppress(Exception):  # what is no picture is told where pictures are looked at
        if hidden := surplus(dataset):
            return f"its pixel data hold {hidden}"
    return ""


def _is_heard(group: Dataset) -> bool:
    """Whether a multiplex group (PS3.3 C.10.9) has a channel that somebody may speak in."""
    if group.get("WaveformSampleInterpretation") in _INTERPRETATIONS:
        return True
    return any(
        source.get("CodeValue") in _SOURCES
        for channel in _items(group, "ChannelDefinitionSequence")
        for source in _items(channel, "ChannelSourceSequence")
    )


def _items(dataset: Dataset, keyword: str) -> Iterator[Any]:
    yield from dataset.get(keyword) or ()
