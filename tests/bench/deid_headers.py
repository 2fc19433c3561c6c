"""Header de-identification per file against two peers: ``python -m tests.bench.deid_headers``.

Each engine reads a file, takes the patient out of its header, and writes it; pixels are not
looked at. All run side by side in one run, in processes of their own, in turns, on the same
series; what is compared is CPU time, since other work may share the cores. Ours works on a
series at a time, for it looks for what one header tells in the texts of all; the peers on a
file at a time, for they look for nothing. The peers are installed into
``.hounsfield/bench/peers``, never into the project's own environment.
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

#: What a worker does: reads one line of JSON, works on a series, answers with its time.
_LOOP = """
import json, os, sys, time, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
answer = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)  # peers print
for line in sys.stdin:
    paths, out = json.loads(line)
    start = time.process_time()
    try:
        work(paths, out)
        taken = time.process_time() - start
    except Exception:
        taken = None
    for name in os.listdir(out):  # What is written over makes the disk wait.
        os.unlink(os.path.join(out, name))
    answer.write(json.dumps(taken) + "\\n"); answer.flush()
"""
_OURS = """
from pathlib import Path
from hounsfield.deid import Deidentifier, Profile
from hounsfield.pseudonyms import Pseudonyms
engine = Deidentifier(Profile.load({profile!r}), Pseudonyms(bytes(32)), pixels=False)
def work(paths, out):
    report = engine.files([Path(path) for path in paths], Path(out), lambda index, *_: str(index))
    assert len(report.written) == len(paths)
"""
_WORKERS = {
    "hounsfield strict": _OURS.format(profile="strict"),
    "hounsfield research": _OURS.format(profile="research"),
    "dicognito": """
import pydicom
from dicognito.anonymizer import Anonymizer
anonymizer = Anonymizer(seed="bench")
def work(paths, out):
    for index, path in enumerate(paths):
        with pydicom.dcmread(path, force=False) as dataset:
            anonymizer.anonymize(dataset)
            dataset.save_as(f"{out}/{index}", enforce_file_format=True)
""",
    "dicom-anonymizer": """
from dicomanonymizer import anonymize_dicom_file
def work(paths, out):
    for index, path in enumerate(paths):
        anonymize_dicom_file(path, f"{out}/{index}")
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

    def round(self, paths: list[str], out: str) -> float | None:
        """CPU seconds; None where it cannot do one of the files."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([paths, out]) + "\n")
        self._process.stdin.flush()
        found: float | None = json.loads(self._process.stdout.readline())
        return found

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


def compare(series: dict[str, list[str]], rounds: int) -> dict[str, dict[str, float]]:
    """Folder → engine → median CPU milliseconds a file; folders that all of them can do."""
    workers = {name: _Worker(name) for name in _WORKERS}
    found: dict[str, dict[str, list[float | None]]] = {}
    with tempfile.TemporaryDirectory() as out:
        for turn in range(rounds + 1):
            for folder, paths in series.items():
                for name, worker in workers.items():
                    taken = worker.round(paths, out)
                    if turn:  # The first warms caches up.
                        found.setdefault(folder, {}).setdefault(name, []).append(taken)
    for worker in workers.values():
        worker.close()
    return {
        folder: {
            name: 1000 * statistics.median(times) / len(series[folder])  # type: ignore[type-var]
            for name, times in engines.items()
        }
        for folder, engines in found.items()
        if not any(None in times for times in engines.values())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-folder", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    root = Path(os.environ.get("HOUNSFIELD_TEST_DATA", ROOT.parent / "shared" / "data"))
    series = {
        name: [str(p) for p in sorted((root / name).iterdir()) if p.is_file()][: told.per_folder]
        for name in FOLDERS
    }
    install_peers()
    times = compare(series, told.rounds)
    ratios = {
        peer: statistics.median(one[peer] / one["hounsfield research"] for one in times.values())
        for peer in TARGETS
    }
    result: dict[str, Any] = {"rounds": told.rounds, "cpu_ms_a_file": times, "ratios": ratios}
    if told.json:
        print(json.dumps(result, indent=1))
        return
    for folder, engines in times.items():
        print(f"{folder}, {len(series[folder])} files; ms of CPU a file:")
        for name, median in engines.items():
            print(f"  {name:20} {median:8.2f}   {median / engines['hounsfield research']:5.2f}")
    for peer, ratio in ratios.items():
        print(f"research against {peer}: {ratio:.2f} times (target {TARGETS[peer]})")


if __name__ == "__main__":
    main()
