"""The base of all questions to a person: without PHI, and without quoting the answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DecisionOperator", "decider_of", "reason"]

log = logging.getLogger(__name__)


class DecisionOperator(HITLOperator):
    """Waits for a person's decision, without a worker.

    Whoever may answer required actions of the Dag may decide.

    Parameters
    ----------
    form
        What is asked beside the decision.
    params
        Those of the Dag, which Airflow hands to each task: they are no part of the form.
    """

    def __init__(self, *, form: dict[str, Param], params: Any = None, **kwargs: Any) -> None:
        super().__init__(params=form, **kwargs)

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """As Airflow's, which would quote into the log what a person wrote."""
        try:
            super().validate_params_input(params_input)
        except (ParamValidationError, ValueError):
            log.warning("A field of the answer was not understood.")


def decider_of(answer: Mapping[str, Any]) -> str:
    """Who answered: the user whom Airflow knows, not who started the run."""
    return str((answer["responded_by_user"] or {}).get("name", "unknown"))


def reason(offered: Sequence[str], *, title: str, description: str) -> Param:
    """A field in which a person picks why, out of some texts.

    None is picked beforehand: an answer given by one click would record a reason that nobody gave.
    Airflow takes an answer without one; whoever does it has to ask again.
    """
    return Param(
        "",
        type="string",
        enum=["", *offered],
        values_display={"": "Please pick one"},
        title=title,
        description=description,
    )
