"""C-STORE as an SCU (PS3.4 Annex B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import Association
from pynetdicom.presentation import PresentationContext

from hounsfield.pacs.association import NothingAccepted, associate, context, lost
from hounsfield.pacs.client import OutcomeSink, StoreOutcome
from hounsfield.pacs.contexts import MAX_CONTEXTS
from hounsfield.pacs.outgoing import BROKE_OFF, MAX_BREAKS, Outgoing, Unsendable, prepare
from hounsfield.pacs.peer import DimsePeer
from hounsfield.pacs.status import plain_words

__all__ = ["store_objects"]

_GROUP = 200  # objects an association: their headers are read before it is opened
_MAX_MESSAGE_ID = 65535
_NO_CONTEXT = "no presentation context: the PACS does not take this SOP class"


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
            if breaks == MAX_BREAKS:
                raise lost(peer)
            left = {n: left[n] for n in left if broken is not None and n > broken}
    return [outcomes[number] for number in sorted(outcomes)]


def _send_group(
    peer: DimsePeer, group: dict[int, Outgoing], done: Callable[[int, StoreOutcome], None]
) -> int | None:
    """Sends objects over one association; the number of the one at which it broke, if any."""
    number = -1
    try:
        with associate(peer, list(_contexts(group.values()))) as association:
            for number, item in group.items():
                done(number, _send(association, item, number % _MAX_MESSAGE_ID + 1))
    except NothingAccepted:
        for number, item in group.items():
            done(number, item.refused(_NO_CONTEXT))
    except _Broken:
        done(number, group[number].outcome("busy", BROKE_OFF))
        return number
    return None


def _groups(
    objects: Iterable[Path | Dataset], done: Callable[[int, StoreOutcome], None]
) -> Iterator[dict[int, Outgoing]]:
    """Runs of objects, by their number, whose contexts fit into one association."""
    group: dict[int, Outgoing] = {}
    pairs: set[tuple[str, str]] = set()
    for number, source in enumerate(objects):
        try:
            item = prepare(source)
        except Unsendable as reason:
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


def _contexts(group: Iterable[Outgoing]) -> Iterator[PresentationContext]:
    pairs = dict.fromkeys((item.sop_class_uid, s) for item in group for s in item.syntaxes)
    for sop_class_uid, syntax in pairs:
        yield context(sop_class_uid, syntax)


def _send(association: Association, item: Outgoing, message_id: int) -> StoreOutcome:
    accepted = [
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == item.sop_class_uid
    ]
    if not accepted:
        return item.refused(_NO_CONTEXT)
    try:
        status = association.send_c_store(_data(item, accepted), msg_id=message_id)
    except Unsendable as reason:
        return item.refused(str(reason))
    except (RuntimeError, OSError):  # no longer established
        raise _Broken from None
    except Exception as error:
        return item.refused(f"it cannot be encoded ({type(error).__name__})")
    if "Status" not in status:
        raise _Broken
    comment = str(status.get("ErrorComment") or "")
    return item.answered(int(status.Status), comment, plain_words(comment))


def _data(item: Outgoing, accepted: Sequence[str]) -> Path | Dataset:
    """What to hand to pynetdicom: the file itself, or a dataset in an accepted encoding."""
    if item.transfer_syntax_uid in accepted and item.as_is:
        return item.source
    dataset = item.load()
    if item.transfer_syntax_uid in accepted:
        return dataset
    if UID(item.transfer_syntax_uid).is_compressed:
        try:
            dataset.decompress(generate_instance_uid=False)
        except Exception as error:
            raise Unsendable(
                f"the PACS does not take its compression, and it cannot be decompressed "
                f"({type(error).__name__})"
            ) from None
    return dataset
