"""Storage Commitment as SCP, the push model (PS3.4 Annex J).

::

    landing/.commitments/<name>.json    a request that is not yet answered (PHI)

A request is written down before it is accepted. The report goes back over the same association
while that is open, else over a new one to where the peer listens; till then it is kept, over
restarts too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import Association, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from hounsfield.errors import (
    ConfigError,
    HounsfieldError,
    InternalError,
    PacsUnavailable,
    StoreUnavailable,
)
from hounsfield.pacs.association import associate, context
from hounsfield.pacs.contexts import UNCOMPRESSED
from hounsfield.pacs.counters import Tally
from hounsfield.pacs.inbox import replace_text
from hounsfield.pacs.peer import DimsePeer

__all__ = ["CommitmentScp", "Held", "Transaction", "Transactions", "report_of"]

log = logging.getLogger(__name__)

#: Of some SOPInstanceUIDs those that are held for good, with their SOP classes.
Held = Callable[[Collection[str]], Mapping[str, str]]

_ANSWERED = 60.0  # seconds in which a report over the association of its request is through
_REQUEST = 1  # Action Type ID: PS3.4 Table J.3.2-1
_ALL, _FAILURES = 1, 2  # Event Type IDs: PS3.4 Table J.3.3-1
# Failure Reasons: PS3.3 Section C.14.1.1
_NO_SUCH_INSTANCE = 0x0112
_CLASS_CONFLICT = 0x0119
# Statuses of the N-ACTION response: PS3.7 Section 10.1.4.1.10
_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
_WRONG_INSTANCE = 0x0112
_INVALID_ARGUMENT = 0x0115
_NO_SUCH_ACTION = 0x0123
_RESOURCES = 0x0213


@dataclass(frozen=True, slots=True)
class Transaction:
    """A request for commitment. PHI: its repr tells nothing of whom.

    Attributes
    ----------
    peer
        AE title of who asked.
    references
        SOP class and SOP instance of each.
    asked
        When, in seconds since 1970.
    """

    uid: str = field(repr=False)
    peer: str
    references: tuple[tuple[str, str], ...] = field(repr=False)
    asked: float

    @property
    def name(self) -> str:
        """Of its file: a UID may be a path."""
        return hashlib.sha256(f"{self.peer}\0{self.uid}".encode()).hexdigest()

    @classmethod
    def parse(cls, information: Dataset, peer: str) -> Transaction:
        """From the Action Information (PS3.4 Table J.3.2-1).

        Raises
        ------
        ConfigError
            If it names no transaction or no instance.
        """
        uid = information.get("TransactionUID")
        references = tuple(
            (
                str(item.get("ReferencedSOPClassUID", "")),
                str(item.get("ReferencedSOPInstanceUID", "")),
            )
            for item in information.get("ReferencedSOPSequence") or ()
        )
        if not uid or not references or not all(instance for _, instance in references):
            raise ConfigError("a commitment request names no transaction, or no instance")
        return cls(str(uid), peer, references, time.time())


class Transactions:
    """What is not yet answered. Processes may share it.

    Raises
    ------
    StoreUnavailable
        In `add`, if the disk is full or cannot be written.
    """

    def __init__(self, landing: Path) -> None:
        self._folder = landing / ".commitments"

    def add(self, transaction: Transaction) -> None:
        """Writes a request down; when this returns, it survives a power cut."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_text(self._path(transaction), json.dumps(asdict(transaction)))
        except OSError as error:
            raise StoreUnavailable(
                f"a request cannot be kept: {error.strerror}",
                remedy="see the space and the permissions of the landing folder",
            ) from None

    def all(self) -> list[Transaction]:
        """Those that were asked first come first. What cannot be read is removed."""
        found = []
        for path in self._folder.glob("*.json"):
            try:
                data = json.loads(path.read_text())
                references = tuple((one, other) for one, other in data.pop("references"))
                found.append(Transaction(**data, references=references))
            except FileNotFoundError:  # It was answered just now.
                continue
            except (ValueError, TypeError, LookupError, AttributeError):
                log.error(
                    "A commitment request is damaged, and removed: nobody is told of it (look at "
                    "the disk; its sender asks again, or sends again)"
                )
                path.unlink(missing_ok=True)
        return sorted(found, key=lambda transaction: transaction.asked)

    def remove(self, transaction: Transaction) -> None:
        self._path(transaction).unlink(missing_ok=True)

    def forget(self, uids: Collection[str]) -> None:
        """Takes instances out of the requests; one of these alone goes as a whole."""
        for transaction in self.all():
            others = tuple(pair for pair in transaction.references if pair[1] not in uids)
            if not others:
                self.remove(transaction)
            elif others != transaction.references:
                self.add(replace(transaction, references=others))

    @contextmanager
    def taken(self, transaction: Transaction) -> Iterator[bool]:
        """Whether this process may answer it; no other may while the block lasts."""
        try:
            file = self._path(transaction).open()
        except FileNotFoundError:
            yield False
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def _path(self, transaction: Transaction) -> Path:
        return self._folder / f"{transaction.name}.json"


def report_of(transaction: Transaction, held: Mapping[str, str]) -> tuple[int, Dataset]:
    """Event Type ID and Event Information of the report (PS3.4 Table J.3.3-1)."""
    committed, failed = [], []
    for sop_class, instance in transaction.references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        if held.get(instance) == sop_class:
            committed.append(item)
        else:
            item.FailureReason = _CLASS_CONFLICT if instance in held else _NO_SUCH_INSTANCE
            failed.append(item)
    information = Dataset()
    information.TransactionUID = transaction.uid
    if committed:
        information.ReferencedSOPSequence = committed
    if failed:
        information.FailedSOPSequence = failed
    return (_FAILURES if failed else _ALL), information


class CommitmentScp:
    """Accepts requests, and answers them.

    Parameters
    ----------
    ae_title
        Ours.
    peers
        By AE title: how each is reached when it has hung up; see `DimsePeer`.
    give_up_after
        Seconds after which a report that could not be brought is dropped.
    """

    def __init__(
        self,
        landing: Path,
        held: Held,
        tally: Tally,
        *,
        ae_title: str,
        peers: Mapping[str, Mapping[str, Any]],
        give_up_after: float,
    ) -> None:
        self.transactions = Transactions(landing)
        self._held = held
        self._tally = tally
        self._give_up_after = give_up_after
        self._told: set[str] = set()  # peers of which a person was told that they hang up
        self._peers = {
            name: DimsePeer.from_dict(
                {"calling_ae_title": ae_title, **peer, "ae_title": name},
                f"configs/receiver.yaml: commitment.peers.{name}",
            )
            for name, peer in peers.items()
        }

    @property
    def handlers(self) -> list[tuple[Any, ...]]:
        """For the server."""
        return [(evt.EVT_N_ACTION, self._requested)]

    def sweep(self, attempt: Callable[[str, Callable[[], object]], object]) -> None:
        """Brings what is owed to peers that have hung up.

        Parameters
        ----------
        attempt
            Called with a name and what is to be tried, which raises when it fails.
        """
        for transaction in self.transactions.all():
            if time.time() - transaction.asked > self._give_up_after:
                log.warning("A commitment report to %s is given up.", transaction.peer)
                self._tally.add("commitments", "given_up")
                self.transactions.remove(transaction)
            elif transaction.peer in self._peers:
                attempt(transaction.name, partial(self._bring, transaction))
            elif time.time() - transaction.asked > _ANSWERED and transaction.peer not in self._told:
                self._told.add(transaction.peer)
                log.warning(
                    "Commitment reports to %s wait: it hung up before one was ready (name it under "
                    "commitment.peers in configs/receiver.yaml)",
                    transaction.peer,
                )

    def _requested(self, event: evt.Event) -> tuple[int, None]:
        """A handler of EVT_N_ACTION: gives the status of the response. Raises nothing."""
        request = event.request
        if request.RequestedSOPInstanceUID != StorageCommitmentPushModelInstance:
            return _WRONG_INSTANCE, None
        if request.ActionTypeID != _REQUEST:
            return _NO_SUCH_ACTION, None
        association = event.assoc
        try:
            transaction = Transaction.parse(
                event.action_information, str(association.requestor.ae_title).strip()
            )
            self.transactions.add(transaction)
        except StoreUnavailable as error:
            log.error("A commitment request could not be taken: %s", error)
            return _RESOURCES, None
        except Exception as error:  # pydicom raises whatever the bytes lead it to
            log.warning("A commitment request was refused: %s", InternalError.of(error))
            return _INVALID_ARGUMENT, None
        self._tally.add("commitments", "asked")
        threading.Thread(target=self._answer, args=(association, transaction), daemon=True).start()
        return _SUCCESS, None

    def _answer(self, association: Association, transaction: Transaction) -> None:
        """Reports over the association of the request, if it is still open then."""
        try:
            with self.transactions.taken(transaction) as is_ours:
                if is_ours and association.is_established:
                    self._report(association, transaction)
        except HounsfieldError as error:
            log.warning("A commitment report waits for a new association: %s", error)
        except Exception as error:  # the association may end at any point
            log.warning(
                "A commitment report waits for a new association: %s", InternalError.of(error)
            )

    def _bring(self, transaction: Transaction) -> None:
        """Reports over an association of our own, whose SCP we are (PS3.7 Section D.3.3.4)."""
        peer = self._peers[transaction.peer]
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        with self.transactions.taken(transaction) as is_ours:
            if not is_ours:
                return
            push = context(str(StorageCommitmentPushModel), *UNCOMPRESSED)
            with associate(peer, [push], roles=[role]) as association:
                if not any(accepted.as_scp for accepted in association.accepted_contexts):
                    raise ConfigError(
                        "the peer takes no commitment reports from us (SCP role refused)",
                        where=peer.where,
                    )
                self._report(association, transaction)

    def _report(self, association: Association, transaction: Transaction) -> None:
        uids = {instance for _, instance in transaction.references}
        event_type, information = report_of(transaction, self._held(uids))
        status, _ = association.send_n_event_report(
            information,
            event_type,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        if "Status" not in status or status.Status != _SUCCESS:
            raise PacsUnavailable("a peer did not take its commitment report")
        self.transactions.remove(transaction)
        self._tally.add("commitments", "reported")
        failed = len(information.get("FailedSOPSequence", ()))
        log.info("Committed to %d instances, and not to %d.", len(uids) - failed, failed)
