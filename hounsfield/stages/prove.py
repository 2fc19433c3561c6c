"""Whether a destination has what it was sent: by its word for it, or by its own list."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hounsfield.catalog.models import Delivery, utc_now
from hounsfield.errors import NotYet, TransientError
from hounsfield.pacs import CommitmentNotSupported, PacsClient
from hounsfield.stages.ledger import Ledger
from hounsfield.stages.send import send

__all__ = ["Proof", "prove", "prove_sent"]

log = logging.getLogger(__name__)

NOT_LISTED = "the PACS does not list it"
OTHER_CLASS = "the PACS lists it with another SOP class"
NOT_COMMITTED = "the PACS does not commit itself to it"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the destination said.

    Attributes
    ----------
    missing
        SOPInstanceUID → why it is not proven.
    """

    how: Literal["commitment", "query"]
    missing: Mapping[str, str] = field(repr=False)


def prove(
    client: PacsClient,
    how: Literal["auto", "commitment", "query"],
    study_instance_uid: str,
    rows: Collection[Delivery],
) -> Proof:
    """Asks for each object that was sent.

    Parameters
    ----------
    how
        As in `Reached.proof`.

    Raises
    ------
    CommitmentNotSupported
        If Storage Commitment is asked for, and the destination does not have it.
    TransientError
        If it does not answer (yet).

    Notes
    -----
    A PACS may have Storage Commitment and not know where to report to us: Orthanc then breaks
    off, others stay silent. With ``auto`` that is no reason to leave a delivery unproven.
    """
    if how != "query":
        try:
            return _by_commitment(client, rows)
        except (CommitmentNotSupported, TransientError) as error:
            if how == "commitment":
                raise
            log.info("No Storage Commitment, so its own list is asked for: %s", error)
    return _by_query(client, study_instance_uid, rows)


def prove_sent(ledger: Ledger, client: PacsClient, study_instance_uid: str) -> None:
    """Asks for what was acknowledged, and writes down what the destination says.

    What is not there may be on its way into the PACS's index: it is asked for once more. What
    is not there then is sent again.
    """
    asked = ledger.rows("sent", "missing")
    if not asked:
        return
    ledger.begin(asked)
    try:
        proof = prove(client, ledger.settings.proof, study_instance_uid, asked)
    except TransientError as error:  # silent, busy, or its commitment takes its time
        is_late = isinstance(error, NotYet)
        # Of these it did report, to the receiver: what it said there stands.
        told = [row for row in asked if is_late and row.state == "missing"]
        ledger.note([row for row in asked if row not in told], reason=error.what)
        send(ledger, client, told)
        return
    proven = [row for row in asked if row.SOPInstanceUID not in proof.missing]
    ledger.note(proven, state="confirmed", confirmed_at=utc_now(), proof=proof.how, reason="")
    absent = [row for row in asked if row.SOPInstanceUID in proof.missing]
    send(ledger, client, [row for row in absent if row.state == "missing"])
    for row in absent:
        if row.state == "sent":
            ledger.note([row], state="missing", reason=proof.missing[row.SOPInstanceUID])


def _by_commitment(client: PacsClient, rows: Collection[Delivery]) -> Proof:
    """Storage Commitment (PS3.4 Annex J): what is neither kept nor failed is not proven."""
    said = client.commit([(row.SOPClassUID, row.SOPInstanceUID) for row in rows])
    left = {row.SOPInstanceUID for row in rows} - said.committed
    return Proof("commitment", {uid: said.failed.get(uid, NOT_COMMITTED) for uid in left})


def _by_query(client: PacsClient, study_instance_uid: str, rows: Collection[Delivery]) -> Proof:
    """C-FIND or QIDO-RS at instance level; a SOP class counts where the PACS tells it."""
    refs = client.find_instances(study_instance_uid)
    listed = {ref.SOPInstanceUID: ref.SOPClassUID for ref in refs}
    missing = {}
    for row in rows:
        if row.SOPInstanceUID not in listed:
            missing[row.SOPInstanceUID] = NOT_LISTED
        elif listed[row.SOPInstanceUID] not in ("", row.SOPClassUID):
            missing[row.SOPInstanceUID] = OTHER_CLASS
    return Proof("query", missing)
