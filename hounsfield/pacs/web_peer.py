"""Where a DICOMweb service is, and how we show who we are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from hounsfield.errors import ConfigError
from hounsfield.pacs.mapping import parse_mapping
from hounsfield.pacs.peer import MAX_INSTANCE, check_timeouts
from hounsfield.pacs.tls import Tls

__all__ = ["Secret", "WebPeer", "WebTimeouts"]


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is kept; never the secret itself. One of the two.

    Attributes
    ----------
    variable
        Name of an environment variable.
    file
        A file that holds it alone; white space around it is dropped.
    """

    variable: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        if bool(self.variable) == bool(self.file):
            raise ConfigError("give either variable or file", where="variable")

    def read(self) -> str:
        """Read anew at each call, since secrets are renewed.

        Raises
        ------
        ConfigError
            If it is not there, or empty.
        """
        if self.variable:
            value, where = os.environ.get(self.variable, ""), f"variable {self.variable}"
        else:
            where = f"file {Path(self.file).name}"
            try:
                value = Path(self.file).read_text().strip()
            except (OSError, ValueError):
                raise ConfigError("a secret cannot be read", where=where) from None
        if not value:
            raise ConfigError("a secret is empty", where=where)
        return value


@dataclass(frozen=True, slots=True)
class WebTimeouts:
    """Seconds to wait for a server.

    Attributes
    ----------
    connect
        For the TCP connection and the TLS handshake.
    message
        For the first byte of an answer, and for each next one.
    """

    connect: float = 10.0
    message: float = 60.0

    def __post_init__(self) -> None:
        check_timeouts(self)


@dataclass(frozen=True, slots=True)
class WebPeer:
    """A PACS that is reached by DICOMweb (PS3.18).

    Attributes
    ----------
    url
        Of the service: what stands before ``/studies``.
    qido_prefix, wado_prefix, stow_prefix
        What stands between `url` and ``/studies`` where the PACS has one address for each
        service.
    user, password
        For HTTP Basic authentication.
    token
        A bearer token, for OAuth 2.0.
    tls
        Whom to trust, and what to show; None: the authorities that Python's requests knows.
    max_results
        When a query gives this many studies, its answer is taken for cut off, and the time
        window is halved and asked again. Not more than the PACS itself lists: few say that
        they cut. That one lists less is seen by asking for parts of the window, but for studies
        of one second, or without StudyTime, which only PatientID tells apart: best it is more
        than a day has.
    max_instance
        The longest instance that is fetched, in bytes: memory holds one. What comes without end
        is given up then.
    """

    url: str
    qido_prefix: str = ""
    wado_prefix: str = ""
    stow_prefix: str = ""
    user: str = ""
    password: Secret | None = None
    token: Secret | None = None
    tls: Tls | None = None
    timeouts: WebTimeouts = field(default_factory=WebTimeouts)
    max_results: int = 500
    max_instance: int = MAX_INSTANCE

    def __post_init__(self) -> None:
        if not _is_service(self.url):
            raise ConfigError(
                "not the address of a service",
                where="url",
                remedy="http or https, a host, and a path, with neither user nor query",
            )
        if bool(self.user) != (self.password is not None):
            raise ConfigError("user and password go together", where="user")
        if self.user and self.token is not None:
            raise ConfigError("give either user and password, or token", where="token")
        if self.max_results < 1:
            raise ConfigError("the result cap must be at least 1", where="max_results")
        if self.max_instance < 1:
            raise ConfigError("an instance has at least 1 byte", where="max_instance")

    @property
    def where(self) -> str:
        """How errors and logs name this peer."""
        return f"PACS {urlsplit(self.url).netloc}"

    def address(self, prefix: str, path: str) -> str:
        """Of a resource in one of the services."""
        return "/".join(part.strip("/") for part in (self.url, prefix, path) if part)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "web") -> Self:
        """Parses a mapping as it stands in configs/, at the place `where`.

        Raises
        ------
        ConfigError
            On unknown or missing keys, and on values out of range.
        """
        values = dict(data)
        for name in ("password", "token"):
            if values.get(name) is not None:
                values[name] = parse_mapping(Secret, values[name], f"{where}.{name}")
        if "timeouts" in values:
            values["timeouts"] = parse_mapping(WebTimeouts, values["timeouts"], f"{where}.timeouts")
        if values.get("tls") is not None:
            values["tls"] = Tls.from_dict(values["tls"], f"{where}.tls")
        return parse_mapping(cls, values, where)


def _is_service(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_plain = not (parts.username or parts.query or parts.fragment) and parts.port != 0
        return parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain
    except (ValueError, AttributeError, TypeError):
        return False
