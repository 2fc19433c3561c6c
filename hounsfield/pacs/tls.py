"""TLS for DIMSE (PS3.15 Section B.9) and DICOMweb, as client and as server, on Python's ssl."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hounsfield.errors import ConfigError
from hounsfield.pacs.mapping import parse_mapping

__all__ = ["Tls"]


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to trust, and what to show.

    Attributes
    ----------
    ca
        PEM of the authorities that sign the other side; None: the system's (client), or the
        client shows no certificate (server).
    certificate, key
        PEM of our own chain and its private key: always for a server, for a client where the
        server wants to know it (mutual TLS).
    check_host
        A client's: the certificate must bear the name or address that was called.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    check_host: bool = True

    @classmethod
    def from_dict(cls, data: Any, where: str = "tls") -> Self:
        """Parses a mapping as it stands in configs/, at the place `where`.

        Raises
        ------
        ConfigError
            On an unknown key, and on values of another type.
        """
        return parse_mapping(cls, data, where)

    def client(self) -> ssl.SSLContext:
        """The context of who calls.

        Raises
        ------
        ConfigError
            If a file is missing or is no PEM.
        """
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
        self._fill(context)
        context.check_hostname = self.check_host
        return context

    def server(self) -> ssl.SSLContext:
        """The context of who is called; with `ca`, the caller must show a certificate of its.

        Raises
        ------
        ConfigError
            If a file is missing or is no PEM, or there is no certificate of our own.
        """
        if self.certificate is None:
            raise ConfigError("a server needs a certificate", where="tls.certificate")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._fill(context)
        context.verify_mode = ssl.CERT_REQUIRED if self.ca else ssl.CERT_NONE
        return context

    def _fill(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise ConfigError(
                "a certificate or key cannot be read", where="tls", remedy="PEM files are wanted"
            ) from None
