"""What a task tells while it runs, however it ends, and whether an identity is in it."""

from __future__ import annotations

import json
import logging
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import reload
from pathlib import Path
from typing import Any

import pytest

import hounsfield.dicom
from hounsfield.phantom import Canary
from tests.e2e.leaks import Leak, search, search_database

__all__ = ["Watch", "told_by"]

#: Folders of a site where PHI may be. The names of their files may not bear it there either.
_PHI = ("raw", "quarantine", "review", "objects", "landing")


@dataclass
class Watch:
    """Keeps all that Airflow would keep of a task, and looks at all that the task left.

    Attributes
    ----------
    roots
        Where the site and its MLflow write.
    scratch
        For temporary files, and for what was said.
    phi
        Names of folders where PHI may be.
    ended
        What the task raised.
    """

    roots: tuple[Path, ...]
    scratch: Path
    canaries: tuple[Canary, ...]
    caplog: pytest.LogCaptureFixture
    capfd: pytest.CaptureFixture[str]
    phi: tuple[str, ...] = _PHI
    ended: BaseException | None = field(default=None, init=False)

    def run(self, task: Callable[[], Any], *told: Any) -> list[Leak]:
        """Where a canary is, once the task has ended.

        Parameters
        ----------
        told
            What it was given to tell Airflow by, such as for XComs; their reprs are searched.
        """
        self.scratch.mkdir(exist_ok=True)
        said = list(self._listen(task))
        said += [self.caplog.text, *self.capfd.readouterr(), *map(repr, told)]
        (self.scratch / "said.txt").write_text("\n".join(said))
        found = search([self.scratch, *self.roots], self.canaries, names_only=self._may_hold_phi)
        for database in (path for root in self.roots for path in root.rglob("*.db")):
            if not self._may_hold_phi(database):
                found += search_database(database, self.canaries)
        return found

    def _listen(self, task: Callable[[], Any]) -> Iterator[str]:
        self.capfd.readouterr()
        with (
            self.caplog.at_level(logging.DEBUG),
            pytest.MonkeyPatch.context() as patch,
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("default")
            reload(hounsfield.dicom)  # Its own filters, as in a process that is fresh.
            patch.setattr(tempfile, "tempdir", str(self.scratch))
            try:
                yield json.dumps(task(), default=repr)
            except BaseException as error:
                self.ended = error
                yield from told_by(error)
        yield from map(str, warned)

    def _may_hold_phi(self, path: Path) -> bool:
        return any(
            not set(self.phi).isdisjoint(path.relative_to(root).parts)
            for root in self.roots
            if path.is_relative_to(root)
        )


def told_by(error: BaseException) -> Iterator[str]:
    """An exception as Airflow's log renders it, in JSON and as text, and as others would."""
    from airflow.sdk.log import logging_processors

    for json_output in (True, False):
        told: Any = {"event": "Task failed with exception", "exc_info": error}
        for processor in logging_processors(json_output):
            told = processor(logging.getLogger(), "error", told)
        yield str(told)
    yield from traceback.format_exception(error)
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
