"""The score: each check of a key against what was written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from hounsfield.deid.scoring.actions import ACTIONS, Case
from hounsfield.deid.scoring.key import AnswerKey, Check
from hounsfield.dicom.reading import read_header
from hounsfield.errors import ConfigError, HounsfieldError
from hounsfield.pseudonyms import Pseudonyms

__all__ = ["Failure", "Score", "score"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that is not fulfilled, or not wholly.

    Attributes
    ----------
    share
        How much of it is, 0 to 1.
    reason
        In words that quote no value.
    """

    check: Check
    share: float
    reason: str


@dataclass(frozen=True, slots=True)
class Score:
    """What came of all checks.

    Attributes
    ----------
    actions
        Action → (checks fulfilled, checks in all); a half-fulfilled one counts a half.
    """

    actions: dict[str, tuple[float, int]]
    failures: tuple[Failure, ...]

    @property
    def total(self) -> int:
        return sum(count for _, count in self.actions.values())

    @property
    def share(self) -> float:
        """Of all checks, 0 to 1."""
        return sum(done for done, _ in self.actions.values()) / max(1, self.total)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; names attributes and files, and no value."""
        return {
            "share": self.share,
            "checks": self.total,
            "actions": {
                name: {"fulfilled": done, "checks": count}
                for name, (done, count) in self.actions.items()
            },
            "failures": [
                {
                    "action": failure.check.action,
                    "instance": failure.check.instance,
                    "path": failure.check.path,
                    "share": failure.share,
                    "reason": failure.reason,
                }
                for failure in self.failures
            ],
        }


def score(
    key: AnswerKey, originals: Path, outputs: Mapping[str, Path], crosswalk: Pseudonyms
) -> Score:
    """Checks what was written.

    Parameters
    ----------
    originals
        Folder of the corpus.
    outputs
        Original (its path relative to the folder) → cleaned file. What has none is withheld,
        and all its checks fail.
    crosswalk
        Of the project: what pseudonyms, UIDs and dates must have become.

    Raises
    ------
    ConfigError
        If the key names an action that there is not.
    """
    unknown = {check.action for check in key.checks} - set(ACTIONS)
    if unknown:
        raise ConfigError("the answer key asks for an unknown action", where=min(unknown))
    done: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    failures: list[Failure] = []
    ordered = sorted(key.checks, key=lambda check: check.instance)
    for instance, checks in groupby(ordered, key=lambda check: check.instance):
        before, after = _read(originals / instance), _read(outputs.get(instance))
        for check in checks:
            share, reason = 0.0, "there is no output"
            if before is not None and after is not None:
                case = Case(check, key.people[instance], before, after, crosswalk)
                share, reason = _fulfilled(case)
            done[check.action] += share
            counts[check.action] += 1
            if share < 1:
                failures.append(Failure(check, share, reason))
    return Score({name: (done[name], counts[name]) for name in ACTIONS}, tuple(failures))


def _fulfilled(case: Case) -> tuple[float, str]:
    try:
        share = ACTIONS[case.check.action](case)
    except Exception as error:  # whatever a codec or a broken output raises
        return 0.0, type(error).__name__
    return share, "gone" if case.element is None else "there"


def _read(path: Path | None) -> Dataset | None:
    try:
        return read_header(path, stop_before_pixels=False) if path else None
    except HounsfieldError:
        return None
