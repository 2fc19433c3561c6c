"""Header de-identification per file against two peers: ``python -m tests.bench.deid_headers``.

Each engine reads a file, takes the patient out of its header, and writes it; pixels are not
looked at. All run side by side in one run, in processes of their own, in turns, on the same
files; the ratios are of medians of CPU time, since other work may share the cores. The peers
are installed into ``.hounsfield/bench/peers``, never into the project's own environment.

Memory: 2,000 files through one engine in one process, and how much it grew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".hounsfield" / "bench" / "peers"
TARGETS = {"dicognito": 2.0, "dicom-anonymizer": 4.0}
FOLDERS = ("ct_head_phantom", "mr_fruit_ge", "mr_knee_t1", "pt_nema_phantom_1", "enh_mr_xa10")

#: What a worker does: reads one line of JSON, works on every file, answers with its times.
_LOOP = """
import json, os, sys, time, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
answer = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)  # peers print
for line in sys.stdin:
    paths, out = json.loads(line)
    times = []
    for path in paths:
        target = os.path.join(out, "x.dcm")
        start = time.process_time()
        try:
            work(path, target)
            times.append(time.process_time() - start)
        except Exception:
            times.append(None)
        if os.path.exists(target):
            os.unlink(target)  # What is written over makes the disk wait.
    answer.write(json.dumps(times) + "\\n"); answer.flush()
"""
_OURS = """
from pathlib import Path
from hounsfield.deid import Deidentifier, Profile
from hounsfield.pseudonyms import Pseudonyms
engine = Deidentifier(Profile.load({profile!r}), Pseudonyms(bytes(32)), pixels=False)
def work(source, target):
    report = engine.files([Path(source)], Path(target).parent, lambda *_: Path(target).name)
    assert report.written
"""
_WORKERS = {
    "hounsfield strict": _OURS.format(profile="strict"),
    "hounsfield research": _OURS.format(profile="research"),
    "dicognito": """
import pydicom
from dicognito.anonymizer import Anonymizer
anonymizer = Anonymizer(seed="bench")
def work(source, target):
    with pydicom.dcmread(source, force=False) as dataset:
        anonymizer.anonymize(dataset)
        dataset.save_as(target, enforce_file_format=True)
""",
    "dicom-anonymizer": """
from dicomanonymizer import anonymize_dicom_file
def work(source, target):
    anonymize_dicom_file(source, target)
""",
}


class _Worker:
    """One engine in a process of its own, which works when it is told to."""

    def __init__(self, name: str) -> None:
        ours = name.startswith("hounsfield")
        python = sys.executable if ours else str(PEERS / "bin" / "python")
        self._process = subprocess.Popen(
            [python, "-c", _WORKERS[name] + _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT) if ours else ""},
        )

    def round(self, paths: list[str], out: str) -> list[float | None]:
        """CPU seconds a file; None for one that it cannot do."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([paths, out]) + "\n")
        self._process.stdin.flush()
        return list(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def install_peers() -> None:
    """Both from the package registry, into an environment of the bench's own."""
    if (PEERS / ".ready").exists():
        return
    uv = Path(sys.executable).with_name("uv")
    PEERS.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, PEERS], check=True)
    packages = ["dicognito==0.19.0", "dicom-anonymizer==2.1.0"]
    command = [uv, "pip", "install", "--quiet", "--python", PEERS / "bin" / "python", *packages]
    subprocess.run(command, check=True)
    (PEERS / ".ready").touch()


def compare(paths: list[str], rounds: int) -> dict[str, float]:
    """Engine → median CPU milliseconds a file, over the files that all of them can do."""
    workers = {name: _Worker(name) for name in _WORKERS}
    times: dict[str, list[list[float | None]]] = {name: [] for name in workers}
    with tempfile.TemporaryDirectory() as out:
        for turn in range(rounds + 1):
            for name, worker in workers.items():
                found = worker.round(paths, out)
                if turn:  # The first warms caches up.
                    times[name].append(found)
    for worker in workers.values():
        worker.close()
    turns = [turn for found in times.values() for turn in found]
    done = [i for i in range(len(paths)) if all(turn[i] is not None for turn in turns)]
    return {
        name: 1000 * statistics.median(t[i] for t in ts for i in done)  # type: ignore[type-var]
        for name, ts in times.items()
    }


def memory(paths: list[str], files: int) -> tuple[float, float]:
    """Resident MiB after the first tenth of the files, and after all of them."""
    import psutil

    from hounsfield.deid import Deidentifier, Profile
    from hounsfield.pseudonyms import Pseudonyms

    process, marks = psutil.Process(), []
    engine = Deidentifier(Profile.load("research"), Pseudonyms(bytes(32)), pixels=False)
    with tempfile.TemporaryDirectory() as out:
        for number in range(files):
            source = Path(paths[number % len(paths)])
            engine.files([source], Path(out), lambda *_: "x.dcm")
            if number + 1 in (files // 10, files):
                marks.append(process.memory_info().rss / 2**20)
    return marks[0], marks[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-folder", type=int, default=8)
    parser.add_argument("--files", type=int, default=2000, help="For memory; 0 leaves it out.")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    root = Path(os.environ.get("HOUNSFIELD_TEST_DATA", ROOT.parent / "shared" / "data"))
    paths = [
        str(path)
        for folder in FOLDERS
        for path in sorted(p for p in (root / folder).iterdir() if p.is_file())[: told.per_folder]
    ]
    install_peers()
    medians = compare(paths, told.rounds)
    result: dict[str, Any] = {"files": len(paths), "rounds": told.rounds, "cpu_ms": medians}
    ours = medians["hounsfield research"]
    result["ratios"] = {peer: medians[peer] / ours for peer in TARGETS}
    if told.files:
        first, last = memory(paths, told.files)
        result["memory_mib"] = {"after_a_tenth": first, f"after_{told.files}": last}
    if told.json:
        print(json.dumps(result, indent=1))
        return
    for name, median in medians.items():
        print(f"{name:20} {median:8.2f} ms of CPU a file (median of {told.rounds} rounds)")
    for peer, ratio in result["ratios"].items():
        print(f"research against {peer}: {ratio:.2f} times (target {TARGETS[peer]})")
    for name, amount in result.get("memory_mib", {}).items():
        print(f"resident {name}: {amount:.0f} MiB")


if __name__ == "__main__":
    main()
