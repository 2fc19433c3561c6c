"""What commands take, and what they say and leave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from hounsfield.store.product import file_digest

#: What a command takes beside its options, given a source and a new destination.
ARGUMENTS: dict[str, Callable[[Path, Path], list[str]]] = {
    "chunk": lambda source, new: [str(source), str(new)],
    "deidentify": lambda source, new: [str(source), str(new), "--no-pixels"],
    "infer": lambda source, new: [str(source), str(new)],
    "validate": lambda source, _: [str(source)],
}
WRITERS = ("chunk", "deidentify", "infer")

Run = Callable[..., Result]


def refusal(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("hounsfield: ")
    return line.removeprefix("hounsfield: ")


def shell(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The real command, as a person starts it."""
    command = [str(Path(sys.executable).with_name("hounsfield")), *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120
    )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 by name, but for reports, which tell of the run."""
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }
