"""The project key out of a secrets backend of Airflow's, as a task asks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEX = "ab" * 32
TASK = """
import os
from operators.keys import KEY, lend_key
from hounsfield.errors import ConfigError
from hounsfield.pseudonyms import load_keys
from pathlib import Path

try:
    lend_key()
    print({version: key.hex() for version, key in load_keys(Path("no-such-file")).items()})
except ConfigError as error:
    print(error)
"""


def task(folder: Path, **environment: str) -> str:
    """What a process says whose Airflow has a secrets backend with the key in it."""
    (folder / "variables.json").write_text(json.dumps({"project_key": f"2:{HEX}"}))
    where = json.dumps({"variables_file_path": str(folder / "variables.json")})
    given = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": where,
        **environment,
    }
    clean = {name: value for name, value in os.environ.items() if "PROJECT_KEY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", TASK],
        cwd=ROOT,
        env={**clean, **given},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"HOUNSFIELD_PROJECT_KEY_VARIABLE": "project_key"}, str({2: HEX})),
        ({"HOUNSFIELD_PROJECT_KEY_VARIABLE": "nobody"}, "Airflow has no Variable nobody"),
        ({}, "there is no project key"),
        (
            {"HOUNSFIELD_PROJECT_KEY_VARIABLE": "project_key", "HOUNSFIELD_PROJECT_KEY": "c" * 64},
            str({1: "c" * 64}),
        ),
    ],
)
def test_the_key_comes_from_where_airflow_keeps_secrets(
    environment: dict[str, str], told: str, tmp_path: Path
) -> None:
    assert told in task(tmp_path, **environment)
