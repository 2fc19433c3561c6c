"""``deidentify``: an output or a reason for each file; and what it says of its rules."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from hounsfield.dicom.reading import read_header
from tests.cli.running import Run, digests, refusal
from tests.quality.conftest import CANARIES, ct_slice
from tests.stages.received import write_slices

DICOMDIR = b"1.2.840.10008.1.3.10\0\0\0\0\0\0"


def odd_folder(root: Path) -> dict[str, str]:
    """A folder of what lies about in real ones; which of it must come out, by its name."""
    names = (
        "0001.dcm",
        "no extension",
        "a/b/0001.dcm",
        "a/b/0001.dcm ",
        "ü ß/Äpfel 日本 .dcm",
        "-rf",
        'new\nline "q" <b>&.dcm',
        os.fsdecode(b"bytes\xff\xfe.dcm"),
        "x" * 251 + ".dcm",
        "/".join(["deep"] * 200) + "/0001.dcm",
        f"{CANARIES[0]}/{CANARIES[2]}.dcm",
    )
    for index, name in enumerate(names):
        dataset = ct_slice(index)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(root / name, enforce_file_format=True)
    whole = (root / names[0]).read_bytes()
    (root / "cut.dcm").write_bytes(whole[:-100])
    (root / "empty").write_bytes(b"")
    (root / "notes.txt").write_text("no DICOM")
    (root / "DICOMDIR").write_bytes(whole.replace(b"1.2.840.10008.5.1.4.1.1.2\0", DICOMDIR))
    (root / "link.dcm").symlink_to("0001.dcm")
    (root / "nowhere.dcm").symlink_to("missing")
    (root / "a" / "loop").symlink_to("..")
    os.mkfifo(root / "pipe")
    refused = {
        "cut.dcm": "unreadable-file",
        "empty": "unreadable-file",
        "notes.txt": "unreadable-file",
        "DICOMDIR": "not-an-instance",
    }
    return dict.fromkeys((*names, "link.dcm"), "") | refused


def entries(result: Result) -> dict[str, dict[str, Any]]:
    return {entry["input"]: entry for entry in json.loads(result.stdout)["files"]}


def test_every_file_has_an_output_or_a_reason(tmp_path: Path, run: Run) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    expected = odd_folder(source)
    result = run("deidentify", source, target, "--no-pixels", "--json")
    said = "hounsfield: 3 files have no output: see report.json for each reason\n"
    assert (result.exit_code, result.stderr) == (3, said), "a DICOMDIR needs none"
    told = entries(result)
    assert {name: entry.get("code", "") for name, entry in told.items()} == expected
    report = json.loads((target / "report.json").read_bytes())
    assert report == json.loads(result.stdout)

    outputs = {name: entry["output"] for name, entry in told.items() if entry["output"]}
    assert len(set(outputs.values())) == len(outputs)
    written = {path.relative_to(target).as_posix() for path in target.rglob("*.dcm")}
    assert written == set(outputs.values())
    for name, output in outputs.items():
        before, after = read_header(source / name), read_header(target / output)
        assert after.PatientID != before.PatientID
        assert (target / output).stat().st_size > len(ct_slice(0).PixelData)
        if not name.startswith("deep/"):
            assert output.count("/") == name.count("/")
    for path in target.rglob("*.dcm"):
        content = path.read_bytes() + str(path.relative_to(target)).encode()
        assert not [word for word in CANARIES if word.encode() in content]
    for name, code in expected.items():
        assert bool(told[name].get("reason")) == bool(code)


def test_a_listing_of_files_that_are_all_there_is_no_loss(tmp_path: Path, run: Run) -> None:
    write_slices(tmp_path / "in")
    content = next((tmp_path / "in").rglob("*.dcm")).read_bytes()
    listing = content.replace(b"1.2.840.10008.5.1.4.1.1.2\0", DICOMDIR)
    (tmp_path / "in" / "DICOMDIR").write_bytes(listing)
    result = run("deidentify", tmp_path / "in", tmp_path / "out", "--no-pixels")
    assert (result.exit_code, result.stderr) == (0, "")


def test_the_layout_stays_and_is_the_same_again(tmp_path: Path, run: Run) -> None:
    write_slices(tmp_path / "in" / "one" / "deep")
    shutil.copytree(tmp_path / "in" / "one" / "deep", tmp_path / "in" / "two" / "deep")
    first = run("deidentify", tmp_path / "in", tmp_path / "a", "--no-pixels", "--json")
    again = run("deidentify", tmp_path / "in", tmp_path / "b", "--no-pixels", "--json")
    assert entries(first) == entries(again)
    folders = {Path(entry["output"]).parent for entry in entries(first).values()}
    assert len(folders) == 2
    assert len({folder.name for folder in folders}) == 1  # the same name in both
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_nothing_written_is_a_refusal(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    result = run("deidentify", tmp_path / "in", tmp_path / "out", "--json")
    assert "no file could be written" in refusal(result)
    assert json.loads(result.stdout)["refused"] == 1


@pytest.mark.parametrize("text", ["", "mine", '{"series": {}}'])
def test_a_report_of_somebody_else_is_left_alone(run: Run, tmp_path: Path, text: str) -> None:
    write_slices(tmp_path / "in", 1)
    report = tmp_path / "out" / "report.json"
    report.parent.mkdir()
    report.write_text(text)
    told = refusal(run("deidentify", tmp_path / "in", tmp_path / "out", "--no-pixels"))
    assert told.startswith("the output holds a report.json that tells of no de-identification")
    assert [*report.parent.iterdir()] == [report] and report.read_text() == text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_draft_for_good(
    run: Run, home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    write_slices(tmp_path / "in", 60)
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    # As from a terminal: whoever runs the tests past its end has SIGHUP ignored.
    command = [
        sys.executable,
        "-c",
        "import signal as s; s.signal(s.SIGHUP, s.SIG_DFL); "
        "from hounsfield.cli import main; main()",
        "deidentify",
        "--no-pixels",
    ]
    process = subprocess.Popen([*command, tmp_path / "in", out])
    while not list(out.glob(".draft.*.part/*.dcm")):
        assert process.poll() is None
    process.send_signal(number)
    code = process.wait(timeout=60)

    if number == signal.SIGKILL:
        assert list(out.glob(".draft.*.part/*.dcm"))
    else:
        assert (code, list(out.iterdir())) == (128 + number, [])
    assert run("deidentify", tmp_path / "empty", out, "--no-pixels").exit_code == 1
    assert not list(out.glob(".*"))


def test_a_rule_is_explained(run: Run) -> None:
    told = json.loads(run("deidentify", "--explain", "PatientName", "--json").stdout)
    assert told["tag"] == "(0010,0010)"
    assert "(0010,0010)" in run("deidentify", "--explain", "PatientName").stdout


def test_a_rule_is_explained_with_its_reason(run: Run) -> None:
    told = run("deidentify", "--explain", "StudyDate", "--profile", "research").stdout
    assert "StudyDate" in told.replace(" ", "") and "option modified_dates" in told
    assert "PS3.15 Table E.1-1 2024e" in told
    told = run("deidentify", "--explain", "StudyDate").stdout
    assert "Basic Profile Z" in told


def test_a_method_statement(run: Run) -> None:
    text = run("method-statement").stdout
    assert text.startswith("# How project demo takes the patient out of its images")
    assert run("method-statement", "--html").stdout.startswith("<!doctype html>")
