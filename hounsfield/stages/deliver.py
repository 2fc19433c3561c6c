"""deliver: results go to their destination, each until it is taken, refused or given up."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from hounsfield.catalog.models import Delivery, utc_now
from hounsfield.errors import DeliveryRefused, NotYet, PacsUnavailable, PermanentError
from hounsfield.pacs import PacsClient, StoreOutcome
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.ingest import client_of
from hounsfield.stages.ledger import Ledger, open_ledger
from hounsfield.stages.step import step

__all__ = ["STAGE", "deliver", "send"]

STAGE = "write back"


def deliver(site: Site, study_key: str, product_id: str, *, run: RunContext) -> dict[str, Any]:
    """Stores the objects of a product where the results of its study go.

    What was taken is not sent again. What was refused is kept in quarantine, and is sent again
    only when a person has looked and calls again; the others go all the same.

    Raises
    ------
    NotYet
        If the destination cannot take all of them just now.
    DeliveryRefused
        If it refuses an object for good.
    Undelivered
        If it has not taken all in the time that was set.
    """
    with step(site, study_key, STAGE, run, quarantine=False) as record:
        source = site.vault.open(study_key, purpose=STAGE, run=run).source
        with open_ledger(site, study_key, product_id, source) as ledger:
            due = [row for row in ledger.rows() if _is_due(row)]
            ledger.begin(due, state="sending")
            send(ledger, client_of(ledger.settings), due)
            _conclude(ledger)
        record.say(
            f"{ledger.destination} took all {len(ledger.files)} results, {len(due)} of them now.",
            digest=ledger.product.digest,
        )
        return {"study_key": study_key, "product_id": product_id, "sent": len(ledger.files)}


def send(ledger: Ledger, client: PacsClient, rows: Collection[Delivery]) -> None:
    """Sends objects; each answer is written down as it comes.

    An object that is not taken now keeps its state, with the reason.
    """
    left = {row.SOPInstanceUID: row for row in rows}

    def note(outcome: StoreOutcome) -> None:
        _note(ledger, left.pop(outcome.SOPInstanceUID), outcome)

    ledger.note(rows, attempts=Delivery.attempts + 1, reason="")
    try:
        if rows:
            client.store([ledger.files[row.SOPInstanceUID] for row in rows], sink=note)
    except PacsUnavailable as error:
        ledger.note(left.values(), reason=error.what)
    except PermanentError as error:
        ledger.note(left.values(), reason=error.what, state="failed")
        raise


def _is_due(row: Delivery) -> bool:
    """A refusal stands while its row of tries goes on; when that has ended, a person has looked."""
    if row.state == "refused":
        return row.trying_since is None
    return row.state in ("sending", "missing", "failed")


def _note(ledger: Ledger, row: Delivery, outcome: StoreOutcome) -> None:
    site, code = ledger.site, DeliveryRefused.code
    if outcome.verdict == "busy":
        ledger.note([row], reason=outcome.reason)
    elif outcome.verdict == "refused":
        site.catalog.quarantine(
            row.study_key,
            stage=STAGE,
            code=code,
            reason=outcome.reason,
            digest=row.sha256,
            uri=_keep(ledger, row, outcome),
        )
        ledger.note([row], state="refused", reason=outcome.reason)
    else:
        reason = outcome.reason if outcome.verdict == "warning" else ""
        ledger.note([row], state="sent", sent_at=utc_now(), reason=reason)
        site.catalog.resolve(row.study_key, code=code, digest=row.sha256)


def _keep(ledger: Ledger, row: Delivery, outcome: StoreOutcome) -> str:
    """Puts the object and the PACS's own words, which may be PHI, where a person can read them."""
    zone, now = ledger.site.zone("quarantine"), utc_now()
    folder = f"{row.study_key}/{row.sha256}"
    answer = {
        "at": now.isoformat(timespec="seconds"),
        "destination": ledger.destination,
        "kind": row.kind,
        "SOPClassUID": row.SOPClassUID,
        "SOPInstanceUID": row.SOPInstanceUID,
        "status": outcome.status and f"0x{outcome.status:04X}",
        "reason": outcome.reason,
        "comment": outcome.comment,
    }
    with zone.draft() as draft:
        (draft / "answer.json").write_text(json.dumps(answer, indent=1))
        zone.put_file(f"{folder}/object.dcm", ledger.files[row.SOPInstanceUID])
        zone.put_file(f"{folder}/answer-{now:%Y%m%dT%H%M%S.%f}.json", draft / "answer.json")
    return zone.uri(folder)


def _conclude(ledger: Ledger) -> None:
    waiting, refused = ledger.rows("sending"), ledger.rows("refused")
    if waiting:
        error = ledger.come_back(waiting, f"not taken by {ledger.destination}")
        if not isinstance(error, NotYet):
            ledger.note(waiting, state="failed")
        raise error
    if refused:
        raise DeliveryRefused(
            f"the PACS refused {len(refused)} of {len(ledger.files)} results: {refused[0].reason}",
            where=ledger.product.study_key,
            remedy="its own words are in quarantine; mend the cause and clear this task",
        )
