"""Telling Airflow, over its REST API, that a study was received.

Airflow itself is not imported: the receiver runs without it, and outlives it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from hounsfield.errors import ConfigError, NotFound, TransientError

__all__ = ["Airflow"]

ASSET = "received"
_SECONDS = 20


@dataclass
class Airflow:
    """One Airflow, by its address and a token, or a user who gets tokens.

    Parameters
    ----------
    url
        Of the api-server, such as ``http://127.0.0.1:8080``.
    """

    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Airflow | None:
        """From ``HOUNSFIELD_AIRFLOW_URL`` and ``_TOKEN``, or ``_USER`` and ``_PASSWORD``.

        None where the address is not set.

        Raises
        ------
        ConfigError
            If the address is none, or comes without a token or user.
        """
        url, token, user, password = (
            environ.get(f"HOUNSFIELD_AIRFLOW_{name}", "").strip()
            for name in ("URL", "TOKEN", "USER", "PASSWORD")
        )
        if not url:
            return None
        if not url.startswith(("http://", "https://")):
            raise ConfigError("it is no http address", where="HOUNSFIELD_AIRFLOW_URL")
        if not token and not (user and password):
            raise ConfigError(
                "there is no token and no user",
                where="HOUNSFIELD_AIRFLOW_URL",
                remedy="set HOUNSFIELD_AIRFLOW_TOKEN, or …_USER and …_PASSWORD",
            )
        return cls(url.rstrip("/"), token, user, password)

    def announce(self, study_key: str) -> None:
        """Makes the study a partition of the asset ``received``, so that `prepare` starts.

        Raises
        ------
        TransientError
            If Airflow does not answer, or not as it should.
        ConfigError
            If it does not let us in.
        NotFound
            If it has no such asset, as before its Dags were parsed.
        """
        query = urlencode({"name_pattern": ASSET, "limit": 100})
        assets = self._call("GET", f"/api/v2/assets?{query}").get("assets", ())
        ids = [asset["id"] for asset in assets if asset["name"] == ASSET]
        if not ids:
            raise NotFound(f"Airflow has no asset {ASSET}", remedy="are its Dags parsed?")
        self._call(
            "POST", "/api/v2/assets/events", {"asset_id": ids[0], "partition_key": study_key}
        )

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A call with a token; with a fresh one where the old one has run out."""
        if self.token:
            try:
                return self._request(method, path, body)
            except ConfigError:
                if not self.user:
                    raise
        login = {"username": self.user, "password": self.password}
        self.token = ""
        self.token = str(self._request("POST", "/auth/token", login)["access_token"])
        return self._request(method, path, body)

    def _request(self, method: str, path: str, body: object) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, headers, method=method)  # noqa: S310 (checked above)
        try:
            with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                return dict(json.load(answer))
        except HTTPError as error:
            if error.code in (401, 403):
                raise ConfigError(
                    f"Airflow does not let the receiver in (HTTP {error.code})",
                    remedy="see HOUNSFIELD_AIRFLOW_TOKEN, or the rights of its user",
                ) from None
            raise TransientError(
                f"Airflow answered with HTTP {error.code}", remedy="see the api-server's log"
            ) from None
        except (URLError, HTTPException, OSError, ValueError, TypeError) as error:
            raise TransientError(
                f"Airflow gave no answer ({type(error).__name__})",
                remedy="does it run at HOUNSFIELD_AIRFLOW_URL?",
            ) from None
