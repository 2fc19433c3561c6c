"""No route without Airflow's word; no word of Airflow, no page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from hounsfield.site import Site
from tests.plugins.made_up import REPORTED

OPEN = ("/hounsfield/", f"/hounsfield/studies/{REPORTED}", "/hounsfield/studies/none")
LOST = ("/hounsfield/docs", "/hounsfield/openapi.json", f"/hounsfield/studies/{REPORTED}/")
METHODS = ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def told(page: str) -> list[str]:
    """What a page says of any study."""
    return re.findall(r"(?:st|pt)-[a-z0-9]{8,}", page)


def calls(dependant: Dependant) -> set[Any]:
    return {dependant.call}.union(*(calls(each) for each in dependant.dependencies))


def test_every_route_asks_airflow() -> None:
    from airflow.api_fastapi.core_api.security import get_user
    from hounsfield_page.access import require_reader, require_reviewer
    from hounsfield_page.app import app

    reviewing = "/studies/{study_key}/review"
    assert {route.path for route in app.routes} == {
        *("/", "/storage", "/studies/{study_key}", reviewing)
    }
    for route in app.routes:
        # A mount, a static folder or a socket would have no dependency to ask.
        assert isinstance(route, APIRoute)
        assert {require_reader, get_user} <= calls(route.dependant)
        assert (require_reviewer in calls(route.dependant)) == (route.path == reviewing)


def test_a_user_without_the_permission_is_refused(auth_manager: Any) -> None:
    from hounsfield_page.access import require_reader

    auth_manager.batch_is_authorized_dag.return_value = False
    with pytest.raises(HTTPException) as refused:
        require_reader(object())  # type: ignore[arg-type]
    assert refused.value.status_code == 403


def test_airflow_is_asked_for_the_task_logs_of_the_pipeline(auth_manager: Any) -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from hounsfield_page.access import PIPELINE, may_read_audit, require_reader

    user: Any = object()
    assert require_reader(user) is user
    assert may_read_audit(user)
    asked = auth_manager.batch_is_authorized_dag.call_args_list
    for call, entity in zip(
        asked, (DagAccessEntity.TASK_LOGS, DagAccessEntity.AUDIT_LOG), strict=True
    ):
        (requests,) = call.args
        assert call.kwargs == {"user": user}
        assert tuple(each["details"].id for each in requests) == PIPELINE
        assert {each["access_entity"] for each in requests} == {entity}
        assert {each["method"] for each in requests} == {"GET"}


@pytest.mark.parametrize("path", OPEN)
def test_without_a_session_there_is_nothing(
    open_page: Callable[..., Any], filled: Site, path: str
) -> None:
    answer = open_page(filled, session=False).get(path, params={"page": -1})
    assert answer.status_code == 401
    assert not told(answer.text)


@pytest.mark.parametrize("path", OPEN)
def test_without_the_permission_there_is_nothing(
    open_page: Callable[..., Any], filled: Site, auth_manager: Any, path: str
) -> None:
    auth_manager.batch_is_authorized_dag.return_value = False
    answer = open_page(filled).get(path)
    assert answer.status_code == 403
    assert not told(answer.text)


@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [*OPEN, *LOST])
def test_other_methods_and_paths_say_nothing(
    open_page: Callable[..., Any], filled: Site, path: str, method: str, session: bool
) -> None:
    client = open_page(filled, session=session)
    answers = [client.request(method, path)]
    if path in LOST:
        answers.append(client.get(path))
    for answer in answers:
        assert answer.status_code in (404, 405)
        assert not told(answer.text)


def test_the_audit_trail_is_for_who_may_read_airflows(
    open_page: Callable[..., Any], filled: Site, auth_manager: Any
) -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity

    client = open_page(filled)
    page = client.get(f"/hounsfield/studies/{REPORTED}").text
    assert "vault.open" in page and told(page)
    auth_manager.batch_is_authorized_dag.side_effect = lambda requests, *, user: all(
        each["access_entity"] is not DagAccessEntity.AUDIT_LOG for each in requests
    )
    shown = client.get(f"/hounsfield/studies/{REPORTED}")
    assert shown.status_code == 200
    assert "vault.open" not in shown.text and "Access to PHI" not in shown.text
