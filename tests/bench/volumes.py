"""How fast series become volumes, against dcm2niix, and how fast volumes are read, against NIfTI.

Rounds are interleaved, and what is printed are medians of ratios within a round, so that what
else the machine does hits both. A ratio above 1 is ours ahead.

- conversion: ``build_volume`` on files that lie in the page cache, to dcm2niix writing ``.nii``
  without compression. Ours compresses, digests every slice and keeps every element; dcm2niix
  does none of these. Where dcm2niix does not read a syntax, the line says so. Before each, what
  was written is brought to the disk and out of the cache, and nothing is deleted before the end:
  an ext4 passes by the inodes that were freed a moment ago, which costs most where there are
  many files to make, and pages that one wrote are not the other's to write out. Memory is
  touched before each, too: what a virtual machine has given back to its host comes slowly, which
  would cost dcm2niix, that takes more of it, twice its time now and then.
- reading: whole volumes and random crops of 96³ as float32, to MONAI's own ``LoadImage`` on the
  ``.nii`` and ``.nii.gz`` that dcm2niix wrote. That wants nibabel, which this project does not
  use otherwise: ``pip install --target DIR nibabel`` and PYTHONPATH=DIR; without it the line
  says so.
- memory: the peak of a process that converts the uncompressed series, imports and all.

``--work`` should be on the disk that is to be measured.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from hounsfield.dicom.writing import write_dataset
from hounsfield.volume import Volume, build_volume
from hounsfield.volume.layout import LAYOUTS
from tests.volume.series import ct_slice

DCM2NIIX = "/usr/bin/dcm2niix"
SYNTAXES = {
    "uncompressed": ExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}
CROP = 96
#: Bytes, more than either takes.
MEMORY = 1 << 30
PEAK = """
import sys
from pathlib import Path
from hounsfield.volume import build_volume

build_volume(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), provenance={})
# Not ru_maxrss, which counts what the parent held when it started this.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--syntaxes", nargs="+", choices=SYNTAXES, default=list(SYNTAXES))
    parser.add_argument("--work", type=Path, help="folder on the disk that is to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        root = Path(scratch)
        for name in options.syntaxes:
            write_ct(root / name, options.slices, SYNTAXES[name])
            convert(root, name, options.rounds)
        if "uncompressed" in options.syntaxes:
            read(root, options.rounds)
            print(f"memory: a peak of {peak(root)} MiB for {options.slices} slices")


def write_ct(folder: Path, slices: int, syntax: UID) -> None:
    """Slices with structure and noise, so that codecs have as much to do as with a CT."""
    chance = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    anatomy = 1000 + 400 * np.cos(x / 60) * np.cos(y / 50)
    for index in range(slices):
        dataset = ct_slice(index, shape=(512, 512), step=1.0)
        values = anatomy + 40 * np.sin(index / 9) + chance.normal(0, 12, (512, 512))
        dataset.PixelData = values.astype("<i2").tobytes()
        # dcm2niix stacks what is of one time.
        dataset.StudyDate, dataset.StudyTime, dataset.SeriesNumber = "20200101", "101010", 1
        if syntax.is_compressed:
            dataset.compress(syntax, generate_instance_uid=False)
        write_dataset(dataset, folder / f"{index:05d}.dcm")


def convert(root: Path, name: str, rounds: int) -> None:
    paths = sorted((root / name).iterdir())
    made = root / "made"
    places = (made / str(number) for number in count())
    ways: dict[str, Callable[[], None]] = {
        "dcm2niix": lambda: run_dcm2niix(root / name, next(places)),
        "unsharded": lambda: chunk(paths, next(places), "unsharded", 1),
        "unsharded, 2 workers": lambda: chunk(paths, next(places), "unsharded", 2),
        "sharded": lambda: chunk(paths, next(places), "sharded", 1),
    }
    seconds = interleaved(ways, rounds, partial(settle, made))
    is_read = any(made.glob("*/out.nii"))
    shutil.rmtree(made)
    if not is_read:
        print(f"{name}: dcm2niix here does not read it")
        theirs = None
    else:
        theirs = seconds.pop("dcm2niix")
    seconds.pop("dcm2niix", None)
    for way, taken in seconds.items():
        per_slice = 1000 * statistics.median(taken) / len(paths)
        text = f"{name}, {way}: {per_slice:.2f} ms a slice"
        if theirs is not None:
            text += f", {ratio(theirs, taken):.2f} of dcm2niix"
        print(f"{text}, {ratio(seconds['unsharded'], taken):.2f} of unsharded with 1 worker")


def run_dcm2niix(source: Path, out: Path) -> None:
    out.mkdir(parents=True)
    command = [DCM2NIIX, "-z", "n", "-b", "n", "-f", "out", "-o", out, source]
    subprocess.run(command, capture_output=True, check=False)


def settle(folder: Path) -> None:
    """What lies there is on the disk and in no memory, and free memory is at hand."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    np.ones(MEMORY, dtype=np.uint8)


def chunk(paths: list[Path], out: Path, recipe: str, workers: int) -> None:
    build_volume(paths, out, provenance={}, layout=LAYOUTS[recipe], workers=workers)


def read(root: Path, rounds: int) -> None:
    paths = sorted((root / "uncompressed").iterdir())
    for recipe in LAYOUTS:
        chunk(paths, root / recipe, recipe, 1)
    volumes = {recipe: Volume.open(root / recipe) for recipe in LAYOUTS}
    whole: dict[str, Callable[[], None]] = {
        recipe: partial(discard, volume.rescaled) for recipe, volume in volumes.items()
    }
    crops: dict[str, Callable[[], None]] = {
        recipe: partial(discard, Cropper(volume)) for recipe, volume in volumes.items()
    }
    nifti = niftis(root)
    for name, path in nifti.items():
        load, load_and_crop = of_monai()
        whole[name] = partial(discard, partial(load, path))
        crops[name] = partial(discard, partial(load_and_crop, path))
    if not nifti:
        print("reading: nibabel is not here, so MONAI reads no NIfTI")
    for what, ways in (("whole", whole), ("crop of 96³", crops)):
        seconds = interleaved(ways, rounds)
        for recipe in LAYOUTS:
            text = f"reading, {what}, {recipe}: {1000 * statistics.median(seconds[recipe]):.1f} ms"
            for name in nifti:
                text += f", {ratio(seconds[name], seconds[recipe]):.2f} of MONAI's {name}"
            print(text)


def niftis(root: Path) -> dict[str, Path]:
    try:
        import nibabel  # noqa: F401
    except ImportError:
        return {}
    run_dcm2niix(root / "uncompressed", root / "nii")
    plain = root / "nii" / "out.nii"
    if not plain.is_file():
        return {}
    packed = plain.with_suffix(".nii.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes(), 6))
    return {".nii": plain, ".nii.gz": packed}


class Cropper:
    """One random crop after the other, as :mod:`hounsfield.datasets.crops` reads them."""

    def __init__(self, volume: Volume) -> None:
        self._volume, self._chance = volume, np.random.default_rng(0)

    def __call__(self) -> np.ndarray:
        starts = [int(self._chance.integers(0, n - CROP + 1)) for n in self._volume.shape]
        values = np.asarray(self._volume.array[tuple(slice(s, s + CROP) for s in starts)])
        return values.astype(np.float32) + np.float32(self._volume.rescale.intercept[0])


def of_monai() -> tuple[Callable[[Path], object], Callable[[Path], object]]:
    """Its way to load a file, and to load one and crop it, made once."""
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, RandSpatialCrop

    load = LoadImage(reader="NibabelReader", image_only=True)
    crop = RandSpatialCrop((CROP,) * 3, random_size=False)
    return load, Compose([load, EnsureChannelFirst(channel_dim="no_channel"), crop])


def discard(call: Callable[[], object]) -> None:
    call()


def interleaved(
    ways: dict[str, Callable[[], None]],
    rounds: int,
    before_each: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each way in each round, the order turned from round to round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            before_each()
            started = time.perf_counter()
            ways[name]()
            if number:  # The first round warms up.
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(theirs, ours, strict=True))


def peak(root: Path) -> int:
    command = [sys.executable, "-c", PEAK, root / "uncompressed", root / "peak"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(run.stdout) >> 10


if __name__ == "__main__":
    main()
