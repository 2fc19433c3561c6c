"""Burned-in text over the whole corpus: ``python -m tests.bench.burned_in``.

Prints recall of text pixels, false alarms and lost markers by modality, and what was missed;
half an hour of CPU. The seed is one that no threshold was chosen on.
"""

from __future__ import annotations

import argparse
import os

#: Seeds 1 to 6 and 20260 are those that the method was tuned on.
HELD_OUT = 31_415

_HEAD = ("modality", "images", "recall", "clean", "false", "stray", "markers", "kept", "CPU s each")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=HELD_OUT)
    parser.add_argument("--each", type=int, default=36, help="images a modality")
    parser.add_argument("--only", default="", help="modalities, by commas; SCRIPTS for scripts")
    options = parser.parse_args()
    os.environ.setdefault("HOUNSFIELD_OCR_THREADS", "1")
    from tests.deid.burned_in import MODALITIES, Tally, corpus, scripts

    wanted = tuple(options.only.split(",")) if options.only else (*MODALITIES, "SCRIPTS")
    known = tuple(name for name in wanted if name in MODALITIES)
    tallies: dict[str, Tally] = {}
    print(("{:>10}" * len(_HEAD)).format(*_HEAD))
    for modality in known:
        for case in corpus(options.seed, options.each, (modality,)):
            tallies.setdefault(modality, Tally()).add(case)
        _print(modality, tallies[modality])
    if "SCRIPTS" in wanted:
        for case in scripts(options.seed):
            tallies.setdefault(case.name.partition("-")[0], Tally()).add(case)
        for name in sorted(set(tallies) - set(known)):
            _print(name, tallies[name])
    return 0


def _print(name: str, tally: object) -> None:
    row = (
        name,
        tally.cases,
        f"{tally.recall:.4f}",
        tally.clean,
        tally.false,
        tally.stray,
        tally.markers,
        tally.kept,
        f"{tally.seconds / tally.cases:.2f}",
    )
    print(("{:>10}" * len(row)).format(*row))
    print(*(f"  {missed}\n" for missed in tally.missed), sep="", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
