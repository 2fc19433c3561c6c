"""confirm: a delivery counts when its destination proves that it has the object."""

from __future__ import annotations

from typing import Any

from hounsfield.errors import Undelivered
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.infer import forget_if_erased, tracker_of
from hounsfield.stages.ingest import client_of
from hounsfield.stages.ledger import Ledger, open_ledger
from hounsfield.stages.prove import prove_sent
from hounsfield.stages.step import step
from hounsfield.tracking.lineage import prediction_lineage

__all__ = ["confirm"]


def confirm(site: Site, study_key: str, product_id: str, *, run: RunContext) -> dict[str, Any]:
    """Has the destination prove each object that it acknowledged; what it has not is sent again.

    Raises
    ------
    NotYet
        If not all are proven yet.
    Undelivered
        If they are not in the time that was set, or one never got there.
    """
    with step(site, study_key, "confirm", run, quarantine=False) as record:
        identity = site.vault.open(study_key, purpose="confirm delivery", run=run)
        with open_ledger(site, study_key, product_id, identity.source) as ledger:
            client = client_of(ledger.settings, ledger.destination)
            prove_sent(ledger, client, identity.StudyInstanceUID)
            _conclude(ledger)
        prediction_id = ledger.product.detail["prediction_id"]
        tracker = tracker_of(site)  # MLflow then names the results beside their prediction.
        tracker.log_prediction(prediction_lineage(site, prediction_id, tracker=tracker))
        forget_if_erased(site, study_key, tracker)
        ways = " and ".join(sorted({row.proof or "query" for row in ledger.rows()}))
        record.say(
            f"{ledger.destination} has all {len(ledger.files)} results, by {ways}.",
            digest=ledger.product.digest,
        )
        return {"study_key": study_key, "confirmed": len(ledger.files)}


def _conclude(ledger: Ledger) -> None:
    waiting = ledger.rows("sending", "sent", "missing")  # another run may be sending just now
    if waiting:
        raise ledger.come_back(waiting, f"not proven by {ledger.destination}")
    unsent = ledger.rows("refused", "failed")
    if unsent:
        raise Undelivered(
            f"{len(unsent)} of {len(ledger.files)} results never got to {ledger.destination}",
            where=ledger.product.study_key,
            remedy="the task write_back says why; mend the cause and clear that",
        )
