"""Airflow's REST API, as a person's browser would call it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from http import HTTPStatus
from typing import Any

from operators.local.installation import Installation

__all__ = ["AirflowApi"]

_BUSY_TRIES = 45
#: Longer than Airflow waits for its SQLite (`operators.local.sqlite`): what it says then is heard.
_SECONDS = 180


class AirflowApi:
    """The few calls that the demonstration and the tests make, with a user's token."""

    def __init__(self, installation: Installation, user: str = "admin") -> None:
        self.base = f"http://127.0.0.1:{installation.ports.airflow}"
        credentials = {"username": user, "password": installation.passwords[user]}
        self._token = ""
        self._token = self._call("POST", "/auth/token", credentials)["access_token"]

    def pause(self, dag_id: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": True})

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def dag_ids(self) -> set[str]:
        return {dag["dag_id"] for dag in self._call("GET", "/api/v2/dags?limit=100")["dags"]}

    def import_errors(self) -> list[str]:
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def trigger(
        self, dag_id: str, conf: dict[str, Any] | None = None, *, partition_key: str | None = None
    ) -> str:
        """Starts a run by hand and gives its id."""
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if partition_key:
            body["partition_key"] = partition_key
        run: str = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return run

    def backfill(self, dag_id: str, first: str, last: str, *, again: bool = True) -> int:
        """Airflow's own backfill over days (ISO, inclusive); gives its id."""
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "reprocess_behavior": "completed" if again else "none",
            "max_active_runs": 4,
        }
        return int(self._call("POST", "/api/v2/backfills", body)["id"])

    def open_backfill(self, dag_id: str) -> int | None:
        """The backfill of a Dag that is not done yet; Airflow runs one at a time."""
        found = self._call("GET", f"/api/v2/backfills?dag_id={dag_id}&limit=100")["backfills"]
        return next((int(item["id"]) for item in found if item["completed_at"] is None), None)

    def backfill_is_done(self, backfill_id: int) -> bool:
        return self._call("GET", f"/api/v2/backfills/{backfill_id}")["completed_at"] is not None

    def run_state(self, dag_id: str, run_id: str) -> str:
        state: str = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def clear(self, dag_id: str, run_id: str, *, since: str = "") -> None:
        """Clears a run, as a person does to run a partition again.

        Parameters
        ----------
        since
            The task that is cleared, with all after it; by default all are.
        """
        body: dict[str, Any] = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
        if since:
            body |= {"task_ids": [since], "include_downstream": True}
        self._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The newest hundred runs of a Dag (``~``: of all)."""
        path = f"/api/v2/dags/{dag_id}/dagRuns?limit=100&order_by=-id"
        runs: list[dict[str, Any]] = self._call("GET", path)["dag_runs"]
        return runs

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100"
        instances: list[dict[str, Any]] = self._call("GET", path)["task_instances"]
        return instances

    def required_actions(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """What the tasks of a run ask a person, and wait to be told."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/hitlDetails"
        asked = "?response_received=false&state=awaiting_input"
        actions: list[dict[str, Any]] = self._call("GET", path + asked)["hitl_details"]
        return actions

    def answer(self, path: str, decision: str, fields: dict[str, str]) -> None:
        """Answers a required action, which is at `path`, with what its form asks for."""
        self._call("PATCH", path, {"chosen_options": [decision], "params_input": fields})

    def partitions(self, asset: str) -> Counter[str]:
        """How often each partition of an asset was announced, of the newest hundred events."""
        found = self._call("GET", f"/api/v2/assets?name_pattern={asset}&limit=100")["assets"]
        (asset_id,) = (item["id"] for item in found if item["name"] == asset)
        path = f"/api/v2/assets/events?asset_id={asset_id}&limit=100"
        return Counter(event["partition_key"] for event in self._call("GET", path)["asset_events"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call; where SQLite was busy, and so nothing was done, the same again.

        So too where no answer came, of what may be done twice.
        """
        for _ in range(_BUSY_TRIES):
            try:
                return self._send(method, path, body)
            except TimeoutError:
                if method == "POST":
                    raise
            except urllib.error.HTTPError as error:
                detail = error.read().decode(errors="replace")[:500]
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE and "Database error" not in detail:
                    raise RuntimeError(f"{method} {path}: {error.code} {detail}") from None
                time.sleep(2)
        raise RuntimeError(f"{method} {path}: Airflow's database stays busy")

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(self.base + path, method=method)  # noqa: S310 - loopback
        request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(request, data, timeout=_SECONDS) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None
