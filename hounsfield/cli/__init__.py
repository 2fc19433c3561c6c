"""``hounsfield``: every stage without Airflow, for a person at a terminal.

Exit codes: 0 when done, 1 for a refusal (its reason on one line), 2 for wrong usage, 3 where
``deidentify`` is done but for some files.
"""

from hounsfield.cli.entry import main

__all__ = ["main"]
