"""commitments: what a PACS reports to the receiver of results that it was sent.

A PACS may commit itself an hour after it was asked, when no try of a delivery listens. The
receiver always does: what it is told is written down with the deliveries, where the next try
finds it.
"""

from __future__ import annotations

import logging

from sqlalchemy import select, update

from hounsfield.catalog.models import Delivery, utc_now
from hounsfield.pacs import Commitment, DimsePeer
from hounsfield.settings import Reached
from hounsfield.site import Site

__all__ = ["note_commitment"]

log = logging.getLogger(__name__)


def note_commitment(site: Site, ae_title: str, said: Commitment) -> None:
    """Writes down what a PACS says of objects that it acknowledged, and has not proven yet.

    Parameters
    ----------
    ae_title
        Of who reports. What is not on its way to a PACS of this title that reports to the
        receiver is passed by.
    """
    places = (*site.settings.sources.items(), *site.settings.destinations.items())
    theirs = {name for name, place in places if _reports_here(place, ae_title)}
    if not theirs:
        log.warning(
            "%r reports on a Storage Commitment, and is passed by (no peer of this AE title has "
            "reports_to_receiver in configs/sources.yaml)",
            ae_title,
        )
        return
    waiting = Delivery.state.in_(("sent", "missing"))
    told = Delivery.SOPInstanceUID.in_({*said.committed, *said.failed})
    query = select(Delivery).where(waiting, told, Delivery.destination.in_(theirs))
    rows = site.catalog.all(query)
    proven = [row.id for row in rows if row.SOPInstanceUID in said.committed]
    refuted = {
        row.id: said.failed[row.SOPInstanceUID] for row in rows if row.SOPInstanceUID in said.failed
    }
    change = update(Delivery).where(waiting)
    with site.catalog.write() as session:
        session.execute(
            change.where(Delivery.id.in_(proven)).values(
                state="confirmed", confirmed_at=utc_now(), proof="commitment", reason=""
            )
        )
        for number, reason in refuted.items():
            session.execute(
                change.where(Delivery.id == number).values(state="missing", reason=reason)
            )
    log.info("%s commits itself to %d results, not to %d.", ae_title, len(proven), len(refuted))


def _reports_here(place: Reached, ae_title: str) -> bool:
    if place.peer is None:
        return False
    peer = DimsePeer.from_dict(place.peer)
    return peer.reports_to_receiver and peer.ae_title.strip() == ae_title
