"""Tiers as Dag: a dry run says what a plan comes to, and moves nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hounsfield.stages.migrate import Forecast, Move
from operators.lifecycle import MoveProductOperator, PlanMigrationOperator
from tests.operators.conftest import MakeContext

MOVES = [
    Move("p1", "st-a", "raw", 7, "hot", "warm"),
    Move("p2", "st-a", "volume", 5, "hot", "cold"),
]
FORECAST = Forecast(studies=1, products=2, bytes=12, before=17.5, after=3.25, currency="EUR")


@pytest.mark.parametrize("dry", [True, False])
def test_a_plan_prints_studies_bytes_and_cost_before_and_after(
    make_context: MakeContext,
    stage: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    dry: bool,
) -> None:
    planned = stage("hounsfield.stages.migrate.plan", MOVES)
    stage("hounsfield.stages.migrate.forecast", FORECAST)
    plan = PlanMigrationOperator(task_id="plan", region="us")
    context = make_context(params={"dry_run": dry, "as_of": "2030-01-31"})
    found = plan.execute(context)
    assert found == ([] if dry else [move.to_dict() for move in MOVES])
    assert [Move(**move) for move in found] == ([] if dry else MOVES)
    assert planned.call_args.kwargs["region"] == "us"
    assert planned.call_args.kwargs["now"] == datetime(2030, 1, 31, tzinfo=UTC)
    log = capsys.readouterr().out
    for told in (
        "Study st-a: raw of 7 bytes, hot → warm",
        "Study st-a: volume of 5 bytes, hot → cold",
        "2 products of 1 study, 12 bytes; all that has tiers costs 17.50 EUR a month, "
        "then 3.25 EUR",
    ):
        assert told in log


def test_what_was_planned_is_moved(make_context: MakeContext, stage: Callable[..., Any]) -> None:
    moved = stage("hounsfield.stages.migrate.move", MOVES[0].to_dict())
    told = MoveProductOperator(task_id="move", planned=MOVES[0].to_dict()).execute(make_context())
    assert told == MOVES[0].to_dict() and moved.call_args.args[1] == MOVES[0]
