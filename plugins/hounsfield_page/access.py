"""Who may read the page: Airflow answers, by its own users and permissions.

Airflow mounts the applications of plugins without authentication, so every route of the page
depends on ``require_reader``.
"""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, status

__all__ = ["PIPELINE", "Reader", "may_read_audit", "require_reader"]

#: What the page says, the task logs of these Dags say too: who may read those may read this.
PIPELINE = ("ingest", "prepare", "infer")


def require_reader(user: GetUserDep) -> BaseUser:
    """The user who asks.

    Raises
    ------
    HTTPException
        401 without a session (by ``GetUserDep``); 403 for a user who may not read the logs.
    """
    if not _may_read(DagAccessEntity.TASK_LOGS, user):
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return user


def may_read_audit(user: BaseUser) -> bool:
    """Whether the accesses to PHI are shown: to who may read Airflow's own audit log."""
    return _may_read(DagAccessEntity.AUDIT_LOG, user)


def _may_read(entity: DagAccessEntity, user: BaseUser) -> bool:
    teams = DagModel.get_dag_id_to_team_name_mapping(list(PIPELINE))
    return get_auth_manager().batch_is_authorized_dag(
        [
            {
                "method": "GET",
                "access_entity": entity,
                "details": DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            }
            for dag_id in PIPELINE
        ],
        user=user,
    )


Reader = Annotated[BaseUser, Depends(require_reader)]
