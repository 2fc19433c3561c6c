"""Ports for servers of the tests' own."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

#: Below those of `operators.local`, and of the kernel, which gives them to whoever connects: one of
#: these may be another's before the server listens that it was found for.
_OUT_OF_THE_WAY = (12_000, 20_000)


def free_port() -> int:
    """One that nothing listens on."""
    while True:
        port = random.SystemRandom().randrange(*_OUT_OF_THE_WAY)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
