"""What every Dag owes to the people who run it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from airflow.sdk import RetryAction

from hounsfield.errors import InvalidStudy, PacsUnavailable
from operators.policy import GPU_POOL, GPU_QUEUE, POOLS

#: Queues that the workers of docker/compose.yaml serve.
QUEUES = {"default", GPU_QUEUE}


def test_every_file_is_imported(bag: Any) -> None:
    assert bag.import_errors == {}


def test_the_id_is_the_file_name(bag: Any, file: Path) -> None:
    ids = [dag.dag_id for dag in bag.dags.values() if Path(dag.fileloc) == file]
    assert ids == [file.stem]


def test_it_has_a_module_docstring(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text()))
    assert docstring
    assert docstring.endswith((".", "?"))


def test_doc_md_is_a_runbook(dag: Any) -> None:
    """It says what the Dag does, and what a person does when a task is red or a wish is open."""
    text = dag.doc_md or ""
    assert text.lstrip().startswith(f"## {dag.dag_id}: ")
    assert re.search(r"^\|.+\|\n\|[-|]+\|\n\|", text, re.MULTILINE) or "**Red" in text


def test_it_has_owner_and_tags(dag: Any) -> None:
    assert dag.tags
    assert {task.owner for task in dag.tasks} == {"hounsfield"}


def test_the_form_explains_itself(dag: Any) -> None:
    for name in dag.params:
        param = dag.params.get_param(name)
        assert {"type", "enum"} & param.schema.keys(), f"{name} has no type"
        title = param.schema.get("title", "")
        assert title[:1].isupper(), f"{name} has no title"
        assert (param.description or "").endswith((".", "?")), f"{name} has no help"
        param.resolve()  # The default fits its own schema.


def test_what_is_transient_comes_back_later_each_time(dag: Any) -> None:
    for task in dag.tasks:
        assert task.retries >= 1, task.task_id
        assert task.retry_exponential_backoff > 1, task.task_id
        assert task.max_retry_delay > task.retry_delay, task.task_id


def test_what_is_permanent_is_not_tried_again(dag: Any) -> None:
    permanent, transient = InvalidStudy("is not whole"), PacsUnavailable("does not answer")
    for task in dag.tasks:
        policy = _of(task, "retry_policy")
        assert policy.evaluate(permanent, 1, task.retries).action is RetryAction.FAIL
        assert policy.evaluate(transient, 1, task.retries).action is RetryAction.DEFAULT


def test_its_pools_and_queues_exist(dag: Any) -> None:
    for task in dag.tasks:
        assert task.pool in {*POOLS, "default_pool"}, task.task_id
        assert task.queue in QUEUES, task.task_id
        assert (task.pool == GPU_POOL) == (task.queue == GPU_QUEUE), task.task_id


def test_a_schedule_does_not_catch_up_by_itself(dag: Any) -> None:
    """The past comes in by a backfill that a person asks for."""
    assert dag.catchup is False


def _of(task: Any, name: str) -> Any:
    """An attribute of a task, mapped or not."""
    return getattr(task, name) if not task.is_mapped else task.partial_kwargs[name]
