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
from pynetdicom.dsutils import split_dataset
from pynetdicom.presentation import PresentationContext

from hounsfield.dicom.reading import read_header
from hounsfield.errors import HounsfieldError
from hounsfield.pacs.association import NothingAccepted, associate, context, lost
from hounsfield.pacs.client import (
    NO_INSTANCE,
    NOT_DICOM,
    UNREADABLE,
    OutcomeSink,
    StoreOutcome,
    Verdict,
)
from hounsfield.pacs.contexts import MAX_CONTEXTS, UNCOMPRESSED
from hounsfield.pacs.peer import DimsePeer
from hounsfield.pacs.status import plain_words, store_meaning

__all__ = ["store_objects"]

_GROUP = 200  # objects an association: their headers are read before it is opened
_MAX_BREAKS = 3  # in a row: then it is the PACS, not the objects
_MAX_MESSAGE_ID = 65535
_NO_CONTEXT = "no presentation context: the PACS does not take this SOP class"
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


class _Broken(Exception):
    """The association ended, or the PACS fell silent, at an object."""


def store_objects(
    peer: DimsePeer, objects: Iterable[Path | Dataset], sink: OutcomeSink | None = None
) -> list[StoreOutcome]:
    """Sends each object in its own transfer syntax where the PACS takes that.

    Where it does not: uncompressed ones are re-encoded, compressed ones are decompressed.
    An object that the PACS breaks off at, or falls silent at (as DCMTK and Orthanc do at
    damaged ones), is ``busy``, and does not keep the others from being sent.

    Raises
    ------
    PacsUnavailable
        No association, or several breaks in a row. `sink` has seen the outcomes of what
        went before; sending everything again is safe.
    """
    outcomes: dict[int, StoreOutcome] = {}
    breaks = 0

    def done(number: int, outcome: StoreOutcome) -> None:
        outcomes[number] = outcome
        if sink is not None:
            sink(outcome)

    for group in _groups(objects, done):
        left = group
        while left:
            broken = _send_group(peer, left, done)
            breaks = breaks + 1 if broken == next(iter(left)) else int(broken is not None)
            if breaks == _MAX_BREAKS:
                raise lost(peer)
            left = {n: left[n] for n in left if broken is not None and n > broken}
    return [outcomes[number] for number in sorted(outcomes)]


def _send_group(
    peer: DimsePeer, group: dict[int, _Outgoing], done: Callable[[int, StoreOutcome], None]
) -> int | None:
    """Sends objects over one association; the number of the one at which it broke, if any."""
    number = -1
    try:
        with associate(peer, list(_contexts(group.values()))) as association:
            for number, item in group.items():
                done(number, _send(association, item, number % _MAX_MESSAGE_ID + 1))
    except NothingAccepted:
        for number, item in group.items():
            done(number, _refused(item, _NO_CONTEXT))
    except _Broken:
        done(number, _outcome(group[number], "busy", "the PACS broke off at this object"))
        return number
    return None


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
        is_dicom = sop_class or instance or getattr(dataset, "preamble", None)
        raise _Unsendable(NO_INSTANCE if is_dicom else NOT_DICOM)
    syntax = str(meta.get("TransferSyntaxUID") or "") or _native_syntax(dataset)
    # A file is sent with the UIDs of its meta information: they must be the data set's own.
    honest = (
        str(meta.get("MediaStorageSOPClassUID", "")) == sop_class
        and str(meta.get("MediaStorageSOPInstanceUID", "")) == instance
        and "TransferSyntaxUID" in meta
    )
    as_is = honest and isinstance(source, Path) and not _is_odd(source)
    study = _uid(dataset, "StudyInstanceUID")
    return _Outgoing(source, sop_class, instance, study, syntax, as_is)


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
        raise _Unsendable(UNREADABLE) from None


def _uid(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "")
    except Exception:  # a value that its VR does not allow
        return ""


def _native_syntax(dataset: Dataset) -> str:
    implicit, little = dataset.original_encoding
    return str(_NATIVE.get((bool(implicit), little is not False), ExplicitVRLittleEndian))


def _send(association: Association, item: _Outgoing, message_id: int) -> StoreOutcome:
    accepted = [
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == item.sop_class_uid
    ]
    if not accepted:
        return _refused(item, _NO_CONTEXT)
    try:
        status = association.send_c_store(_data(item, accepted), msg_id=message_id)
    except _Unsendable as reason:
        return _refused(item, str(reason))
    except (RuntimeError, OSError):  # no longer established
        raise _Broken from None
    except Exception as error:
        return _refused(item, f"it cannot be encoded ({type(error).__name__})")
    if "Status" not in status:
        raise _Broken
    return _answered(item, status)


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
        return read_header(path, stop_before_pixels=False)
    except HounsfieldError as error:
        raise _Unsendable(error.what) from None


def _answered(item: _Outgoing, status: Dataset) -> StoreOutcome:
    code = int(status.Status)
    meaning = store_meaning(code)
    comment = str(status.get("ErrorComment") or "")
    words = plain_words(comment)
    reason = f"{meaning.words} (0x{code:04X})" + (f": {words}" if words else "")
    return _outcome(item, meaning.verdict, reason, code, comment)


def _refused(item: _Outgoing, reason: str) -> StoreOutcome:
    return _outcome(item, "refused", reason)


def _outcome(
    item: _Outgoing, verdict: Verdict, reason: str, status: int | None = None, comment: str = ""
) -> StoreOutcome:
    return StoreOutcome(
        SOPInstanceUID=item.sop_instance_uid,
        StudyInstanceUID=item.study_instance_uid,
        verdict=verdict,
        status=status,
        reason=reason,
        comment=comment,
    )
