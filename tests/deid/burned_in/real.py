"""Real pictures of the shared data: what stands on them, marked by hand in real.csv.

Each line of the table is a box around a line of writing, and says what has to become of it:

- ``identity`` and ``text`` have to go: all that has two letters or digits at least, be it a name,
  a gain, or a logo in plain letters;
- ``may`` is left to the cleaner: a single letter or digit, a logo that is a drawing;
- ``marker`` has to stay.

An object without a line bears no writing. Each was looked at, a stack or a cine in its brightest
and darkest values; no writing of a cine moves, and its first frame tells where letters are.
"""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from hounsfield.deid import Profile, deidentify_folder
from hounsfield.deid.pixels import Box, Look, StoredPixels, how_to_look
from hounsfield.dicom.reading import read_header
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.burned_in.cases import Case
from tests.deid.burned_in.score import Tally

__all__ = ["CLEAN", "WRITTEN", "Judged", "judge"]

_HAS_TO_GO: Final = frozenset({"identity", "text"})
#: Pixels around a box that tell its ground.
_RING: Final = 2
#: Ink is as far from the ground as this percentile; half as far, it covers half of a pixel, from
#: where the drawn corpus counts a pixel, too.
_INK: Final = 99
_INKED: Final = 0.5
#: Below this side no name is legible, and the cleaner does not look.
_SMALLEST: Final = 18

#: Folders whose pictures bear no writing but markers. (In neither list: what has no SOP class, and
#: is never released.)
CLEAN: Final = (
    *("cr_chest_j2k", "cr_chest_mono1", "cr_hand_j2k", "ct_head_phantom", "ct_two_studies"),
    *("dx_dog", "enh_ct_perfusion", "enh_mr_emri", "enh_mr_moveknee", "enh_mr_xa10"),
    *("mg_overlay_oob", "mr_brain_flair", "mr_fruit_ge", "mr_knee_t1", "mr_knee_t2"),
    *("nm_heart_13f", "obj_highdicom", "obj_rt_breast", "pt_breast_flt", "pt_nema_phantom_1"),
    *("pt_wb_philips", "syn_bigendian", "syn_ct1", "syn_deflated", "syn_mr1", "syn_nm1"),
    "xa_96f_fragments",
)
#: Folders some of whose pictures bear writing that has to go.
WRITTEN: Final = (
    *("charset_clunie_sc", "ct_dose_sc_burned", "phi_ct_burned", "us_aloka", "us_atl_burned"),
    *("us_echo_10f", "us_ge_cine_burned", "us_mindray_burned", "us_palette_ob"),
    *("us_sonosite_30f", "us_us1"),
)


class Line(NamedTuple):
    """A line of writing: in which files of which folder, of what kind, and where."""

    folder: str
    files: str
    kind: str
    box: Box


class Judged(NamedTuple):
    """How a folder came out, by modality, and the files that were written."""

    tallies: dict[str, Tally]
    outputs: list[Path]


def judge(source: Path, target: Path, pseudonyms: Pseudonyms) -> Judged:
    """De-identifies a folder of the shared data, or one of its files, as the pipeline does.

    An object counts as one case, each slice of a stack, too. That what bears no mask has kept its
    very bytes is asserted on the way.
    """
    root = source if source.is_dir() else source.parent
    started = time.process_time()
    report = deidentify_folder(
        source, target, profile=Profile.load("research"), pseudonyms=pseudonyms
    )
    seconds = time.process_time() - started
    tallies: dict[str, Tally] = defaultdict(Tally)
    outputs = []
    for entry in report.files:
        dataset = read_header(root / entry["input"], stop_before_pixels=False)
        if not _is_picture(dataset):
            continue
        case = _case(dataset, root.name, entry["input"])
        tally = tallies[case.modality]
        tally.seconds += seconds / len(report.files)
        if entry["output"]:
            boxes = list(entry["pixels"]["boxes"])
            outputs.append(target / entry["output"])
            assert boxes or _is_same(dataset, outputs[-1]), case.name
        else:
            boxes = []
            tally.refuse(case, entry["reason"])
        tally.count(case, [boxes])
    return Judged(dict(tallies), outputs)


def _is_picture(dataset: Dataset) -> bool:
    if how_to_look(dataset) is Look.NONE:
        return False
    return min(dataset.Rows, dataset.Columns) >= _SMALLEST


def _is_same(dataset: Dataset, output: Path) -> bool:
    """Whether the pixel data are the same bytes, padded to an even length."""
    content = dataset.PixelData
    after = read_header(output, stop_before_pixels=False).PixelData
    return bool(after == content + b"\0" * (len(content) % 2))


def _case(dataset: Dataset, folder: str, file: str) -> Case:
    lines = [line for line in _lines() if line.folder == folder and fnmatch(file, line.files)]
    text = np.zeros((dataset.Rows, dataset.Columns), bool)
    marks = []
    picture = _first_picture(dataset) if lines else text
    for line in lines:
        inked = _inked(picture, line.box)
        if line.kind in _HAS_TO_GO:
            text |= inked
        elif line.kind == "marker":
            marks.append(inked)
    modality = str(dataset.get("Modality") or "none")
    return Case(f"{folder}/{file}", modality, (), (dataset,), (text,), tuple(marks))


def _first_picture(dataset: Dataset) -> NDArray[np.uint8]:
    return next(StoredPixels.decode(dataset).pictures())[0]


def _inked(picture: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
    """Pixels in a box that are at least half as far from the ground around it as ink is."""
    x0, y0, x1, y1 = box
    inside = (slice(y0, y1), slice(x0, x1))
    around = np.zeros(picture.shape[:2], bool)
    around[max(0, y0 - _RING) : y1 + _RING, max(0, x0 - _RING) : x1 + _RING] = True
    around[inside] = False
    values = picture.reshape(*picture.shape[:2], -1).astype(np.float32)
    distance = np.abs(values[inside] - np.median(values[around], axis=0)).max(axis=-1)
    inked = np.zeros(picture.shape[:2], bool)
    inked[inside] = distance >= _INKED * np.percentile(distance, _INK)
    return inked


@cache
def _lines() -> tuple[Line, ...]:
    with Path(__file__).with_suffix(".csv").open(newline="") as rows:
        return tuple(_parse(row) for row in csv.DictReader(rows))


def _parse(row: dict[str, str]) -> Line:
    x0, y0, x1, y1 = (int(row[edge]) for edge in ("x0", "y0", "x1", "y1"))
    return Line(row["folder"], row["files"], row["kind"], (x0, y0, x1, y1))
