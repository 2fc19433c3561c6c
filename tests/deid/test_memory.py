"""The memory of a process that de-identifies and looks again stays what it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = 320
#: MiB by which the last quarter may be above the first. Between the two lie 240 files with 38 MiB
#: of pixels: kept anywhere, they would show.
MARGIN = 12


def test_memory_does_not_grow_with_the_files() -> None:
    """Headers, pixels and the gate; of every 20th file a name is read, and masked.

    2,000 files, which take minutes, are ``python -m tests.bench.deid_memory``.
    """
    command = [sys.executable, "-m", "tests.bench.deid_memory", "--json", "--files", str(FILES)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOUNSFIELD_OCR_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    quarters = [json.loads(line) for line in done.stdout.splitlines()]
    assert [quarter["masked"] for quarter in quarters] == [4, 8, 12, 16]
    first, *_, last = (quarter["rss_mib"] for quarter in quarters)
    assert last - first < MARGIN, quarters
