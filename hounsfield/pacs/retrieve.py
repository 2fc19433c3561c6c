"""C-GET and C-MOVE over the Study Root (PS3.4 Sections C.4.2 and C.4.3)."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pynetdicom import Association, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as StudyRootGet
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as StudyRootMove

from hounsfield.errors import ConfigError
from hounsfield.pacs.association import NothingAccepted, associate, context, lost
from hounsfield.pacs.client import InstanceRef
from hounsfield.pacs.contexts import Batch, guess, mirror, plan
from hounsfield.pacs.landing import Landing
from hounsfield.pacs.own_scp import called_back, entity_for
from hounsfield.pacs.patience import Pulse
from hounsfield.pacs.peer import DimsePeer, MoveDestination
from hounsfield.pacs.status import check_retrieve

__all__ = ["GetNotSupported", "get_instances", "move_instances", "requests_for"]

log = logging.getLogger(__name__)

_WELCOME = 0  # Result of an association request: PS3.8 Table 9-17
# Why a C-MOVE brought nothing, by whether somebody who called back was rejected.
_UNCALLED = {
    False: "%s did not call us back as %s (does it have our address and port, or else those of the "
    "receiver, which then has what came; and does bind let it in? See move in "
    "configs/sources.yaml)",
    True: "%s called us back with another AE title than its own, or for another than %s, and was "
    "rejected (see move in configs/sources.yaml, and what the PACS has of us)",
}


class GetNotSupported(Exception):
    """The PACS accepts no C-GET, or no storage context in which we are the SCP."""


def get_instances(
    peer: DimsePeer,
    study_instance_uid: str,
    wanted: Sequence[InstanceRef],
    every: Sequence[InstanceRef],
    landing: Landing,
) -> None:
    """Fetches `wanted` by C-GET, in as many associations as the contexts need.

    Parameters
    ----------
    every
        All instances of the study, so that whole series are asked for as such.

    Raises
    ------
    GetNotSupported
        If nothing can be fetched this way at all.
    PacsUnavailable
        If the association breaks; what had landed by then stays.
    """
    usable = False
    for batch in _batches(wanted):
        missing = [ref for ref in wanted if ref.SOPInstanceUID not in landing.arrived]
        todo = [ref for ref in missing if _fits(ref, batch)]
        if todo:
            requests = requests_for(study_instance_uid, todo, every)
            usable |= _get_batch(peer, batch, requests, landing)
    if not usable:
        raise GetNotSupported


def move_instances(
    peer: DimsePeer,
    study_instance_uid: str,
    wanted: Sequence[InstanceRef],
    every: Sequence[InstanceRef],
    landing: Landing,
) -> None:
    """Fetches `wanted` by C-MOVE to a storage SCP that lives as long as this call.

    Raises
    ------
    ConfigError
        No move destination is configured, or the PACS does not know it.
    PacsUnavailable
        The association breaks.
    NotYet
        The port of the destination is taken by another retrieval.
    """
    if peer.move is None:
        raise ConfigError(
            "the PACS gives nothing by C-GET, and C-MOVE needs a destination",
            where=f"{peer.where}, move",
            remedy="give move.ae_title and move.port, and register both in the PACS",
        )
    requests = requests_for(study_instance_uid, wanted, every)
    pulse = Pulse()
    with (
        _storage_scp(peer, peer.move, landing, pulse) as answers,
        associate(peer, [context(StudyRootMove)], pulse=pulse) as association,
    ):
        for identifier in requests:
            moving = association.send_c_move(identifier, peer.move.ae_title, StudyRootMove)
            done = _follow(peer, moving, landing)
            if _WELCOME not in answers:
                landing.elsewhere += done


def requests_for(
    study_instance_uid: str, wanted: Iterable[InstanceRef], every: Iterable[InstanceRef]
) -> list[Dataset]:
    """The fewest identifiers that name `wanted` out of `every`: study, series, or instance.

    Instances are named one by one: a list of UIDs in one identifier is not understood by
    every PACS (qrscp fails on it), and what is asked for singly is little.
    """
    asked = {ref.SOPInstanceUID: ref for ref in wanted}
    total = Counter(ref.SeriesInstanceUID for ref in every)
    if len(asked) == sum(total.values()):
        return [_identifier("STUDY", StudyInstanceUID=study_instance_uid)]
    part = Counter(ref.SeriesInstanceUID for ref in asked.values())
    whole = [uid for uid in part if part[uid] == total[uid]]
    requests = [
        _identifier("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID=uid)
        for uid in whole
    ]
    requests.extend(
        _identifier(
            "IMAGE",
            StudyInstanceUID=study_instance_uid,
            SeriesInstanceUID=ref.SeriesInstanceUID,
            SOPInstanceUID=ref.SOPInstanceUID,
        )
        for ref in asked.values()
        if ref.SeriesInstanceUID not in whole
    )
    return requests


def _identifier(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _candidates(ref: InstanceRef) -> tuple[str, ...]:
    return (ref.SOPClassUID,) if ref.SOPClassUID else guess(ref.Modality)


def _batches(wanted: Sequence[InstanceRef]) -> Iterator[Batch]:
    likely = sorted({uid for ref in wanted for uid in _candidates(ref)})
    known = all(ref.SOPClassUID for ref in wanted)
    return plan(likely, exhaustive=not known, reserved=1)


def _fits(ref: InstanceRef, batch: Batch) -> bool:
    return not ref.SOPClassUID or ref.SOPClassUID in batch.classes


def _get_batch(
    peer: DimsePeer, batch: Batch, requests: Sequence[Dataset], landing: Landing
) -> bool:
    """Whether the PACS agreed to send anything of this batch by C-GET."""
    contexts = [context(StudyRootGet), *batch.contexts]
    try:
        with associate(peer, contexts, roles=batch.roles, handlers=landing.handlers) as association:
            usable = _can_get(association)
            for identifier in requests if usable else ():
                _follow(peer, association.send_c_get(identifier, StudyRootGet), landing)
            return usable
    except NothingAccepted:
        return False


def _can_get(association: Association) -> bool:
    accepted = association.accepted_contexts
    get = any(item.abstract_syntax == StudyRootGet for item in accepted)
    return get and any(item.as_scp for item in accepted)


def _follow(
    peer: DimsePeer, answers: Iterator[tuple[Dataset, Dataset | None]], landing: Landing
) -> int:
    """How many sub-operations went well, as the PACS says in the end."""
    done = 0
    landed, since = 0, time.monotonic()
    for status, _ in answers:
        landing.raise_failure()
        if len(landing.entries) > landed:
            landed, since = len(landing.entries), time.monotonic()
        if "Status" not in status or time.monotonic() - since > peer.timeouts.instance:
            raise lost(peer)
        if status.Status not in (0xFF00, 0xFF01) and not check_retrieve(peer, status):
            log.info("%s could not send every instance that was asked for", peer.where)
        done = int(status.get("NumberOfCompletedSuboperations") or 0)
    return done


@contextmanager
def _storage_scp(
    peer: DimsePeer, destination: MoveDestination, landing: Landing, pulse: Pulse
) -> Iterator[list[int]]:
    """Gives what those who call us back are answered, as they are."""
    answers: list[int] = []

    def note(event: evt.Event) -> None:
        if isinstance(event.primitive, A_ASSOCIATE) and event.primitive.result is not None:
            answers.append(event.primitive.result)

    handlers = [
        *pulse.handlers,
        (evt.EVT_REQUESTED, mirror),
        (evt.EVT_ACSE_SENT, note),
        *landing.handlers,
    ]
    try:
        with called_back(peer, destination, entity_for(peer, destination), handlers):
            yield answers
    finally:
        if _WELCOME not in answers:  # Few PACS say so: most count their sub-operations as failed.
            log.warning(_UNCALLED[bool(answers)], peer.where, destination.ae_title)
