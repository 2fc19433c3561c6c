"""HTTP sessions with a DICOMweb service, and how their failures are named.

URLs of DICOMweb bear UIDs, which are PHI. Importing this module keeps them out of logs:
dicomweb-client's logging is switched off, and urllib3 says nothing about such URLs. What
requests raises quotes them too, so nothing of it gets out of `asking`.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from hounsfield.errors import ConfigError, HounsfieldError, PacsUnavailable, PermanentError
from hounsfield.pacs.tls import Tls
from hounsfield.pacs.web_peer import WebPeer

__all__ = [
    "asking",
    "open_session",
    "segment",
    "status_error",
    "timeout",
    "unavailable",
    "unreadable",
]

logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL + 1)

_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}")
# HTTP status → what it means and what to do, where that is for good: PS3.18 Section 8.5.
_PERMANENT: dict[int, tuple[str, str]] = {
    400: ("the PACS does not understand the request", "see its conformance statement"),
    401: ("the PACS does not know us", "check user and password, or token"),
    403: ("the PACS does not allow us this", "ask its administrator"),
    404: ("there is no such DICOMweb service", "check url and the prefixes"),
    405: ("the PACS does not offer this service", "see its conformance statement"),
    406: ("the PACS does not send what it has as it has it", "see its conformance statement"),
    407: ("a proxy does not know us", "the PACS must be reached without one"),
    410: ("there is no such DICOMweb service any more", "check url and the prefixes"),
    415: ("the PACS does not take DICOM in this form", "see its conformance statement"),
    501: ("the PACS does not offer this service", "see its conformance statement"),
}


def _says_no_uid(record: logging.LogRecord) -> bool:
    return "/studies" not in record.getMessage()


for _name in ("connection", "connectionpool", "response", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_says_no_uid)


class _Adapter(HTTPAdapter):
    """Leaves a wildcard as it is: Orthanc takes ``%2A`` for three characters."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        request.url = (request.url or "").replace("%2A", "*")
        return super().send(request, *args, **kwargs)


class _TlsAdapter(_Adapter):
    """Speaks TLS as a `Tls` says."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        check_host = None if self._tls.check_host else False
        super().init_poolmanager(
            *args, ssl_context=self._tls.client(), assert_hostname=check_host, **kwargs
        )


def open_session(peer: WebPeer) -> requests.Session:
    """A session that shows who we are. Nothing of it comes from the environment.

    It follows no redirection, which would carry patients and credentials elsewhere, and tries
    nothing twice: who calls decides that.

    Raises
    ------
    ConfigError
        If a secret or a certificate cannot be read.
    """
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.mount("http://", _Adapter())
    session.mount("https://", _Adapter())
    if peer.tls is not None:
        session.mount("https://", _TlsAdapter(peer.tls))
        session.verify = str(peer.tls.ca) if peer.tls.ca else True
    if peer.password is not None:
        session.auth = HTTPBasicAuth(peer.user.encode(), peer.password.read().encode())
    if peer.token is not None:
        session.headers["Authorization"] = f"Bearer {peer.token.read()}"
    return session


def timeout(peer: WebPeer) -> tuple[float, float]:
    """The peer's time-outs as requests wants them."""
    return peer.timeouts.connect, peer.timeouts.message


@contextmanager
def asking(peer: WebPeer) -> Iterator[None]:
    """Names what may go wrong between us and a server, without its URL.

    Raises
    ------
    PacsUnavailable
        No connection, no answer in time, a broken connection, or a server that is busy.
    ConfigError
        The server does not want us, or is no DICOMweb service.
    PermanentError
        Its answer cannot be read.
    """
    try:
        yield
    except exceptions.HTTPError as error:
        status = 0 if error.response is None else int(error.response.status_code)
        raise status_error(peer, status) from None
    except exceptions.TooManyRedirects:
        raise ConfigError(
            "the PACS sends us elsewhere", where=peer.where, remedy="give that address as url"
        ) from None
    except exceptions.SSLError as error:
        raise _tls_error(peer, error) from None
    except (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.InvalidHeader):
        raise ConfigError("not the address of a service", where=f"{peer.where}, url") from None
    except (exceptions.InvalidJSONError, RecursionError):
        raise unreadable(peer) from None
    except exceptions.RequestException:
        raise unavailable(peer) from None


def unavailable(peer: WebPeer) -> PacsUnavailable:
    """No connection, or it broke off, or nothing came in time."""
    return PacsUnavailable(
        "the PACS does not answer, or broke off",
        where=peer.where,
        remedy="is it running, and is url right?",
    )


def unreadable(peer: WebPeer) -> PermanentError:
    """An answer in a form that was not asked for."""
    return PermanentError(
        "the PACS sent an answer that cannot be read",
        where=peer.where,
        remedy="is url that of DICOMweb? Else report it to the PACS's vendor",
    )


def status_error(peer: WebPeer, status: int) -> HounsfieldError:
    """The error for an HTTP status that is no success."""
    if status in _PERMANENT:
        what, remedy = _PERMANENT[status]
        return ConfigError(f"{what} (HTTP {status})", where=peer.where, remedy=remedy)
    return PacsUnavailable(
        f"the PACS could not process the request (HTTP {status})",
        where=peer.where,
        remedy="try again",
    )


def segment(uid: str) -> str:
    """A UID as a part of a path.

    Raises
    ------
    PermanentError
        If it would lead elsewhere: a UID is what a peer says it is.
    """
    if not _SEGMENT.fullmatch(uid):
        raise PermanentError("a UID that no address can bear", remedy="fetch it by DIMSE")
    return uid


def _tls_error(peer: WebPeer, error: BaseException) -> HounsfieldError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__context__
    if cause is None:
        return PacsUnavailable(
            "no TLS with the PACS",
            where=peer.where,
            remedy="does it want a certificate of ours that it trusts?",
        )
    return ConfigError(
        "the PACS's certificate is not one that we trust", where=peer.where, remedy="check tls"
    )
