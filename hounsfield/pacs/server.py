"""The listening side: who may connect, how many at once, TLS, a port for several processes."""

from __future__ import annotations

import gc
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from select import POLLIN, POLLOUT, poll
from typing import Any

from pynetdicom import AE
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from hounsfield.errors import ConfigError, InternalError
from hounsfield.pacs.counters import Tally
from hounsfield.pacs.reactor import Acceptor, Connection
from hounsfield.pacs.stream import Begin
from hounsfield.pacs.tls import Tls

__all__ = ["Server"]

log = logging.getLogger(__name__)

_BACKLOG = 128  # connections that wait for us
_COLLECTED = 64  # connections after which what is left of them is: they are full of cycles
_SPARE = 64  # connections beyond the associations: they are told that there are too many


class Server(ThreadedAssociationServer):  # type: ignore[misc]
    """pynetdicom's server, with `hounsfield.pacs.reactor` behind it.

    TLS is spoken in the association's own thread: pynetdicom does it in the one that accepts,
    where a client that says nothing would keep everybody else out.

    Parameters
    ----------
    begin
        Takes the C-STORE requests.
    ended
        Called when a connection has ended that was taken.
    networks
        From where connections are taken; empty: from everywhere.
    tls
        Its files are read for each connection: certificates are renewed while we run.
    is_shared
        Other processes listen on the same port (SO_REUSEPORT); the kernel spreads connections.

    Raises
    ------
    OSError
        If the port cannot be had.
    ConfigError
        If a certificate or key cannot be read.
    """

    request_queue_size = _BACKLOG
    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        entity: AE,
        address: tuple[str, int],
        *,
        begin: Begin,
        ended: Callable[[Acceptor], None],
        handlers: Sequence[tuple[Any, ...]],
        tally: Tally,
        networks: Sequence[IPv4Network | IPv6Network] = (),
        tls: Tls | None = None,
        is_shared: bool = False,
    ) -> None:
        self.begin = begin
        self.ended = ended
        self.tally = tally
        self._tls = tls
        self._context = tls.server() if tls else None
        self._networks = networks
        self._is_shared = is_shared
        self._clients: set[Any] = set()
        self._taken = 0
        super().__init__(
            entity,
            address,
            entity.ae_title,
            entity.supported_contexts,
            evt_handlers=list(handlers),
            request_handler=_Handler,
        )
        entity._servers.append(self)

    def start(self) -> None:
        """Takes connections, in a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def server_bind(self) -> None:
        if self._is_shared:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection is taken at all; called in the thread that accepts."""
        if not self._is_known(client_address[0]):
            self.tally.refuse("address", f"A connection from {client_address[0]}")
            return False
        if len(self._clients) >= self.ae.maximum_associations + _SPARE:
            self.tally.refuse("connections", f"A connection from {client_address[0]}")
            return False
        self._clients.add(client_address)
        self._taken += 1
        if not self._taken % _COLLECTED:
            gc.collect()
        return True

    def service_actions(self) -> None:
        """Not pynetdicom's, which collects garbage every so often even where nothing happens."""

    def secure_context(self) -> ssl.SSLContext | None:
        """What TLS is spoken with, if it is: of the files as they are now."""
        if self._tls is not None:
            try:
                self._context = self._tls.server()
            except ConfigError as error:  # They may be half written.
                log.error("What was read before of TLS is still used: %s", error)
        return self._context

    def forget(self, client_address: Any) -> None:
        """A connection has ended."""
        self._clients.discard(client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Instead of a traceback on the terminal."""
        self.forget(client_address)
        error = sys.exc_info()[1]
        if error is not None:
            log.error("A connection could not be taken: %s", InternalError.of(error))

    def _is_known(self, host: str) -> bool:
        if not self._networks:
            return True
        address = ip_address(host.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class _Handler(RequestHandler):  # type: ignore[misc]
    """Makes an association of a connection."""

    server: Server
    request: socket.socket

    def handle(self) -> None:
        context = self.server.secure_context()
        if context is not None:
            try:
                self.request = _secured(self.request, context, self.ae.acse_timeout or 0)
            except OSError as error:
                why = getattr(error, "verify_message", "") or getattr(error, "reason", None)
                whom = f"A connection from {self.client_address[0]} ({why or 'no handshake'})"
                self.server.tally.refuse("tls", whom)
                self.server.forget(self.client_address)
                return
        self.request.setblocking(False)
        super().handle()

    def _create_association(self) -> Acceptor:
        """As pynetdicom does it, of our own parts."""
        server, entity = self.server, self.ae
        association = Acceptor(entity, server.begin, self._ended)
        association._server = server
        association.name = "AcceptorThread"  # by which pynetdicom counts them
        association.set_socket(Connection(association, client_socket=self.request))
        ours = association.acceptor
        ours.maximum_length = entity.maximum_pdu_size
        ours.ae_title = server.ae_title
        ours.address_info = self.local
        ours.implementation_class_uid = entity.implementation_class_uid
        ours.implementation_version_name = entity.implementation_version_name
        ours.supported_contexts = server.contexts
        association.requestor.address_info = self.remote
        for event, handlers in server._handlers.items():
            if event.is_intervention and handlers:
                association.bind(event, *handlers)
            elif event.is_notification:
                for handler, arguments in handlers:
                    association.bind(event, handler, arguments)
        return association

    def _ended(self, association: Acceptor) -> None:
        self.server.forget(self.client_address)
        self.server.ended(association)


def _secured(connection: socket.socket, context: ssl.SSLContext, seconds: float) -> ssl.SSLSocket:
    """The connection under TLS, which a peer has so many seconds in all to agree upon."""
    connection.setblocking(False)
    secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    waiter = poll()
    end = time.monotonic() + seconds
    try:
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                waiter.register(secured, POLLIN)
            except ssl.SSLWantWriteError:
                waiter.register(secured, POLLOUT)
            left = end - time.monotonic()
            if left <= 0 or not waiter.poll(left * 1000):
                raise TimeoutError
    except OSError:
        with suppress(OSError):
            secured.close()
        raise
