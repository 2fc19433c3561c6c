"""What commands read from and write to, be it sound or not."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from tests.cli.running import ARGUMENTS, WRITERS, Run, refusal


def test_one_file_is_a_source_too(study: Path, tmp_path: Path, run: Run) -> None:
    for command in ("deidentify", "chunk"):
        one = run(command, *ARGUMENTS[command](study / "0.dcm", tmp_path / command), "--json")
        assert one.exit_code == 0, one.output
        assert (tmp_path / command / "report.json").is_file()
    (tmp_path / "notes.txt").write_text("no DICOM")
    result = run("chunk", tmp_path / "notes.txt", tmp_path / "out", "--json")
    assert "no series makes a volume" in refusal(result)
    assert json.loads(result.stdout)["refused_files"] == {"notes.txt": "a file is not DICOM"}


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("nested", ["in/out", "in", "."])
def test_output_and_input_lie_apart(
    command: str, nested: str, study: Path, tmp_path: Path, run: Run
) -> None:
    before = sorted(study.rglob("*"))
    result = run(command, *ARGUMENTS[command](study, tmp_path / nested))
    assert "lie in one another" in refusal(result)
    assert sorted(study.rglob("*")) == before


@pytest.mark.parametrize("command", ["chunk", "deidentify", "phantom"])
@pytest.mark.parametrize("place", ["file", "file/below", "link"])
def test_a_destination_that_is_no_folder(
    command: str, place: str, study: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("/proc/nowhere")
    few = ("--studies", "1", "--no-hard-cases")
    arguments = ARGUMENTS.get(command, lambda _, new: [str(new), *few])
    refusal(run(command, *arguments(study, tmp_path / place)))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["chunk", "deidentify"])
def test_a_full_disk_is_one_line(command: str, study: Path, tmp_path: Path, run: Run) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        result = run(command, *ARGUMENTS[command](study, tmp_path / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ": File too large (" in refusal(result)  # the output, or a file on the way to it
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
