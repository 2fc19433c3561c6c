"""Durations a person can read, links that survive any run's id."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.catalog.models import Event


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (0.004, "< 0.1 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (75, "1 min 15 s"),
        (3599.7, "1 h 0 min"),
        (7800, "2 h 10 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    from hounsfield_page.shown import duration

    assert duration(seconds) == expected


def test_times_and_days() -> None:
    from hounsfield_page.shown import day, moment

    assert moment(datetime(2026, 3, 2, 4, 5, 6, 999, tzinfo=UTC)) == "2026-03-02 04:05:06"
    assert moment("2026-03-02T04:05:06.123+00:00") == "2026-03-02 04:05:06"
    assert moment(None) == ""
    assert (day("20210305"), day("")) == ("2021-03-05", "")


@given(run_id=st.text(min_size=1, max_size=30), map_index=st.integers(-1, 3))
def test_a_link_holds_its_run_whatever_its_id(run_id: str, map_index: int) -> None:
    from hounsfield_page.shown import task_link

    event = Event(
        dag_id="infer", run_id=run_id, task_id="run_model", map_index=map_index, try_number=2
    )
    path, _, query = task_link(event).partition("?")
    parts = path.split("/")
    assert parts[:3] == ["dags", "infer", "runs"] and unquote(parts[3]) == run_id
    assert parts[4:] == ["tasks", "run_model", *(["mapped", str(map_index)] * (map_index >= 0))]
    assert query == "try_number=2"


def test_runs_keep_the_order_of_events() -> None:
    from hounsfield_page.shown import runs_of

    told = [("a", "1"), ("a", "1"), ("b", "1"), ("a", "1"), ("", "")]
    events = [
        Event(dag_id=dag, run_id=run, actor="x", stage=str(n)) for n, (dag, run) in enumerate(told)
    ]
    runs = list(runs_of(events))
    assert [event.stage for run in runs for event in run.events] == ["0", "1", "2", "3", "4"]
    assert [len(run.events) for run in runs] == [2, 1, 1, 1]
    assert runs[0].link == "dags/a/runs/1" and runs[-1].link == ""


@pytest.mark.parametrize(
    ("run", "link"),
    [
        ("ingest/manual__1+00/retrieve", "dags/ingest/runs/manual__1%2B00/tasks/retrieve"),
        ("", ""),
        ("prepare", ""),
    ],
)
def test_the_audit_trail_leads_to_its_task(run: str, link: str) -> None:
    from hounsfield_page.shown import trail_link

    assert trail_link(run) == link
