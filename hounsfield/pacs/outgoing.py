"""An object on its way out: what must be known of it before it can be offered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.dsutils import split_dataset

from hounsfield.dicom.reading import read_header
from hounsfield.errors import HounsfieldError
from hounsfield.pacs.client import NO_INSTANCE, NOT_DICOM, UNREADABLE, StoreOutcome, Verdict
from hounsfield.pacs.contexts import UNCOMPRESSED
from hounsfield.pacs.status import store_meaning

__all__ = ["BROKE_OFF", "MAX_BREAKS", "Outgoing", "Unsendable", "prepare"]

BROKE_OFF = "the PACS broke off at this object"
MAX_BREAKS = 3  # in a row: then it is the PACS, not the objects
_NATIVE: dict[tuple[bool, bool], UID] = {  # (implicit VR, little endian)
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An object with what must be known before it can be offered.

    Attributes
    ----------
    as_is
        The file can be sent without being decoded.
    """

    source: Path | Dataset
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    as_is: bool

    @property
    def syntaxes(self) -> tuple[str, ...]:
        """Its own first, then those that it can be converted to."""
        return tuple(dict.fromkeys((self.transfer_syntax_uid, *UNCOMPRESSED)))

    def load(self) -> Dataset:
        """All of it, with File Meta Information that is true.

        Raises
        ------
        Unsendable
            If the file cannot be read.
        """
        dataset = self.source if isinstance(self.source, Dataset) else _read(self.source)
        meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(self.sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(self.sop_instance_uid)
        meta.TransferSyntaxUID = UID(self.transfer_syntax_uid)
        dataset.file_meta = meta
        return dataset

    def outcome(
        self, verdict: Verdict, reason: str, status: int | None = None, comment: str = ""
    ) -> StoreOutcome:
        return StoreOutcome(
            SOPInstanceUID=self.sop_instance_uid,
            StudyInstanceUID=self.study_instance_uid,
            verdict=verdict,
            status=status,
            reason=reason,
            comment=comment,
        )

    def refused(self, reason: str) -> StoreOutcome:
        """The outcome where nothing was sent."""
        return self.outcome("refused", reason)

    def answered(self, status: int, comment: str, words: str) -> StoreOutcome:
        """The outcome that a status of PS3.4 Table B.2-1 means.

        Parameters
        ----------
        words
            Those of `comment` that may stand in a log.
        """
        meaning = store_meaning(status)
        reason = f"{meaning.words} (0x{status:04X})" + (f": {words}" if words else "")
        return self.outcome(meaning.verdict, reason, status, comment)


class Unsendable(Exception):
    """Why an object cannot even be offered."""


def prepare(source: Path | Dataset) -> Outgoing:
    """Identifies a file or a data set.

    Raises
    ------
    Unsendable
        If it is no DICOM instance.
    """
    dataset = source if isinstance(source, Dataset) else _identify(source)
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    sop_class, instance = (_uid(dataset, k) for k in ("SOPClassUID", "SOPInstanceUID"))
    if not sop_class or not instance:
        is_dicom = sop_class or instance or getattr(dataset, "preamble", None)
        raise Unsendable(NO_INSTANCE if is_dicom else NOT_DICOM)
    syntax = str(meta.get("TransferSyntaxUID") or "") or _native_syntax(dataset)
    # A file is sent with the UIDs of its meta information: they must be the data set's own.
    honest = (
        str(meta.get("MediaStorageSOPClassUID", "")) == sop_class
        and str(meta.get("MediaStorageSOPInstanceUID", "")) == instance
        and "TransferSyntaxUID" in meta
    )
    as_is = honest and isinstance(source, Path) and not _is_odd(source)
    study = _uid(dataset, "StudyInstanceUID")
    return Outgoing(source, sop_class, instance, study, syntax, as_is)


def _is_odd(path: Path) -> bool:
    """Whether a file's data set has an odd length, which no PDV may carry (PS3.8 Annex E).

    It is deflated without its padding (PS3.5 Section A.5), or has an element of odd length:
    encoded anew it can travel. Or it is cut off, and is refused.
    """
    _, offset = split_dataset(path)
    return (path.stat().st_size - offset) % 2 == 1


def _identify(path: Path) -> Dataset:
    try:
        return dcmread(
            path,
            stop_before_pixels=True,
            force=True,
            specific_tags=["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"],
        )
    except Exception:  # pydicom raises whatever the bytes lead it to
        raise Unsendable(UNREADABLE) from None


def _uid(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "")
    except Exception:  # a value that its VR does not allow
        return ""


def _native_syntax(dataset: Dataset) -> str:
    implicit, little = dataset.original_encoding
    return str(_NATIVE.get((bool(implicit), little is not False), ExplicitVRLittleEndian))


def _read(path: Path) -> Dataset:
    try:
        return read_header(path, stop_before_pixels=False)
    except HounsfieldError as error:
        raise Unsendable(error.what) from None
