"""QIDO-RS (PS3.18 Section 10.6) by dicomweb-client."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import NOT_FOUND
from typing import TYPE_CHECKING, Any

import requests

from hounsfield.pacs import dicom_json as dj
from hounsfield.pacs.client import InstanceRef, SeriesEntry, StudyEntry, StudyFilter
from hounsfield.pacs.finding import Listing, cut_list, warn_of_unnamed
from hounsfield.pacs.web_peer import WebPeer
from hounsfield.pacs.web_session import asking, open_session, segment, timeout, unreadable
from hounsfield.pacs.window import Window

if TYPE_CHECKING:
    from dicomweb_client.web import DICOMwebClient

__all__ = ["Qido"]

# What is asked for beyond that which a PACS must tell (PS3.18 Tables 10.6.3-3 to 10.6.3-5).
_STUDY_FIELDS = ("StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedInstances")
_SERIES_FIELDS = ("NumberOfSeriesRelatedInstances",)
_INSTANCE_FIELDS = ("SOPClassUID",)
_MORE = "299"  # Warning: there are more results (PS3.18 Section 8.3.4.4)

_Search = Callable[..., Any]


class Qido:
    """Queries over one session."""

    def __init__(self, peer: WebPeer, client: DICOMwebClient, cuts: _Cuts) -> None:
        self._peer = peer
        self._client = client
        self._cuts = cuts

    @classmethod
    @contextmanager
    def of(cls, peer: WebPeer) -> Iterator[Qido]:
        """Queries to `peer` till the block ends."""
        from dicomweb_client.web import DICOMwebClient  # brings codecs along

        with open_session(peer) as session:
            cuts = _Cuts()
            client = DICOMwebClient(
                peer.url.rstrip("/"),
                session,
                qido_url_prefix=peer.qido_prefix.strip("/") or None,
                callback=cuts.note,
                permissive_uid=True,  # `segment` looks at them
                timeout=timeout(peer),
            )
            client.set_http_retry_params(retry=False)
            yield cls(peer, client, cuts)

    def echo(self) -> None:
        """The shortest question there is."""
        self._ask(self._client.search_for_studies, limit=1)

    def find_window(self, window: Window, filters: StudyFilter, patient_id: str = "") -> Listing:
        """What the PACS lists for `window`, and for a PatientID with wildcards."""
        keys = {"StudyDate": window.study_date_key()}
        if window.is_part_of_a_day:
            keys["StudyTime"] = window.study_time_key()
        if len(filters.modalities) == 1:
            keys["ModalitiesInStudy"] = next(iter(filters.modalities))
        if patient_id:
            keys["PatientID"] = patient_id
        found, is_whole = self._pages(
            "StudyInstanceUID",
            self._client.search_for_studies,
            limit=self._peer.max_results,
            fields=_STUDY_FIELDS,
            search_filters=keys,
        )
        if found.pop("", None) is not None:
            warn_of_unnamed(self._peer.where)
        return Listing({uid: _study(answer) for uid, answer in found.items()}, not is_whole)

    def find_study(self, study_instance_uid: str) -> StudyEntry | None:
        """One study, or None where the PACS does not have it."""
        keys = {"StudyInstanceUID": study_instance_uid}
        answers = self._ask(
            self._client.search_for_studies, fields=_STUDY_FIELDS, search_filters=keys
        )
        studies = (_study(answer) for answer in answers)
        return next((s for s in studies if s.StudyInstanceUID == study_instance_uid), None)

    def find_series(self, study_instance_uid: str) -> tuple[SeriesEntry, ...]:
        answers = self._list(
            "SeriesInstanceUID",
            self._client.search_for_series,
            study_instance_uid=segment(study_instance_uid),
            fields=_SERIES_FIELDS,
        )
        return tuple(
            SeriesEntry(
                SeriesInstanceUID=uid,
                Modality=dj.text(answer, "Modality"),
                NumberOfSeriesRelatedInstances=dj.count(answer, "NumberOfSeriesRelatedInstances"),
            )
            for uid, answer in answers.items()
        )

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        """Asked for the whole study at once."""
        answers = self._list(
            "SOPInstanceUID",
            self._client.search_for_instances,
            study_instance_uid=segment(study_instance_uid),
            fields=_INSTANCE_FIELDS,
        )
        return tuple(
            InstanceRef(
                SOPInstanceUID=uid,
                SeriesInstanceUID=dj.text(answer, "SeriesInstanceUID"),
                SOPClassUID=dj.text(answer, "SOPClassUID"),
                Modality=dj.text(answer, "Modality"),
            )
            for uid, answer in answers.items()
        )

    def _list(self, unique: str, search: _Search, **query: Any) -> dict[str, dj.Answer]:
        found, is_whole = self._pages(unique, search, **query)
        if not is_whole:
            raise cut_list(self._peer.where)
        if "" in found:  # What cannot be asked for by its UID is no part of a list that is whole.
            raise unreadable(self._peer)
        return found

    def _pages(
        self, unique: str, search: _Search, **query: Any
    ) -> tuple[dict[str, dj.Answer], bool]:
        """Page after page until one brings nothing new, and whether that is all there is.

        It may not be all once as many as the limit came: some count it over all pages and
        say nothing (Orthanc). Nor if the last page bore a warning that there is more: not
        every PACS knows ``offset``.
        """
        found: dict[str, dj.Answer] = {}
        limit = query.get("limit", math.inf)
        before = -1
        while before < len(found) < limit:
            before = len(found)
            page = self._ask(search, offset=before, **query)
            found = {dj.text(answer, unique): answer for answer in page} | found
        return found, len(found) < limit and not self._cuts.seen

    def _ask(self, search: _Search, **query: Any) -> list[dj.Answer]:
        self._cuts.seen = False
        with asking(self._peer):
            try:
                answers = search(**query)
            except requests.HTTPError as error:
                is_unknown = error.response is not None and error.response.status_code == NOT_FOUND
                if is_unknown and "study_instance_uid" in query:
                    return []  # there is no such study, or nothing in it
                raise
        return dj.mappings(answers)


class _Cuts:
    """Notes whether the last answer bore the warning that there are more results."""

    def __init__(self) -> None:
        self.seen = False

    def note(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        self.seen |= response.headers.get("Warning", "").startswith(_MORE)


def _study(answer: dj.Answer) -> StudyEntry:
    return StudyEntry(
        StudyInstanceUID=dj.text(answer, "StudyInstanceUID"),
        StudyDate=dj.text(answer, "StudyDate"),
        StudyTime=dj.text(answer, "StudyTime"),
        StudyDescription=dj.text(answer, "StudyDescription"),
        ModalitiesInStudy=dj.texts(answer, "ModalitiesInStudy"),
        NumberOfStudyRelatedInstances=dj.count(answer, "NumberOfStudyRelatedInstances"),
        PatientID=dj.text(answer, "PatientID"),
    )
