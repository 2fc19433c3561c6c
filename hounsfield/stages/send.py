"""Sending results: each answer is written down as it comes, each refusal kept with its words."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection

from hounsfield.catalog.models import Delivery, utc_now
from hounsfield.errors import DeliveryRefused, NotFound, PacsUnavailable, PermanentError
from hounsfield.pacs import PacsClient, StoreOutcome
from hounsfield.stages.ledger import Ledger

__all__ = ["STAGE", "send"]

log = logging.getLogger(__name__)

STAGE = "write back"


def send(ledger: Ledger, client: PacsClient, rows: Collection[Delivery]) -> None:
    """Sends objects. One that is not taken now keeps its state, with the reason."""
    left = {row.SOPInstanceUID: row for row in rows}

    def note(outcome: StoreOutcome) -> None:
        _note(ledger, left.pop(outcome.SOPInstanceUID), outcome)

    ledger.note(rows, attempts=Delivery.attempts + 1)
    try:
        if rows:
            client.store([ledger.files[row.SOPInstanceUID] for row in rows], sink=note)
    except PacsUnavailable as error:
        ledger.note(left.values(), reason=error.what)
    except PermanentError as error:
        ledger.note(left.values(), reason=error.what, state="failed")
        raise


def _note(ledger: Ledger, row: Delivery, outcome: StoreOutcome) -> None:
    site, code = ledger.site, DeliveryRefused.code
    if outcome.verdict == "busy":
        ledger.note([row], reason=outcome.reason)
    elif outcome.verdict == "refused":
        uri = _keep(ledger, row, outcome)
        try:
            site.catalog.quarantine(
                row.study_key,
                stage=STAGE,
                code=code,
                reason=outcome.reason,
                digest=row.sha256,
                uri=uri,
            )
        except NotFound:  # The patient was erased meanwhile.
            zone, folder = site.locate(uri)
            zone.purge(folder)
            raise
        ledger.note([row], state="refused", reason=outcome.reason)
    else:
        if outcome.verdict == "warning":
            log.warning("Study %s, %s: %s.", row.study_key, row.kind.upper(), outcome.reason)
        # Why it was sent once more is told till the destination is asked again.
        reason = row.reason if row.state == "missing" else ""
        ledger.note([row], state="sent", sent_at=utc_now(), reason=reason)
        site.catalog.resolve(row.study_key, code, digest=row.sha256)


def _keep(ledger: Ledger, row: Delivery, outcome: StoreOutcome) -> str:
    """Puts the object and the PACS's own words, which may be PHI, where a person can read them."""
    region = ledger.site.region_of(row.study_key)
    zone, now = ledger.site.zone("quarantine", region), utc_now()
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
        zone.put_file(f"{folder}/object.dcm", ledger.files[row.SOPInstanceUID], region=region)
        name = f"answer-{now:%Y%m%dT%H%M%S.%f}.json"
        zone.put_file(f"{folder}/{name}", draft / "answer.json", region=region)
    return zone.uri(folder)
