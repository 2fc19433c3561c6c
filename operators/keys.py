"""The project key from where Airflow keeps its secrets."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["KEY", "VARIABLE", "lend_key"]

KEY: Final = "HOUNSFIELD_PROJECT_KEY"
#: Names the Airflow Variable that holds the key, on workers that may have it.
VARIABLE: Final = "HOUNSFIELD_PROJECT_KEY_VARIABLE"


def lend_key() -> None:
    """Puts the project key into this task's environment, where the domain looks for it.

    Only where `VARIABLE` names an Airflow Variable and `KEY` is not set. The Variable belongs into
    a secrets backend, such as HashiCorp Vault or AWS Secrets Manager: Airflow's own database is
    no place for it.

    Raises
    ------
    ConfigError
        If there is no such Variable.
    """
    name = os.environ.get(VARIABLE, "")
    if not name or os.environ.get(KEY):
        return
    from airflow.sdk import Variable
    from airflow.sdk.exceptions import AirflowRuntimeError

    from hounsfield.errors import ConfigError

    try:
        os.environ[KEY] = Variable.get(name)
    except AirflowRuntimeError:
        raise ConfigError(
            f"Airflow has no Variable {name} with the project key",
            where=VARIABLE,
            remedy="put it into the secrets backend, as 1:hexadecimal",
        ) from None
