"""The receiver's C-STORE and C-ECHO SCP (PS3.4 Annexes A and B)."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from pydicom.uid import UID_dictionary
from pynetdicom import AE, Association, evt
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from hounsfield.errors import ConfigError, HounsfieldError, InternalError, UnreadableFile
from hounsfield.pacs.association import SOCKET_HANDLERS, context
from hounsfield.pacs.command import StoreRequest
from hounsfield.pacs.contexts import STORAGE_CLASSES, UNCOMPRESSED
from hounsfield.pacs.counters import Tally
from hounsfield.pacs.inbox import Intake
from hounsfield.pacs.landing import Part
from hounsfield.pacs.place import ENCODINGS, place_of
from hounsfield.pacs.server import Server
from hounsfield.pacs.tls import Tls
from hounsfield.settings import ReceiverSettings

__all__ = ["encodings_of", "listening", "unheard"]

log = logging.getLogger(__name__)

_TLS = "configs/receiver.yaml: tls"

# Statuses of the response: PS3.4 Table B.2-1, PS3.7 Annex C.
_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
_INVALID_INSTANCE = 0x0117
_OUT_OF_RESOURCES = 0xA700
_MISMATCH = 0xA900
_CANNOT_UNDERSTAND = 0xC000

# Result, source and reason of an A-ASSOCIATE-RJ: PS3.8 Table 9-21.
_CONGESTED = (2, 3, 1)
_REASONS: Mapping[tuple[int, int, int], str] = {
    (1, 1, 3): "calling_ae_title",
    (1, 1, 7): "called_ae_title",
    (2, 3, 2): "associations",
    _CONGESTED: "disk_share",
}
_TRANSFER_SYNTAXES = frozenset(
    uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"
)


@contextmanager
def listening(
    intake: Intake,
    settings: ReceiverSettings,
    *,
    study_key: Callable[[str], str],
    tally: Tally | None = None,
    handlers: Iterable[tuple[Any, ...]] = (),
    is_shared: bool = False,
) -> Iterator[None]:
    """Takes instances of every storage SOP class into `intake` while the block lasts.

    Success is answered only when the instance is on the disk. A peer that was not answered,
    or was refused, has the instance still.

    Parameters
    ----------
    study_key
        Gives the pseudonym of a StudyInstanceUID; called in the associations' threads.
    handlers
        More of pynetdicom's events, and what handles them.
    is_shared
        Other processes listen on the same port.

    Raises
    ------
    ConfigError
        If an AE title or a certificate is none, or the port cannot be had.
    """
    counts = tally or Tally()
    entity = _entity(settings)
    door = _Door(intake, settings, study_key, counts)
    try:
        server = Server(
            entity,
            (settings.bind, settings.port),
            begin=door.begin,
            handlers=[
                *SOCKET_HANDLERS,
                (evt.EVT_REQUESTED, door.consider),
                (evt.EVT_ACSE_SENT, door.note),
                (evt.EVT_ESTABLISHED, door.opened),
                *handlers,
            ],
            ended=door.ended,
            tally=counts,
            networks=settings.networks,
            tls=Tls.from_dict(settings.tls, _TLS) if settings.tls else None,
            is_shared=is_shared,
        )
    except OSError as error:
        raise unheard(settings, error) from None
    server.start()
    try:
        yield
    finally:
        server.shutdown()
        entity.shutdown()


def unheard(settings: ReceiverSettings, error: OSError) -> ConfigError:
    """What to raise where the port cannot be had."""
    remedies = {
        errno.EADDRINUSE: "does another receiver run?",
        errno.EACCES: "below 1024 a right of its own is wanted: CAP_NET_BIND_SERVICE",
    }
    return ConfigError(
        f"port {settings.port} cannot be had: {error.strerror}",
        remedy=remedies.get(error.errno or 0, f"is {settings.bind} an address of this machine?"),
    )


def encodings_of(settings: ReceiverSettings) -> dict[str, str]:
    """For each private transfer syntax, one of the Standard's that is encoded so."""
    return {uid: ENCODINGS[name] for uid, name in settings.transfer_syntaxes.items()}


#: Making one takes time, and peers propose a hundred.
_context = lru_cache(maxsize=4096)(context)


def _commitment() -> PresentationContext:
    """For requests to us, and for reports on ours, in which the peer is the SCP (PS3.4 J.3.3)."""
    # Its data sets are ours to read: no exotic encodings.
    made = context(StorageCommitmentPushModel, *UNCOMPRESSED)
    made.scu_role = made.scp_role = True
    return made


class _Door:
    """Decides about associations and instances, and counts."""

    def __init__(
        self,
        intake: Intake,
        settings: ReceiverSettings,
        study_key: Callable[[str], str],
        tally: Tally,
    ) -> None:
        self.intake = intake
        self.study_key = study_key
        self.tally = tally
        self.encodings = encodings_of(settings)
        self.longest = settings.max_instance
        self._share = settings.disk_share
        self._classes = frozenset((*STORAGE_CLASSES, *settings.sop_classes, str(Verification)))
        self._syntaxes = _TRANSFER_SYNTAXES.union(self.encodings)

    def begin(self, request: StoreRequest, transfer_syntax_uid: str) -> _Instance:
        return _Instance(self, request, transfer_syntax_uid)

    def consider(self, event: evt.Event) -> None:
        """A handler of EVT_REQUESTED: rejects what the disk has no room for."""
        self.tally.add("associations_open")
        if not self._has_room():
            event.assoc.acse.send_reject(*_CONGESTED)
            event.assoc.kill()
            return
        offer = self._offer(event.assoc.requestor.requested_contexts)
        event.assoc.acceptor.supported_contexts = [
            *(_context(uid, *syntaxes) for uid, syntaxes in offer.items()),
            _commitment(),
        ]

    def _has_room(self) -> bool:
        try:
            usage = shutil.disk_usage(self.intake.root)
        except OSError as error:  # Not mounted, for instance: with no room for now.
            log.error("The landing folder cannot be had: %s", error.strerror)
            return False
        return usage.used <= self._share * usage.total

    def _offer(self, requested: Sequence[Any]) -> dict[str, Sequence[str]]:
        """What we take, in the order that the peer proposes it.

        An acceptor picks one syntax per context by its own order; the peer's own puts first
        what it can send as it is.
        """
        offered: dict[str, list[str]] = {}
        for item in requested:
            if item.abstract_syntax in self._classes:
                some = offered.setdefault(str(item.abstract_syntax), [])
                some.extend(str(s) for s in item.transfer_syntax if s in self._syntaxes)
        offer: dict[str, Sequence[str]] = {
            uid: tuple(dict.fromkeys(some)) or UNCOMPRESSED for uid, some in offered.items()
        }
        return offer

    def note(self, event: evt.Event) -> None:
        """A handler of EVT_ACSE_SENT: counts rejections."""
        sent = event.primitive
        if isinstance(sent, A_ASSOCIATE) and sent.result:
            why = (int(sent.result), int(sent.result_source or 0), int(sent.diagnostic or 0))
            requestor = event.assoc.requestor
            title = str(requestor.ae_title).strip()
            whom = f"An association of {title!r}, from {requestor.address},"
            self.tally.refuse(_REASONS.get(why, "other"), whom)

    def opened(self, event: evt.Event) -> None:
        """A handler of EVT_ESTABLISHED."""
        self.tally.add("associations")

    def ended(self, association: Association) -> None:
        """Called when a connection has ended, which may never have become an association."""
        if association.requestor.primitive is None:
            self.tally.add("refusals", "no_request")
        else:
            self.tally.add("associations_open", amount=-1)


class _Instance:
    """One instance on its way in; see `hounsfield.pacs.stream.Incoming`."""

    def __init__(self, door: _Door, request: StoreRequest, transfer_syntax_uid: str) -> None:
        self._door = door
        self._request = request
        self._syntax = transfer_syntax_uid
        self._part: Part | None = None
        self._status = _SUCCESS
        if not request.sop_instance_uid or not request.sop_class_uid:
            self._refuse("no_instance_uid", _INVALID_INSTANCE)
            return
        with self._refusing():
            self._part = door.intake.part(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
            )

    def write(self, fragment: memoryview) -> None:
        if self._part is not None:  # What is refused is still read, for the peer sends it still.
            with self._refusing():
                self._part.write(fragment)
                if self._part.size > self._door.longest:
                    log.warning(
                        "An instance was refused: it is longer than max_instance in "
                        "configs/receiver.yaml, if it has an end (see its sender)"
                    )
                    self._refuse("too_long", _CANNOT_UNDERSTAND)

    def finish(self) -> int:
        part = self._part
        if part is not None:
            with self._refusing():
                self._land(part)
        self.discard()
        return self._status

    def discard(self) -> None:
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _land(self, part: Part) -> None:
        encoding = self._door.encodings.get(self._syntax, self._syntax)
        place = place_of(part.data_set(), encoding)
        if place.SOPInstanceUID != self._request.sop_instance_uid:
            self._refuse("mismatch", _MISMATCH)
            return
        is_new = self._door.intake.land(self._door.study_key(place.StudyInstanceUID), part)
        tally = self._door.tally
        tally.add("instances")
        tally.add("bytes", amount=part.size)
        if not is_new:
            tally.add("duplicates")

    def _refuse(self, reason: str, status: int) -> None:
        self._door.tally.add("refusals", reason)
        self._status = status
        with suppress(OSError):
            self.discard()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Nothing is raised, for pynetdicom would log it, with what it quotes."""
        try:
            yield
        except UnreadableFile as error:
            log.warning("An instance was refused: %s", error)
            self._refuse("unreadable", _CANNOT_UNDERSTAND)
        except HounsfieldError as error:
            log.error("An instance could not be taken: %s", error)
            self._refuse("disk_full", _OUT_OF_RESOURCES)
        except Exception as error:
            log.error("An instance could not be taken: %s", InternalError.of(error))
            self._refuse("internal", _PROCESSING_FAILURE)


def _entity(settings: ReceiverSettings) -> AE:
    try:
        entity = AE(ae_title=settings.ae_title)
        entity.require_calling_aet = list(settings.calling_ae_titles)
    except ValueError:
        raise ConfigError(
            "an AE title has 1 to 16 characters of ASCII, and no backslash", where="AE title"
        ) from None
    entity.require_called_aet = True
    entity.maximum_associations = max(1, -(-settings.associations // settings.processes))
    entity.maximum_pdu_size = settings.max_pdu
    entity.acse_timeout = settings.associate_seconds
    entity.network_timeout = settings.idle_seconds
    # pynetdicom starts no server without a context; `consider` replaces it.
    entity.add_supported_context(Verification)
    return entity
