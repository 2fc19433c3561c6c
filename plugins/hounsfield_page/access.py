"""Who may read the page: Airflow answers, by its own users and permissions.

Airflow mounts the applications of plugins without authentication, so every route of the page
depends on ``require_reader``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, status

__all__ = [
    "PIPELINE",
    "Reader",
    "Reviewer",
    "may_read_audit",
    "may_review",
    "require_reader",
    "require_reviewer",
]

#: What the page says, the task logs of these Dags say too: who may read those may read this.
PIPELINE = ("ingest", "prepare", "infer")
#: The Dag whose required actions a reviewer answers.
REVIEWED = ("prepare",)


def require_reader(user: GetUserDep) -> BaseUser:
    """The user who asks.

    Raises
    ------
    HTTPException
        401 without a session (by ``GetUserDep``); 403 for a user who may not read the logs.
    """
    if not _may(DagAccessEntity.TASK_LOGS, user):
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return user


def require_reviewer(user: GetUserDep) -> BaseUser:
    """The user who asks to see what a patient's name may stand in.

    Raises
    ------
    HTTPException
        401 without a session; 403 for a user who may not answer the required actions of
        `prepare`, and so has no purpose in looking.
    """
    if not may_review(user):
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return user


def may_review(user: BaseUser) -> bool:
    """Whether reviews are shown: to who may decide on them."""
    return _may(DagAccessEntity.HITL_DETAIL, user, method="PUT", dag_ids=REVIEWED)


def may_read_audit(user: BaseUser) -> bool:
    """Whether the accesses to PHI are shown: to who may read Airflow's own audit log."""
    return _may(DagAccessEntity.AUDIT_LOG, user)


def _may(
    entity: DagAccessEntity,
    user: BaseUser,
    *,
    method: Literal["GET", "PUT"] = "GET",
    dag_ids: tuple[str, ...] = PIPELINE,
) -> bool:
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dag_ids))
    return get_auth_manager().batch_is_authorized_dag(
        [
            {
                "method": method,
                "access_entity": entity,
                "details": DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            }
            for dag_id in dag_ids
        ],
        user=user,
    )


Reader = Annotated[BaseUser, Depends(require_reader)]
Reviewer = Annotated[BaseUser, Depends(require_reviewer)]
