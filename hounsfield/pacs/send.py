"""C-STORE as an SCU (PS3.4 Annex B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from pynetdicom import Association
from pynetdicom.presentation import PresentationContext

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs.association import associate, context, lost
from hounsfield.pacs.client import NOT_DICOM, OutcomeSink, StoreOutcome
from hounsfield.pacs.contexts import MAX_CONTEXTS, UNCOMPRESSED
from hounsfield.pacs.peer import DimsePeer
from hounsfield.pacs.status import plain_words, store_meaning

__all__ = ["store_objects"]

_GROUP = 200  # objects an association: their headers are read before it is opened
_MAX_MESSAGE_ID = 65535
_NATIVE: dict[tuple[bool, bool], UID] = {  # (implicit VR, little endian)
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """An object with what must be known before an association can be asked for.

    ``as_is`` tells that the file can be sent without being decoded.
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


class _Unsendable(Exception):
    """Why an object cannot even be offered."""


def store_objects(
    peer: DimsePeer, objects: Iterable[Path | Dataset], sink: OutcomeSink | None = None
) -> list[StoreOutcome]:
    """Sends each object in its own transfer syntax where the PACS takes that.

    Where it does not: uncompressed ones are re-encoded, compressed ones are decompressed.

    Raises
    ------
    PacsUnavailable
        No association, a break, or a PACS out of resources. `sink` has seen the outcomes of
        what went before; sending everything again is safe.
    """
    outcomes: dict[int, StoreOutcome] = {}

    def done(number: int, outcome: StoreOutcome) -> None:
        outcomes[number] = outcome
        if sink is not None:
            sink(outcome)

    for group in _groups(objects, done):
        contexts = list(_contexts(group.values()))
        with associate(peer, contexts) as association:
            for number, item in group.items():
                done(number, _send(peer, association, item, number % _MAX_MESSAGE_ID + 1))
    return [outcomes[number] for number in sorted(outcomes)]


def _groups(
    objects: Iterable[Path | Dataset], done: Callable[[int, StoreOutcome], None]
) -> Iterator[dict[int, _Outgoing]]:
    """Runs of objects, by their number, whose contexts fit into one association."""
    group: dict[int, _Outgoing] = {}
    pairs: set[tuple[str, str]] = set()
    for number, source in enumerate(objects):
        try:
            item = _prepare(source)
        except _Unsendable as reason:
            done(number, StoreOutcome("", "", "refused", None, str(reason)))
            continue
        more = {(item.sop_class_uid, syntax) for syntax in item.syntaxes}
        if group and (len(group) == _GROUP or len(pairs | more) > MAX_CONTEXTS):
            yield group
            group, pairs = {}, set()
        group[number] = item
        pairs |= more
    if group:
        yield group


def _contexts(group: Iterable[_Outgoing]) -> Iterator[PresentationContext]:
    pairs = dict.fromkeys((item.sop_class_uid, s) for item in group for s in item.syntaxes)
    for sop_class_uid, syntax in pairs:
        yield context(sop_class_uid, syntax)


def _prepare(source: Path | Dataset) -> _Outgoing:
    dataset = source if isinstance(source, Dataset) else _identify(source)
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    sop_class, instance = (_uid(dataset, k) for k in ("SOPClassUID", "SOPInstanceUID"))
    if not sop_class or not instance:
        raise _Unsendable(NOT_DICOM)
    syntax = str(meta.get("TransferSyntaxUID") or "") or _native_syntax(dataset)
    # A file is sent with the UIDs of its meta information: they must be the data set's own.
    honest = (
        str(meta.get("MediaStorageSOPClassUID", "")) == sop_class
        and str(meta.get("MediaStorageSOPInstanceUID", "")) == instance
        and "TransferSyntaxUID" in meta
    )
    as_is = honest and isinstance(source, Path)
    study = _uid(dataset, "StudyInstanceUID")
    return _Outgoing(source, sop_class, instance, study, syntax, as_is)


def _identify(path: Path) -> Dataset:
    try:
        return dcmread(
            path,
            stop_before_pixels=True,
            force=True,
            specific_tags=["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"],
        )
    except Exception:  # pydicom raises whatever the bytes lead it to
        raise _Unsendable(NOT_DICOM) from None


def _uid(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "")
    except Exception:  # a value that its VR does not allow
        return ""


def _native_syntax(dataset: Dataset) -> str:
    implicit, little = dataset.original_encoding
    return str(_NATIVE.get((bool(implicit), little is not False), ExplicitVRLittleEndian))


def _send(
    peer: DimsePeer, association: Association, item: _Outgoing, message_id: int
) -> StoreOutcome:
    if not association.is_established:
        raise lost(peer)
    accepted = [
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == item.sop_class_uid
    ]
    if not accepted:
        return _refused(item, "no presentation context: the PACS does not take this SOP class")
    try:
        data = _data(item, accepted)
    except _Unsendable as reason:
        return _refused(item, str(reason))
    try:
        status = association.send_c_store(data, msg_id=message_id)
    except (RuntimeError, OSError):
        raise lost(peer) from None
    except Exception as error:
        return _refused(item, f"it cannot be encoded ({type(error).__name__})")
    if "Status" not in status:
        raise lost(peer)
    return _outcome(peer, item, status)


def _data(item: _Outgoing, accepted: Sequence[str]) -> Path | Dataset:
    """What to hand to pynetdicom: the file itself, or a dataset in an accepted encoding."""
    if item.transfer_syntax_uid in accepted and item.as_is:
        return item.source
    dataset = item.source if isinstance(item.source, Dataset) else _read(item.source)
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(item.transfer_syntax_uid)
    if item.transfer_syntax_uid in accepted:
        return dataset
    if UID(item.transfer_syntax_uid).is_compressed:
        try:
            dataset.decompress(generate_instance_uid=False)
        except Exception as error:
            raise _Unsendable(
                f"the PACS does not take its compression, and it cannot be decompressed "
                f"({type(error).__name__})"
            ) from None
    return dataset


def _read(path: Path) -> Dataset:
    try:
        return dcmread(path, force=True)
    except Exception:
        raise _Unsendable(NOT_DICOM) from None


def _outcome(peer: DimsePeer, item: _Outgoing, status: Dataset) -> StoreOutcome:
    code = int(status.Status)
    meaning = store_meaning(code)
    comment = str(status.get("ErrorComment") or "")
    words = plain_words(comment)
    reason = f"{meaning.words} (0x{code:04X})" + (f": {words}" if words else "")
    if meaning.kind == "busy":
        raise PacsUnavailable(
            f"the PACS could not take an object just now: {reason}",
            where=peer.where,
            remedy="try again",
        )
    study, instance = item.study_instance_uid, item.sop_instance_uid
    return StoreOutcome(instance, study, meaning.kind, code, reason, comment)


def _refused(item: _Outgoing, reason: str) -> StoreOutcome:
    study, instance = item.study_instance_uid, item.sop_instance_uid
    return StoreOutcome(instance, study, "refused", None, reason)
