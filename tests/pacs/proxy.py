"""A TCP proxy that breaks the connection in the middle, or falls silent there."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Passes bytes on both ways until `limit` bytes came back from the server; then cuts.

    Parameters
    ----------
    limit
        Bytes from the server, over each connection; None never cuts.
    upstream_limit
        The same for bytes to the server.
    stalls
        Whether it falls silent, both ways, in place of cutting.
    pace
        Bytes a second, each way, and with a small buffer; None: as fast as they come.
    tls
        With which the proxy speaks to clients; to the server it speaks without.
    """

    def __init__(
        self,
        port: int,
        limit: int | None = None,
        upstream_limit: int | None = None,
        tls: ssl.SSLContext | None = None,
        *,
        stalls: bool = False,
        pace: int | None = None,
    ) -> None:
        self._stalls = stalls
        self._pace = pace
        self._over = threading.Event()
        self._tls = tls
        self._target = ("127.0.0.1", port)
        self._limits = {"down": limit, "up": upstream_limit}
        self._listener = socket.create_server(("127.0.0.1", 0))
        if pace is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._over.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._tls is not None:
                    try:
                        client = self._tls.wrap_socket(client, server_side=True)
                        client.settimeout(60)  # waits outside of OpenSSL: two threads use it
                    except OSError:
                        continue  # they do not agree
                server = socket.create_connection(self._target)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for args in ((client, server, "up"), (server, client, "down")):
                    threading.Thread(target=self._pump, args=args, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        left = self._limits[way]
        with suppress(OSError):
            while data := source.recv(4096):
                if left is not None and len(data) > left:
                    sink.sendall(data[:left])
                    self.cuts += 1
                    if self._stalls:
                        self._over.wait()
                    break
                left = None if left is None else left - len(data)
                if self._pace is not None:
                    time.sleep(len(data) / self._pace)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
