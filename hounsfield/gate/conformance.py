"""Check: `dciodvfy` finds no error in an output that its input did not have.

Its lines quote values, so what goes on of a line is its kind and its tag alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from hounsfield.gate.report import Finding

__all__ = ["CHECK", "compare", "program"]

CHECK = "conformance"

_SECONDS = 60
_TAG = re.compile(r"\(0x([0-9a-f]{4}),0x([0-9a-f]{4})\)")
_ELEMENT = re.compile(r"(?:Element|attribute)=<(\w+)>|Module=<(\w+)>")
# Values stand between these marks, or after an equals sign.
_VALUES = re.compile(r"\"[^\"]*\"|<[^>]*>|=.*|'[^']*'|values are .*|\[.*?\]| for .*| of .*")


def program() -> str | None:
    """Path of `dciodvfy`, where it is installed."""
    return shutil.which("dciodvfy")


def compare(tool: str, raw: Path, output: Path, instance: str) -> list[Finding]:
    """Errors of `output` that `raw` does not have, each once a kind and place."""
    errors = _errors(tool, output)
    if errors:  # Most objects have none, and then the input need not be looked at.
        errors -= _errors(tool, raw)
    return [Finding(CHECK, kind, place, object=instance) for kind, place in sorted(errors)]


def _errors(tool: str, path: Path) -> Counter[tuple[str, str]]:
    try:
        done = subprocess.run(  # noqa: S603 - a file of ours, and no shell
            [tool, str(path)],
            env=_environment(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Counter({("dciodvfy does not come to an end", ""): 1})
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return Counter(_told(line) for line in lines if line.startswith("Error - "))


def _environment() -> dict[str, str]:
    """What a program of others needs to run: nothing of ours, such as the project key."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}


def _told(line: str) -> tuple[str, str]:
    """Kind and place of an error, without what it quotes."""
    text = line.removeprefix("Error - ")
    tag = _TAG.search(text)
    names = [name for match in _ELEMENT.finditer(text) for name in match.groups() if name]
    place = f"({tag[1].upper()},{tag[2].upper()})" if tag else " in ".join(names)
    kind = _VALUES.sub("", _TAG.sub("", text))
    return " ".join(re.findall(r"[A-Za-z]+|[123]C?", kind))[:80], place
