"""The base of all questions to a person: without PHI, and without quoting the answer."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError

from operators.keys import lend_key
from operators.stage import discreet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from hounsfield.site import Site

__all__ = ["Answer", "DecisionOperator", "reason"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answered.

    Attributes
    ----------
    decision
        One of the options.
    form
        What stands in its fields; any of them may lack.
    by
        Who answered: the user whom Airflow knows, not who started the run.
    """

    decision: str
    form: Mapping[str, Any]
    by: str


class DecisionOperator(HITLOperator):
    """Waits for a person's decision, without a worker, and does it.

    Whoever may answer required actions of the Dag may decide. An answer that cannot be done is
    asked again.

    Parameters
    ----------
    form
        What is asked beside the decision.
    params
        Those of the Dag, which Airflow hands to each task: they are no part of the form.
    """

    def __init__(self, *, form: dict[str, Param], params: Any = None, **kwargs: Any) -> None:
        super().__init__(params=form, **kwargs)

    @abstractmethod
    def decide(self, site: Site, answer: Answer, context: Context) -> Any:
        """The domain call. `ConfigError`: the answer cannot be done."""

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """What Airflow calls with the answer."""
        from hounsfield.errors import ConfigError
        from hounsfield.site import Site

        told = super().execute_complete(context, event)
        answer = Answer(
            decision=told["chosen_options"][0],
            form=told["params_input"],
            by=str((told["responded_by_user"] or {}).get("name", "unknown")),
        )
        with discreet():
            lend_key()
            site = Site.open()
            try:
                return self.decide(site, answer, context)
            except ConfigError as error:
                log.warning("The answer cannot be done, so it is asked again: %s", error)
        return self.execute(context)

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """As Airflow's, which would quote into the log what a person wrote."""
        try:
            super().validate_params_input(params_input)
        except (ParamValidationError, ValueError):
            log.warning("A field of the answer was not understood.")


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
