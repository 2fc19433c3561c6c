"""confirm: a delivery counts when its destination proves that it has the object."""

from __future__ import annotations

from typing import Any

from hounsfield.catalog.models import utc_now
from hounsfield.errors import TransientError, Undelivered
from hounsfield.pacs import PacsClient
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.deliver import send
from hounsfield.stages.infer import tracker_of
from hounsfield.stages.ingest import client_of
from hounsfield.stages.ledger import Ledger, open_ledger
from hounsfield.stages.prove import prove
from hounsfield.stages.step import step
from hounsfield.tracking.lineage import prediction_lineage

__all__ = ["confirm"]


def confirm(site: Site, study_key: str, product_id: str, *, run: RunContext) -> dict[str, Any]:
    """Has the destination prove each object that it acknowledged.

    What is not there may be on its way into the PACS's index: it is asked for once more. What
    is not there then is sent again.

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
            _ask(ledger, client_of(ledger.settings), identity.StudyInstanceUID)
            _conclude(ledger)
        prediction_id = ledger.product.detail["prediction_id"]
        tracker = tracker_of(site)  # MLflow then names the results beside their prediction.
        tracker.log_prediction(prediction_lineage(site, prediction_id, tracker=tracker))
        ways = " and ".join(sorted({row.proof or "query" for row in ledger.rows()}))
        record.say(
            f"{ledger.destination} has all {len(ledger.files)} results, by {ways}.",
            digest=ledger.product.digest,
        )
        return {"study_key": study_key, "confirmed": len(ledger.files)}


def _ask(ledger: Ledger, client: PacsClient, study_instance_uid: str) -> None:
    asked = ledger.rows("sent", "missing")
    if not asked:
        return
    ledger.begin(asked)
    try:
        proof = prove(client, ledger.settings.proof, study_instance_uid, asked)
    except TransientError as error:  # silent, busy, or its commitment takes its time
        ledger.note(asked, reason=error.what)
        return
    proven = [row for row in asked if row.SOPInstanceUID not in proof.missing]
    ledger.note(proven, state="confirmed", confirmed_at=utc_now(), proof=proof.how)
    absent = [row for row in asked if row.SOPInstanceUID in proof.missing]
    send(ledger, client, [row for row in absent if row.state == "missing"])
    for row in absent:
        if row.state == "sent":
            reason = proof.missing[row.SOPInstanceUID]
            ledger.note([row], state="missing", reason=reason)


def _conclude(ledger: Ledger) -> None:
    waiting = ledger.rows("sent", "missing")
    if waiting:
        raise ledger.come_back(waiting, f"not proven by {ledger.destination}")
    unsent = ledger.rows("sending", "refused", "failed")
    if unsent:
        raise Undelivered(
            f"{len(unsent)} of {len(ledger.files)} results never got to {ledger.destination}",
            where=ledger.product.study_key,
            remedy="the task write_back says why; mend the cause and clear that",
        )
