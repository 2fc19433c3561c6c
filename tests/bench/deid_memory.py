"""Memory of one process over many files: ``python -m tests.bench.deid_memory``.

Studies of twenty small files, of ever new patients, go through all of de-identification and
through the release gate: headers, pixels, the second look. Nineteen are slices, which are
projected; the twentieth has a name burned in, which is really read, masked and looked for
again, by the cleaner and by the gate. What is told is the resident memory in each quarter, as
the median of what it was after each study: the first warms models and caches up, and after it
none should be added.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["FILES_A_STUDY", "main", "measure"]

FILES_A_STUDY = 20
QUARTERS = 4
SIDE = 96  # pixels, of what has a name burned in
#: Rows and columns of a slice: large enough that one that is kept tells, and lower than the
#: smallest print that anybody reads, so that the reader has none of it to read.
STRIP = (7, 11_704)


def write_study(folder: Path, number: int) -> list[Path]:
    """A study of nobody's: the number makes its patient, its UIDs and what is burned in."""
    from tests.quality.conftest import ct_slice, save

    paths = []
    for index in range(FILES_A_STUDY):
        dataset = ct_slice(index)
        dataset.PatientName, dataset.PatientID = f"Quill{number}^Ottoline", f"MRN-{number:06}"
        for level in ("Study", "Series", "SOP"):
            keyword = f"{level}InstanceUID"
            setattr(dataset, keyword, f"{dataset[keyword].value}.{number}")
        dataset.StudyDescription = f"CT chest of Quill{number}"
        dataset.Rows, dataset.Columns = STRIP
        dataset.BitsStored, dataset.HighBit = 16, 15
        dataset.PixelData = os.urandom(2 * STRIP[0] * STRIP[1])
        if index == FILES_A_STUDY - 1:
            burn_in(dataset, f"QUILL {number}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(save(dataset, folder / f"{index}.dcm"))
    return paths


def burn_in(dataset: Any, text: str) -> None:
    """Makes a slice a screenshot with a text in it."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (SIDE, SIDE), 20)
    ImageDraw.Draw(image).text((6, 30), text, fill=230, font=ImageFont.load_default(15))
    dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    dataset.SeriesInstanceUID += ".9"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.asarray(image).tobytes()
    dataset["PixelData"].VR = "OB"


def resident() -> float:
    """MiB, when what was freed has been given back: else its room hides what is kept."""
    import psutil

    gc.collect()
    with suppress(AttributeError):  # other C libraries than glibc have none
        ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss / 2**20


def measure(files: int) -> Iterator[dict[str, float]]:
    """Resident MiB in each quarter, with what was done till its end.

    Raises
    ------
    RuntimeError
        A study was not cleaned, or not masked, or its gate found something: then this would
        tell of other work than it says.
    """
    from hounsfield.deid import Deidentifier, Profile
    from hounsfield.gate import Output, inspect
    from hounsfield.pseudonyms import Pseudonyms

    profile = Profile.load("research")
    engine = Deidentifier(profile, Pseudonyms(bytes(32)))
    studies = files // FILES_A_STUDY
    marks = {studies * quarter // QUARTERS for quarter in range(1, QUARTERS + 1)}
    masked, start, sizes = 0, time.perf_counter(), []
    for number in range(1, studies + 1):
        with tempfile.TemporaryDirectory() as scratch:
            paths = write_study(Path(scratch) / "in", number)
            report = engine.study(paths, Path(scratch) / "out")
            outputs = [
                Output(paths[r.source], Path(scratch) / "out" / r.output, r.pixels.boxes)
                for r in report.written
            ]
            verdict = inspect(outputs, paths, profile).verdict
        masked += sum(record.pixels.changed for record in report.written)
        if len(outputs) != FILES_A_STUDY or masked != number or verdict != "passed":
            raise RuntimeError(f"study {number}: {len(outputs)} files, {masked} masked, {verdict}")
        sizes.append(resident())
        if number in marks:
            yield {
                "files": number * FILES_A_STUDY,
                "masked": masked,
                "rss_mib": round(median(sizes), 1),
                "seconds": round(time.perf_counter() - start, 1),
            }
            sizes.clear()


def main() -> None:
    os.environ.setdefault("HOUNSFIELD_OCR_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--json", action="store_true", help="A line a quarter.")
    told = parser.parse_args()
    for mark in measure(told.files):
        line = "to {files} files, {masked} of them masked: {rss_mib:.0f} MiB, {seconds} s"
        print(json.dumps(mark) if told.json else line.format(**mark), flush=True)


if __name__ == "__main__":
    main()
