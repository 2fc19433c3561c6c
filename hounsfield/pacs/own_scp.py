"""A server of our own that lives as long as a call: where a PACS calls us back."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EADDRINUSE
from typing import Any

from pynetdicom import AE
from pynetdicom.sop_class import Verification

from hounsfield.errors import ConfigError, NotYet
from hounsfield.pacs.association import WAITING_HANDLERS, application_entity
from hounsfield.pacs.peer import DimsePeer, MoveDestination

__all__ = ["called_back", "entity_for"]

_TURN = 15.0  # seconds after which it is looked whether the port is free


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
    NotYet
        If the port is taken.
    ConfigError
        If it cannot be ours, or not at that address.
    """
    try:
        server = entity.start_server(
            (destination.bind, destination.port),
            block=False,
            evt_handlers=[*WAITING_HANDLERS, *handlers],
            ssl_context=_Unhurried(peer.tls.server()) if peer.tls else None,
        )
    except OSError as error:
        where = f"{peer.where}, port {destination.port}"
        if error.errno == EADDRINUSE:
            # No failure: a large study may have it for longer than a task is tried again.
            raise NotYet(
                "the port on which the PACS calls us back is taken",
                where=where,
                remedy="another retrieval has it for now, or else a program that should not, such "
                "as the receiver, which wants a port of its own",
                seconds=_TURN,
            ) from None
        raise ConfigError(
            f"the PACS cannot call us back: {error.strerror}",
            where=where,
            remedy="see port and bind of move, or of commitment",
        ) from None
    try:
        yield
    finally:
        server.shutdown()


class _Unhurried:
    """A TLS context that leaves the handshake to the association's own thread, as it first reads.

    pynetdicom waits for it in the one that accepts, where a caller that says nothing would keep
    the PACS out, and us from ending.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, connection: socket.socket, *, server_side: bool) -> ssl.SSLSocket:
        return self._context.wrap_socket(
            connection, server_side=server_side, do_handshake_on_connect=False
        )
