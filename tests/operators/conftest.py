"""A context such as a worker gives: Airflow's own classes, and mocks with their spec."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import create_autospec

import pytest

import tests.airflow_home  # noqa: F401 - before Airflow

MakeContext = Callable[..., dict[str, Any]]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def make_context() -> MakeContext:
    """Makes the context of a run; `run` sets fields of its Dag run, the rest keys of its own.

    As in Airflow, there are no ``data_interval_…`` keys where the run has no logical date.
    """
    from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType
    from airflow.sdk.execution_time.context import OutletEventAccessors
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def make(run: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
        instance = create_autospec(RuntimeTaskInstance, instance=True)
        instance.configure_mock(
            **{"dag_id": "ingest", "run_id": "manual__1", "task_id": "retrieve"},
            **{"try_number": 2, "max_tries": 4, "map_index": -1},
        )
        facts: dict[str, Any] = {
            **{"dag_id": "ingest", "run_id": "manual__1", "run_type": DagRunType.MANUAL},
            **{"state": DagRunState.RUNNING, "run_after": NOON, "consumed_asset_events": []},
            **dict.fromkeys(
                ("logical_date", "data_interval_start", "data_interval_end", "start_date")
            ),
            **{"end_date": None, "partition_key": None},
        }
        dag_run = DagRun(**(facts | (run or {})))
        context = {
            "ti": instance,
            "dag_run": dag_run,
            "params": {},
            "outlet_events": OutletEventAccessors(),
        }
        if dag_run.logical_date:
            interval = ("data_interval_start", "data_interval_end")
            context |= {name: getattr(dag_run, name) for name in interval}
        return context | keys

    return make


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What ``Site.open()`` gives to an operator: nothing real."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    from hounsfield.site import Site

    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    opened = create_autospec(Site, instance=True)
    monkeypatch.setattr(Site, "open", lambda: opened)
    return opened


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Puts a mock with its signature in the place of a stage, by its dotted name."""
    from importlib import import_module

    def replace(name: str, gives: Any) -> Any:
        module, _, function = name.rpartition(".")
        real = getattr(import_module(module), function)
        mock = create_autospec(real, return_value=gives)
        monkeypatch.setattr(name, mock)
        return mock

    return replace
