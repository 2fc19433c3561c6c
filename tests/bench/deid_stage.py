"""The whole de-identification of a CT, gate and all: ``python -m tests.bench.deid_stage``.

A generated chest CT of 300 slices goes through what the stage does for it: headers, a look for
burned-in text, masks only where there is some, writing, and the release gate with its own
reading of all that. What is printed are images a second of CPU time, which is what one core does
(one thread), and of wall-clock time, by part and in all. The marker is 58 images a second: what
Google Cloud published for its entry to MIDI-B, on other hardware.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    os.environ.setdefault("HOUNSFIELD_OCR_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_ct(Path(folder, "in"), told.slices)
        parts: dict[str, list[tuple[float, float]]] = {}
        for turn in range(told.rounds + 1):
            for name, taken in _round(paths, Path(folder, f"out-{turn}")).items():
                if turn:  # The first warms caches up, and loads the reader of text.
                    parts.setdefault(name, []).append(taken)
            shutil.rmtree(Path(folder, f"out-{turn}"))
    print(f"{told.slices} slices of 512 x 512; images a second, medians of {told.rounds} rounds:")
    print(f"{'':16}{'of one core':>14}{'wall-clock':>14}")
    for name, times in parts.items():
        cpu, wall = (told.slices / statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:16}{cpu:14.0f}{wall:14.0f}")


def write_ct(folder: Path, slices: int) -> list[Path]:
    """The slices of one generated series, as often as it takes, each with a place of its own."""
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    from hounsfield.phantom import write_phantoms

    made = folder.with_name("phantom")
    (study,) = write_phantoms(made, studies=1, hard_cases=False, seed=7).studies
    originals = [made / name for name in study.files]
    folder.mkdir(parents=True)
    paths = []
    for number in range(slices):
        dataset = dcmread(originals[number % len(originals)])
        turn = number // len(originals)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.InstanceNumber = number + 1
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, float(z) + 1000 * turn]
        paths.append(folder / f"{number:04d}.dcm")
        dataset.save_as(paths[-1])
    return paths


def _round(paths: list[Path], out: Path) -> dict[str, tuple[float, float]]:
    from hounsfield.deid import Deidentifier, Profile
    from hounsfield.gate import inspect
    from hounsfield.pseudonyms import Pseudonyms
    from hounsfield.stages.candidate import pair

    profile, keys = Profile.load("research"), Pseudonyms(bytes(range(32)))

    def clean() -> None:
        report = Deidentifier(profile, keys).study(paths, out)
        assert len(report.written) == len(paths), report.refused[:1]

    def look_again() -> None:
        report = inspect(pair(paths, out, keys, profile), paths, profile)
        assert report.passed, report.findings[:3]

    taken = {"headers, pixels": _timed(clean), "gate": _timed(look_again)}
    return {**taken, "the whole stage": tuple(map(sum, zip(*taken.values(), strict=True)))}


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds, of programs that it calls too, and seconds on the wall."""
    before, start = os.times(), time.monotonic()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4]), time.monotonic() - start


if __name__ == "__main__":
    main()
