"""The assets tie the Dags together: ingest → received → prepare → prepared → infer → reported."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Asset, PartitionedAssetTimetable

from operators.assets import PREPARED, RECEIVED, REPORTED, SNAPSHOTS
from operators.policy import GPU_POOL, PACS_POOL, STUDY_POOL


@pytest.mark.parametrize(
    ("dag_id", "asset"), [("prepare", RECEIVED), ("infer", PREPARED)], ids=["prepare", "infer"]
)
def test_a_study_is_a_partition(bag: Any, dag_id: str, asset: Asset) -> None:
    timetable = bag.dags[dag_id].timetable
    assert isinstance(timetable, PartitionedAssetTimetable)
    assert timetable.asset_condition == asset


@pytest.mark.parametrize(
    ("dag_id", "task_id", "asset"),
    [
        pytest.param("ingest", "pacs.retrieve", RECEIVED, id="ingest"),
        pytest.param("prepare", "chunk", PREPARED, id="prepare"),
        pytest.param("infer", "report", REPORTED, id="infer"),
        pytest.param("reprocess", "through_prepare", RECEIVED, id="reprocess-prepare"),
        pytest.param("reprocess", "through_infer", PREPARED, id="reprocess-infer"),
        pytest.param("snapshot_dataset", "freeze", SNAPSHOTS, id="snapshot"),
    ],
)
def test_the_last_task_announces(bag: Any, dag_id: str, task_id: str, asset: Asset) -> None:
    task = bag.dags[dag_id].get_task(task_id)
    if task.is_mapped:  # What Airflow's worker makes of it.
        task = task.unmap({"study_key": "st-x"})
    assert asset in task.outlets


def test_only_the_last_task_of_a_study_announces_it(bag: Any) -> None:
    """An earlier one would start the next Dag on a study that is half done."""
    for dag_id, last in (("prepare", "chunk"), ("infer", "report")):
        announcing = [task.task_id for task in bag.dags[dag_id].tasks if task.outlets]
        assert announcing == [last]
        assert not bag.dags[dag_id].get_task(last).downstream_task_ids


def test_nothing_is_released_but_through_the_gate(bag: Any) -> None:
    """A person is asked between the two, or the gate skips that; nothing goes around."""
    tasks = {task.task_id: task for task in bag.dags["prepare"].tasks}
    before = {name: task.upstream_task_ids for name, task in tasks.items()}
    assert before["gate"] == {"deidentify"}
    assert before["review"] == {"gate"}
    assert before["release"] == {"gate", "review"}
    assert before["chunk"] == {"release"}
    assert tasks["release"].trigger_rule == "none_failed_min_one_success"
    assert tasks["review"].trigger_rule == tasks["chunk"].trigger_rule == "all_success"


def test_nothing_is_erased_but_after_an_approval(bag: Any) -> None:
    tasks = {task.task_id: task for task in bag.dags["erase_patient"].tasks}
    before = {name: task.upstream_task_ids for name, task in tasks.items()}
    assert before == {
        "plan": set(),
        "approve": {"plan"},
        "erase": {"approve"},
        "certify": {"erase"},
    }
    assert {task.trigger_rule for task in tasks.values()} == {"all_success"}


def test_what_wants_an_approval_expires_only_after_it(bag: Any) -> None:
    tasks = {task.task_id: task for task in bag.dags["expire"].tasks}
    assert tasks["expire_approved"].upstream_task_ids == {"plan", "approve"}
    assert tasks["expire"].upstream_task_ids == {"plan"}
    assert {task.trigger_rule for task in tasks.values()} == {"all_success"}


def test_training_starts_on_a_snapshot(bag: Any) -> None:
    assert bag.dags["train_model"].timetable.asset_condition.objects == (SNAPSHOTS,)


def test_addresses_have_a_scheme_of_our_own() -> None:
    assert all(a.uri.startswith("x-") for a in (RECEIVED, PREPARED, REPORTED, SNAPSHOTS))


@pytest.mark.parametrize(
    ("dag_id", "task_id", "pool"),
    [
        ("prepare", "deidentify", STUDY_POOL),
        ("ingest", "pacs.find", PACS_POOL),
        ("ingest", "pacs.retrieve", PACS_POOL),
        ("infer", "model.run", GPU_POOL),
        ("infer", "model.write_back", PACS_POOL),
        ("infer", "model.confirm", PACS_POOL),
        ("train_model", "train", GPU_POOL),
    ],
)
def test_what_is_scarce_is_behind_a_pool(bag: Any, dag_id: str, task_id: str, pool: str) -> None:
    assert bag.dags[dag_id].get_task(task_id).pool == pool


def test_runs_that_wait_for_a_pacs_keep_no_others_out(bag: Any) -> None:
    assert bag.dags["infer"].max_active_runs >= 60


def test_infer_has_a_deadline(bag: Any) -> None:
    assert bag.dags["infer"].deadline
