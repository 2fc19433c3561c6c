"""Scores the engine over an injected corpus: ``python -m tests.deid.midi --seed 7``.

Exits with 1 where the aim is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hounsfield.deid import Profile, deidentify_folder
from hounsfield.deid.scoring import AnswerKey, Score, score
from hounsfield.phantom import write_phantoms
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.midi.injector import inject

__all__ = ["AIM", "aimed_at", "main", "run"]

#: Share of all checks that are passed.
AIM = 0.999

Result = tuple[AnswerKey, Score]


def run(
    sources: Mapping[str, Path], work: Path, *, seed: int, pixels: bool, **injection: Any
) -> Result:
    """Injects, de-identifies under `research`, and scores."""
    keys = Pseudonyms(bytes(range(32)), project=f"midi-{seed}")
    key = inject(sources, work / "in", seed=seed, **injection)
    report = deidentify_folder(
        work / "in",
        work / "out",
        profile=Profile.load("research"),
        pseudonyms=keys,
        pixels=pixels,
    )
    outputs = {
        entry["input"]: work / "out" / entry["output"] for entry in report.files if entry["output"]
    }
    return key, score(key, work / "in", outputs, keys)


def corpus(folder: Path, seed: int) -> dict[str, Path]:
    """The real files, and made-up studies."""
    write_phantoms(folder, seed=seed, studies=2)
    return {"data": Path(os.environ["HOUNSFIELD_TEST_DATA"]), "phantom": folder}


def aimed_at(result: Score, *, pixels: bool) -> float:
    """The share that the aim is of: where nothing looked at pixels, what they show is left out."""
    actions = {n: c for n, c in result.actions.items() if pixels or n != "pixels_hidden"}
    return Score(actions, ()).share


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--per-folder", type=int, default=3)
    parser.add_argument("--descriptors", default="descriptors.txt")
    parser.add_argument("--no-pixels", action="store_true")
    parser.add_argument("--work", type=Path, help="Keep the corpus and the output here.")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        key, result = run(
            corpus(Path(scratch, "phantom"), told.seed),
            told.work or Path(scratch),
            seed=told.seed,
            per_folder=told.per_folder,
            pixels=not told.no_pixels,
            descriptors=told.descriptors,
        )
    for name, (done, count) in result.actions.items():
        print(f"{name:18} {done:10.2f} of {count:6}  {done / max(1, count):.4%}")
    print(f"{'all':18} {result.share * result.total:10.2f} of {result.total:6}  {result.share:.4%}")
    print(f"{len(key.people)} instances of {len(set(key.people.values()))} patients")
    for failure in result.failures:
        check = failure.check
        told_of = [value[:60] for value in check.values]
        line = [check.action, check.instance, check.path, told_of, failure.share, failure.reason]
        print(json.dumps(line, ensure_ascii=False))
    share = aimed_at(result, pixels=not told.no_pixels)
    print(f"{share:.4%} of {AIM:.1%}: the aim is {'met' if share >= AIM else 'missed'}")
    return 0 if share >= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
