"""A server of our own that lives as long as a call: where a PACS calls us back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE
from pynetdicom.sop_class import Verification

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs.association import SOCKET_HANDLERS, application_entity
from hounsfield.pacs.peer import DimsePeer, MoveDestination

__all__ = ["called_back", "entity_for"]


def entity_for(peer: DimsePeer, destination: MoveDestination) -> AE:
    """Our AE at `destination`, which talks with this PACS only and can be echoed."""
    entity = application_entity(peer, destination.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = [peer.ae_title]
    entity.add_supported_context(Verification)
    return entity


@contextmanager
def called_back(
    peer: DimsePeer,
    destination: MoveDestination,
    entity: AE,
    handlers: Sequence[tuple[Any, ...]],
) -> Iterator[None]:
    """Listens at `destination` till the block ends; with TLS if the peer has it.

    Raises
    ------
    PacsUnavailable
        If the port is taken.
    """
    try:
        server = entity.start_server(
            (destination.bind, destination.port),
            block=False,
            evt_handlers=[*SOCKET_HANDLERS, *handlers],
            ssl_context=peer.tls.server() if peer.tls else None,
        )
    except OSError:
        raise PacsUnavailable(
            "the port on which the PACS calls us back is taken",
            where=f"{peer.where}, port {destination.port}",
            remedy="another retrieval may be running: it is tried again",
        ) from None
    try:
        yield
    finally:
        server.shutdown()
