"""commitments: what a PACS reports to the receiver of results that it was sent.

A PACS may commit itself an hour after it was asked, when no try of a delivery listens. The
receiver always does: what it is told is written down with the deliveries, where the next try
finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from sqlalchemy import select, update

from hounsfield.catalog.models import Delivery, utc_now
from hounsfield.pacs import Commitment, DimsePeer
from hounsfield.settings import ReceiverSettings
from hounsfield.site import Site

__all__ = ["note_commitment", "warn_of_rejected"]

log = logging.getLogger(__name__)


def note_commitment(site: Site, ae_title: str, said: Commitment) -> None:
    """Writes down what a PACS says of objects that it acknowledged, and has not proven yet.

    Parameters
    ----------
    ae_title
        Of who reports. What is not on its way to a PACS of this title that reports to the
        receiver is passed by.
    """
    theirs = {name for name, peer in _reporters(site) if peer.ae_title.strip() == ae_title}
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


def warn_of_rejected(site: Site, settings: ReceiverSettings) -> None:
    """Tells of each PACS whose reports this receiver would reject, for it is called otherwise.

    It is no error: another receiver may be the one that they go to.
    """
    for name, peer in _reporters(site):
        ours, theirs = peer.calling_ae_title.strip(), peer.ae_title.strip()
        if ours != settings.ae_title.strip():
            log.warning(
                "%s calls %r with its commitment reports, and this receiver is %r: they are "
                "rejected (calling_ae_title in configs/sources.yaml is to be the receiver's)",
                name,
                ours,
                settings.ae_title,
            )
        elif settings.calling_ae_titles and theirs not in settings.calling_ae_titles:
            log.warning(
                "%s calls as %r with its commitment reports, and is not let in: they are rejected "
                "(calling_ae_titles in configs/receiver.yaml)",
                name,
                theirs,
            )


def _reporters(site: Site) -> Iterator[tuple[str, DimsePeer]]:
    """Who reports to the receiver, by their names in configs/sources.yaml."""
    for name, place in (*site.settings.sources.items(), *site.settings.destinations.items()):
        if place.peer is not None and place.peer.get("reports_to_receiver"):
            yield name, DimsePeer.from_dict(place.peer, f"configs/sources.yaml: {name}.peer")
