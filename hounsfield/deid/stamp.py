"""What a de-identified object says of itself (PS3.15 Section E.1.1, PS3.3 Section C.7.1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from hounsfield.deid.profile import METHODS, Profile
from hounsfield.deid.values import strings
from hounsfield.dicom.codecs import transfer_syntax_of
from hounsfield.errors import UnreadableFile
from hounsfield.records import Code

__all__ = ["renew_file_meta", "stamp_header", "stamp_masked", "stamp_pixels"]

_MASKED: Final = "Burned-in text masked"
_LONGEST: Final = 1024  # characters of an ST (PS3.5 Section 6.2)


def stamp_header(dataset: Dataset, profile: Profile) -> None:
    """States that, how and with which options the patient was taken out.

    What was done to the object before, such as a face taken off, stays stated in the codes of the
    Standard; of what others wrote freely nothing is left here but what a site's recipe says.
    """
    dataset.PatientIdentityRemoved = "YES"
    of_site = strings(dataset["DeidentificationMethod"]) if _has_methods(dataset) else []
    dataset.DeidentificationMethod = list(dict.fromkeys([*of_site, *profile.methods]))
    dataset.LongitudinalTemporalInformationModified = _dates(profile)
    _state_codes(dataset, profile, pixels_cleaned=False)


def stamp_pixels(dataset: Dataset, profile: Profile) -> None:
    """States that no text is burned in; only for pixels that have been looked at."""
    dataset.BurnedInAnnotation = "NO"
    _state_codes(dataset, profile, pixels_cleaned=True)


def stamp_masked(dataset: Dataset, profile: Profile) -> None:
    """States that stored values are no more those of the acquisition (PS3.3 C.7.6.1.1.2).

    In words too, where the profile keeps descriptors; elsewhere the table removes their attribute.
    The type of an enhanced multi-frame image stays: how it was acquired may be told in one that is
    not derived alone (PS3.3 C.8.13.4).
    """
    is_enhanced = "SharedFunctionalGroupsSequence" in dataset or UID(
        str(dataset.get("SOPClassUID", ""))
    ).name.startswith("Enhanced ")
    if dataset.get("ImageType") and not is_enhanced:
        dataset.ImageType = ["DERIVED", *strings(dataset["ImageType"])[1:]]
    if profile.clean_descriptors:
        said = str(dataset.get("DerivationDescription") or "")
        if _MASKED not in said:
            dataset.DerivationDescription = "; ".join(filter(None, (_MASKED, said)))[:_LONGEST]


def renew_file_meta(dataset: Dataset) -> None:
    """Preamble and File Meta Information with nothing of the old but the transfer syntax.

    Call it when the dataset's UIDs are the new ones: MediaStorageSOPInstanceUID equals
    SOPInstanceUID (PS3.10 Section 7.1).

    Raises
    ------
    UnreadableFile
        If the object does not say what it is.
    """
    sop_class, instance = dataset.get("SOPClassUID"), dataset.get("SOPInstanceUID")
    if not sop_class or not instance:
        raise UnreadableFile(
            "an object has no SOP Class or no SOP Instance UID",
            remedy="ask its source for it again",
        )
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = transfer_syntax_of(dataset)
    dataset.file_meta = meta
    dataset.preamble = bytes(128)


def _dates(profile: Profile) -> str:
    if profile.retain_full_dates:
        return "UNMODIFIED"
    return "MODIFIED" if profile.retain_modified_dates else "REMOVED"


def _has_methods(dataset: Dataset) -> bool:
    return "DeidentificationMethod" in dataset and not dataset["DeidentificationMethod"].is_empty


def _state_codes(dataset: Dataset, profile: Profile, *, pixels_cleaned: bool) -> None:
    codes = [*_stated(dataset), *profile.codes(pixels_cleaned=pixels_cleaned)]
    items = [_item(code) for code in dict.fromkeys(codes)]
    dataset.DeidentificationMethodCodeSequence = Sequence(items)


def _stated(dataset: Dataset) -> Iterator[Code]:
    """What was done before, with the Standard's meaning: anything may stand in its place."""
    for item in dataset.get("DeidentificationMethodCodeSequence") or ():
        code = METHODS.get(str(item.get("CodeValue")))
        if code is not None and item.get("CodingSchemeDesignator") == code.scheme:
            yield code


def _item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item
