"""A scripted DICOMweb server in this process: for what real servers do too rarely."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from hounsfield.pacs import WebClient, WebPeer, WebTimeouts

DICOM_JSON = {"Content-Type": "application/dicom+json"}


@dataclass
class Request:
    """What came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What goes back. Without a length, the connection's end is the body's."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    tells_length: bool = True

    @classmethod
    def json(cls, data: Any, status: int = 200, **headers: str) -> Reply:
        return cls(status, {**DICOM_JSON, **headers}, json.dumps(data).encode())


@dataclass
class FakeWeb:
    """Answers each request as `answer` says, and keeps it."""

    answer: Callable[[Request], Reply]
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    def client(self, **changes: Any) -> WebClient:
        settings: dict[str, Any] = {
            "url": f"http://127.0.0.1:{self.port}/dw",
            "timeouts": WebTimeouts(5, 20),
        }
        return WebClient(WebPeer(**{**settings, **changes}))

    @contextmanager
    def running(self) -> Iterator[FakeWeb]:
        server = _Server(("127.0.0.1", 0), _handler(self))
        self.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: an answer that raises hangs up, which is meant."""


def _handler(fake: FakeWeb) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            request = Request(
                self.command, self.path, dict(self.headers.items()), self.rfile.read(length)
            )
            fake.requests.append(request)
            reply = fake.answer(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.tells_length:
                self.send_header("Content-Length", str(len(reply.body)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None: ...

    return Handler
