"""Great Expectations, held to one purpose: checks over tables, in memory, telling no values.

Nothing is kept between runs, nothing is sent anywhere, and of a failed check only the
ordinals of the rows come back (``exclude_unexpected_values``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from hounsfield.errors import ConfigError
from hounsfield.quality.suites import Check

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation

__all__ = ["Batch", "Failure", "Validated", "run_checks"]

_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["ordinal"],
    "exclude_unexpected_values": True,
    "include_unexpected_rows": False,
    "partial_unexpected_count": 0,
}

# Great Expectations keeps the current context in a global of the process.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Batch:
    """Rows of the instance table, and the checks that apply to them."""

    title: str
    rows: pd.DataFrame
    checks: tuple[Check, ...]
    is_study: bool = False


class Failure(NamedTuple):
    """A check that failed, at these rows; at none in particular where it judges them all."""

    check: Check
    ordinals: tuple[int, ...]


@dataclass(frozen=True)
class Validated:
    """What became of a batch; `result` is for the renderer of Data Docs."""

    batch: Batch
    failures: tuple[Failure, ...]
    result: ExpectationSuiteValidationResult


def run_checks(batches: Sequence[Batch]) -> list[Validated]:
    """Runs the checks of each batch as one suite.

    Raises
    ------
    ConfigError
        An expectation is unknown, does not take its arguments, or cannot be evaluated.
    """
    with _one_at_a_time:
        context = _context()
        source = context.data_sources.add_pandas("study")
        return [
            _run(context, source, f"{number:03d}", batch)
            for number, batch in enumerate(batches, start=1)
        ]


def _context() -> EphemeralDataContext:
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _run(context: EphemeralDataContext, source: Any, name: str, batch: Batch) -> Validated:
    from great_expectations import ExpectationSuite, ValidationDefinition

    expectations = [_expectation(number, check) for number, check in enumerate(batch.checks)]
    suite = context.suites.add(ExpectationSuite(name=batch.title, expectations=expectations))
    rows = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(batch.title)
    definition = context.validation_definitions.add(
        ValidationDefinition(name=name, data=rows, suite=suite)
    )
    result = definition.run(
        batch_parameters={"dataframe": batch.rows}, result_format=_RESULT_FORMAT
    )
    failures = [_failure(batch, each) for each in result.results if not each.success]
    return Validated(batch, tuple(failures), result)


def _expectation(number: int, check: Check) -> Expectation:
    from great_expectations import expectations as known

    name = "".join(part.capitalize() for part in check.type.split("_"))
    kind = getattr(known, name, None)
    if kind is None:
        raise ConfigError(f"there is no expectation {check.type}", where=check.where)
    try:
        return kind(
            **check.kwargs,
            severity={"error": "critical", "warning": "warning"}[check.severity],
            description=check.description,
            meta={"code": check.code, "check": number},
        )
    except (TypeError, ValueError) as error:
        first = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"{check.type} refuses its arguments: {first}", where=check.where
        ) from None


def _failure(batch: Batch, result: Any) -> Failure:
    check = batch.checks[result.expectation_config.meta["check"]]
    if _raised(result.exception_info):
        raise ConfigError(
            f"{check.type} could not be evaluated",
            where=check.where,
            remedy="check that its arguments suit the column",
        )
    ordinals: set[int] = set()
    for row in result.result.get("unexpected_index_list") or ():
        value = row["ordinal"]
        ordinals.update(map(int, value if isinstance(value, list) else [value]))
    return Failure(check, tuple(sorted(ordinals)))


def _raised(info: Any) -> bool:
    if not isinstance(info, dict):
        return False
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(_raised(each) for each in info.values())
