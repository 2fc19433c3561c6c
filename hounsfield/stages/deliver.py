"""deliver: results go to their destination, each until it is taken, refused or given up."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hounsfield.catalog.models import Delivery
from hounsfield.errors import DeliveryRefused, NotYet, PermanentError
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.ingest import client_of
from hounsfield.stages.ledger import Ledger, open_ledger
from hounsfield.stages.prove import prove_sent
from hounsfield.stages.send import STAGE, send
from hounsfield.stages.step import step

__all__ = ["deliver"]


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
        identity = site.vault.open(study_key, purpose=STAGE, run=run)
        with open_ledger(site, study_key, product_id, identity.source) as ledger:
            client = client_of(ledger.settings, ledger.destination)
            due = [row for row in ledger.rows() if _is_due(row)]
            ledger.begin(due, unless=("sent", "confirmed"), state="sending")
            send(ledger, client, due)
            if ledger.rows("refused") and not ledger.rows("sending"):
                # `confirm` will not run: what can be proven of the others is proven now.
                with suppress(PermanentError):  # The refusal is what a person must hear of.
                    prove_sent(ledger, client, identity.StudyInstanceUID)
            _conclude(ledger)
        record.say(
            f"{ledger.destination} took all {len(ledger.files)} results, {len(due)} of them now.",
            digest=ledger.product.digest,
        )
        return {"study_key": study_key, "product_id": product_id, "sent": len(ledger.files)}


def _is_due(row: Delivery) -> bool:
    """A refusal stands while its row of tries goes on; when that has ended, a person has looked."""
    if row.state == "refused":
        return row.trying_since is None
    return row.state in ("sending", "missing", "failed")


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
