"""The base of all operators: who acts, on which study, and what an operator may be."""

from __future__ import annotations

import ast
import inspect
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from hounsfield.errors import ConfigError, InternalError, NotFound, NotYet
from hounsfield.records import RunContext
from operators.prepare import ValidateStudyOperator
from operators.stage import StageOperator, StudyOperator, run_of
from tests.operators.conftest import MakeContext

FILES = sorted((Path(__file__).resolve().parents[2] / "operators").glob("*.py"))


def all_operators() -> list[type[StageOperator]]:
    for path in FILES:
        import_module(f"operators.{path.stem}")
    found: list[type[StageOperator]] = []
    waiting: list[type[StageOperator]] = [StageOperator]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return sorted(set(found), key=lambda kind: kind.__name__)


OPERATORS = all_operators()
each_operator = pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.__name__)


def test_the_run_is_written_down_whole(make_context: MakeContext) -> None:
    context = make_context(run={"triggering_user_name": "officer"})
    assert run_of(context) == RunContext(
        actor="officer",
        dag_id="ingest",
        run_id="manual__1",
        task_id="retrieve",
        try_number=2,
        map_index=-1,
    )


def test_a_run_that_nobody_triggered_is_airflows(make_context: MakeContext) -> None:
    assert run_of(make_context()).actor == "airflow"


def test_a_run_without_a_partition_says_what_to_do(make_context: MakeContext) -> None:
    operator = ValidateStudyOperator(task_id="validate", study_key="")
    with pytest.raises(ConfigError, match="partition key") as refusal:
        operator.execute(make_context())
    assert "trigger" in refusal.value.remedy


def test_the_partition_key_is_the_study() -> None:
    operator = ValidateStudyOperator(task_id="validate")
    assert "dag_run.partition_key" in operator.study_key
    assert "study_key" in operator.template_fields


def test_one_domain_call(make_context: MakeContext, stage: Callable[..., Any], site: Any) -> None:
    validate = stage("hounsfield.stages.validate.validate", {"study_key": "st-a"})
    context = make_context()
    result = ValidateStudyOperator(task_id="validate", study_key="st-a").execute(context)
    assert result == {"study_key": "st-a"}
    validate.assert_called_once_with(site, "st-a", run=run_of(context))


def test_an_error_of_the_domain_goes_on_as_it_is(
    make_context: MakeContext, stage: Callable[..., Any]
) -> None:
    """The retry policy sees it, and decides."""
    stage("hounsfield.stages.validate.validate", None).side_effect = NotFound("no such study")
    with pytest.raises(NotFound):
        ValidateStudyOperator(task_id="validate", study_key="st-a").execute(make_context())


@each_operator
def test_constructors_take_keywords(kind: type[StageOperator]) -> None:
    parameters = inspect.signature(inspect.unwrap(kind.__init__)).parameters.values()
    kinds = {parameter.kind for parameter in parameters if parameter.name != "self"}
    assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}


@each_operator
def test_what_a_task_before_gives_is_a_template_field(kind: type[StageOperator]) -> None:
    """Else the operator would see the reference instead of the value."""
    given = {"study_key", "job", "planned", "study_keys", "snapshot", "product_ids"}
    parameters = set(inspect.signature(inspect.unwrap(kind.__init__)).parameters)
    assert given & parameters <= set(kind.template_fields)


@each_operator
def test_an_operator_is_short_and_explained(kind: type[StageOperator]) -> None:
    assert inspect.getdoc(kind)
    for name in ("execute", "run_stage"):
        if name in vars(kind):
            lines, _ = inspect.getsourcelines(inspect.unwrap(vars(kind)[name]))
            assert len(lines) <= 20, f"{kind.__name__}.{name} is for a stage to do"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_constructors_only_assign(path: Path) -> None:
    """Airflow runs them at each parse."""
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    for function in (f for f in functions if f.name == "__init__"):
        for statement in function.body:
            is_super = ast.unparse(statement).startswith("super().__init__(")
            assert is_super or isinstance(statement, ast.Assign), ast.unparse(statement)


def test_a_study_operator_takes_another_key() -> None:
    """For a mapped task, which has no partition of its own."""
    assert issubclass(ValidateStudyOperator, StudyOperator)
    assert ValidateStudyOperator(task_id="validate", study_key="st-a").study_key == "st-a"


class _WaitsShortly(StageOperator):
    tries = 0

    def run_stage(self, site: Any, run: RunContext, context: Any) -> Any:
        self.tries += 1
        if self.tries == 1:
            raise NotYet("it is asked once more", where="st-1", seconds=0.01)
        return self.tries


def test_a_short_wait_is_cheaper_in_place(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.site.Site.open", lambda: None)
    assert _WaitsShortly(task_id="waits").execute(make_context()) == 2


class _WaitsForEver(StageOperator):
    def run_stage(self, site: Any, run: RunContext, context: Any) -> Any:
        raise NotYet("it is asked once more", where="st-1", seconds=2)


def test_short_waits_in_a_row_end_in_a_long_one(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.site.Site.open", lambda: None)
    slept: list[float] = []
    monkeypatch.setattr("operators.stage.time.sleep", slept.append)
    with pytest.raises(TaskDeferred):
        _WaitsForEver(task_id="waits").execute(make_context())
    assert slept == [2, 2]


class _Waits(StageOperator):
    def run_stage(self, site: Any, run: RunContext, context: Any) -> Any:
        raise NotYet("the PACS is still moving", where="st-1", seconds=90)


def test_what_is_not_yet_waits_without_a_slot(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.site.Site.open", lambda: None)
    before = timezone.utcnow()
    with pytest.raises(TaskDeferred) as deferral:
        _Waits(task_id="waits").execute(make_context())
    moment = deferral.value.trigger.moment
    assert timedelta(seconds=90) <= moment - before < timedelta(seconds=120)
    assert hasattr(_Waits, deferral.value.method_name)


def _raised(error: BaseException) -> StageOperator:
    class Raises(StageOperator):
        def run_stage(self, site: Any, run: RunContext, context: Any) -> Any:
            warnings.warn("of KANARIENVOGEL", stacklevel=1)
            try:
                raise ValueError("of KANARIENVOGEL")
            except ValueError:
                raise error  # noqa: B904 - as a stage may forget, too

    return Raises(task_id="raises")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("KANARIENVOGEL"), InternalError),
        (NotFound("no such study"), NotFound),
        (AirflowSkipException("nothing new"), AirflowSkipException),
    ],
    ids=["unknown", "ours", "Airflow's"],
)
def test_what_led_to_an_error_is_not_told(
    make_context: MakeContext, error: Exception, kind: type[Exception]
) -> None:
    """Airflow logs the causes of an exception, and every warning."""
    with warnings.catch_warnings(record=True) as warned, pytest.raises(kind) as told:
        _raised(error).execute(make_context())
    assert "KANARIENVOGEL" not in "".join(traceback.format_exception(told.value))
    assert warned == []
