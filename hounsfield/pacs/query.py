"""C-FIND over the Study Root (PS3.4 Section C.6.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pynetdicom import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind

from hounsfield.pacs.association import lost
from hounsfield.pacs.client import InstanceRef, SeriesEntry, StudyEntry, StudyFilter
from hounsfield.pacs.finding import Listing, cut_list, warn_of_unnamed
from hounsfield.pacs.peer import DimsePeer
from hounsfield.pacs.status import endless_answer, query_error, unreadable_answer
from hounsfield.pacs.window import Window

__all__ = ["FIND", "find_instances", "find_series", "find_study", "find_window"]

FIND = str(StudyRootFind)

_CANCELLED = 0xFE00
_PENDING = (0xFF00, 0xFF01)
_MESSAGE_ID = 1
# Answers in a row that bring nothing new: qrscp lists a study once for each of its instances.
_MOST_REPEATS = 200_000
_UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
# What we ask back, by level. A key that a PACS does not support it may leave out.
_STUDY_KEYS = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
    "PatientID",
)
_SERIES_KEYS = ("SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances")
_INSTANCE_KEYS = ("SOPInstanceUID", "SOPClassUID")


class _CutOff(Exception):
    """The PACS ended its answer before it was whole."""


def find_window(
    peer: DimsePeer,
    association: Association,
    window: Window,
    filters: StudyFilter,
    patient_id: str = "",
) -> Listing:
    """What the PACS lists for `window`, and for a PatientID with wildcards.

    An answer as long as the peer's result cap may have been cut. A PACS that knows of its cap
    says so by ending with "cancelled", though nobody did (Orthanc).
    """
    keys = {**dict.fromkeys(_STUDY_KEYS, ""), "StudyDate": window.study_date_key()}
    if window.is_part_of_a_day:
        keys["StudyTime"] = window.study_time_key()
    if len(filters.modalities) == 1:
        keys["ModalitiesInStudy"] = next(iter(filters.modalities))
    if patient_id:
        keys["PatientID"] = patient_id
    found: dict[str, StudyEntry] = {}
    is_cut = False
    answers = _find(peer, association, "STUDY", keys)
    try:
        for answer in answers:
            study = _study(answer)
            found.setdefault(study.StudyInstanceUID, study)
            if len(found) >= peer.max_results:
                is_cut = True
                association.send_c_cancel(_MESSAGE_ID, query_model=StudyRootFind)
                # The rest must be read off the association before it can be used again.
                for _ in answers:
                    pass
    except _CutOff:
        is_cut = True
    # Asked with an empty UID, a PACS would list all that it has.
    if found.pop("", None) is not None:
        warn_of_unnamed(peer.where)
    return Listing(found, is_cut)


def find_study(
    peer: DimsePeer, association: Association, study_instance_uid: str
) -> StudyEntry | None:
    """One study, or None where the PACS does not have it."""
    keys = {**dict.fromkeys(_STUDY_KEYS, ""), "StudyInstanceUID": study_instance_uid}
    studies = [_study(answer) for answer in _list(peer, association, "STUDY", keys)]
    return studies[0] if studies else None


def find_series(
    peer: DimsePeer, association: Association, study_instance_uid: str
) -> tuple[SeriesEntry, ...]:
    keys = {**dict.fromkeys(_SERIES_KEYS, ""), "StudyInstanceUID": study_instance_uid}
    found: dict[str, SeriesEntry] = {}
    for answer in _list(peer, association, "SERIES", keys):
        series = SeriesEntry(
            SeriesInstanceUID=_text(answer, "SeriesInstanceUID"),
            Modality=_text(answer, "Modality"),
            NumberOfSeriesRelatedInstances=_number(answer, "NumberOfSeriesRelatedInstances"),
        )
        found.setdefault(series.SeriesInstanceUID, series)
    return tuple(found.values())


def find_instances(
    peer: DimsePeer, association: Association, study_instance_uid: str
) -> tuple[InstanceRef, ...]:
    """Asked series by series: the hierarchical search, which every PACS must support."""
    found: dict[str, InstanceRef] = {}
    for series in find_series(peer, association, study_instance_uid):
        keys = {
            **dict.fromkeys(_INSTANCE_KEYS, ""),
            "StudyInstanceUID": study_instance_uid,
            "SeriesInstanceUID": series.SeriesInstanceUID,
        }
        for answer in _list(peer, association, "IMAGE", keys):
            ref = InstanceRef(
                SOPInstanceUID=_text(answer, "SOPInstanceUID"),
                SeriesInstanceUID=series.SeriesInstanceUID,
                SOPClassUID=_text(answer, "SOPClassUID"),
                Modality=series.Modality,
            )
            found.setdefault(ref.SOPInstanceUID, ref)
    return tuple(found.values())


def _list(
    peer: DimsePeer, association: Association, level: str, keys: Mapping[str, str]
) -> Iterator[Dataset]:
    """What cannot be asked for by its UID is no part of a list that is whole."""
    try:
        for answer in _find(peer, association, level, keys):
            if not _text(answer, _UNIQUE[level]):
                raise unreadable_answer(peer)
            yield answer
    except _CutOff:
        raise cut_list(peer.where) from None


def _find(
    peer: DimsePeer, association: Association, level: str, keys: Mapping[str, str]
) -> Iterator[Dataset]:
    if not association.is_established:
        raise lost(peer)
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    seen: set[str] = set()
    repeats = 0
    for status, answer in association.send_c_find(identifier, StudyRootFind, msg_id=_MESSAGE_ID):
        if "Status" not in status:
            raise lost(peer)
        if status.Status in _PENDING:
            if answer is None:
                raise unreadable_answer(peer)
            uid = _text(answer, _UNIQUE[level])
            repeats = repeats + 1 if uid in seen else 0
            if repeats > _MOST_REPEATS:
                raise endless_answer(peer)
            seen.add(uid)
            yield answer
        elif status.Status == _CANCELLED:
            raise _CutOff
        elif status.Status != 0x0000:
            raise query_error(peer, int(status.Status))


def _study(answer: Dataset) -> StudyEntry:
    return StudyEntry(
        StudyInstanceUID=_text(answer, "StudyInstanceUID"),
        StudyDate=_text(answer, "StudyDate"),
        StudyTime=_text(answer, "StudyTime"),
        StudyDescription=_text(answer, "StudyDescription"),
        ModalitiesInStudy=_texts(answer, "ModalitiesInStudy"),
        NumberOfStudyRelatedInstances=_number(answer, "NumberOfStudyRelatedInstances"),
        PatientID=_text(answer, "PatientID"),
    )


def _value(answer: Dataset, keyword: str) -> Any:
    try:
        return answer.get(keyword)
    except Exception:  # a value that its VR does not allow counts as not told
        return None


def _text(answer: Dataset, keyword: str) -> str:
    value = _value(answer, keyword)
    return "" if value is None else str(value).strip("\0 ")


def _texts(answer: Dataset, keyword: str) -> tuple[str, ...]:
    value = _value(answer, keyword)
    values = value if isinstance(value, MultiValue) else [value]
    return tuple(sorted({str(item).strip("\0 ") for item in values if item}))


def _number(answer: Dataset, keyword: str) -> int | None:
    """A count; a PACS that answers 0 for a study it has just listed does not count."""
    text = _text(answer, keyword)
    return int(text) or None if text.isdecimal() else None
