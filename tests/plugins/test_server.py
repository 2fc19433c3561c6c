"""The page as Airflow serves it: without a session, to a viewer, to an administrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operators.local.installation import USERS
from tests.plugins.conftest import Running
from tests.plugins.made_up import HOSTILE, NO_MODEL, REPORTED

pytestmark = [pytest.mark.server, pytest.mark.e2e]

Client = Any
PATHS = ("/hounsfield/", f"/hounsfield/studies/{REPORTED}")


@pytest.fixture
def client(running: Running) -> Client:
    import httpx

    with httpx.Client(base_url=running.base, timeout=60) as client:
        yield client


@pytest.fixture(params=["bearer", "cookie"])
def log_in(request: pytest.FixtureRequest, running: Running, client: Client) -> Callable[..., None]:
    """Gives the client a user's session, as a program has it or as a browser has it."""

    def enter(user: str) -> None:
        credentials = {"username": user, "password": running.installation.passwords[user]}
        answer = client.post("/auth/token", json=credentials)
        token = answer.raise_for_status().json()["access_token"]
        if request.param == "bearer":
            client.headers["Authorization"] = f"Bearer {token}"
        else:
            client.cookies.set("_token", token)

    return enter


@pytest.mark.parametrize("path", [*PATHS, "/hounsfield/studies/st-none"])
def test_without_a_session(client: Client, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer no.token.atall"}, {"Cookie": "_token=none"}):
        answer = client.get(path, headers=headers)
        assert answer.status_code in (401, 403)
        assert "<table" not in answer.text and REPORTED not in answer.text


@pytest.mark.parametrize("user", USERS)
def test_with_a_session(client: Client, log_in: Callable[..., None], user: str) -> None:
    log_in(user)
    listed, told = (client.get(path) for path in PATHS)
    assert (listed.status_code, told.status_code) == (200, 200)
    assert REPORTED in listed.text
    assert "Access to PHI" in told.text and "/tasks/verify?try_number=1" in told.text
    assert "frame-ancestors 'self'" in told.headers["content-security-policy"]
    assert client.get("/hounsfield/studies/st-none").status_code == 404
    assert client.get(PATHS[0], params={"q": "x" * 10_000}).status_code == 422
    hostile = client.get(PATHS[0], params={"q": HOSTILE})
    assert NO_MODEL in hostile.text and "<script>alert" not in hostile.text
    assert client.post(PATHS[0]).status_code == 405
    assert client.head(PATHS[0]).status_code == 405


def test_airflow_lists_the_view(client: Client, log_in: Callable[..., None]) -> None:
    log_in("admin")
    plugins = client.get("/api/v2/plugins").raise_for_status().json()["plugins"]
    (ours,) = (plugin for plugin in plugins if plugin["name"] == "hounsfield")
    assert [view["url_route"] for view in ours["external_views"]] == ["hounsfield"]
    assert client.get("/api/v2/plugins/importErrors").json()["total_entries"] == 0
