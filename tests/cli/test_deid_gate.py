"""The gate of ``deidentify``, and the certificates that it writes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from hounsfield.dicom.writing import write_dataset
from hounsfield.records import digest_of
from hounsfield.store.product import file_digest
from tests.cli.running import Run, refusal
from tests.quality.conftest import CANARIES, ct_slice
from tests.stages.received import write_slices


def test_each_study_gets_a_certificate(run: Run, tmp_path: Path) -> None:
    write_dataset(ct_slice(0), tmp_path / "in" / "a.dcm")
    run("deidentify", tmp_path / "in", tmp_path / "out", "--no-pixels")
    (path,) = (tmp_path / "out" / "certificates").glob("*.json")
    certificate = json.loads(path.read_bytes())
    assert path.with_suffix(".html").is_file() and path.stem == certificate["study_key"]
    assert certificate["verdict"] == "passed"
    assert certificate["profile"] == "strict" and certificate["written"] == 1
    assert certificate["options"] == ["Basic Application Confidentiality Profile"]
    assert not [word for word in CANARIES if word in json.dumps(certificate)]


def test_files_of_no_study_have_a_certificate_each(run: Run, tmp_path: Path) -> None:
    for index in range(2):
        dataset = ct_slice(index)
        del dataset.StudyInstanceUID
        write_dataset(dataset, tmp_path / "in" / f"{index}.dcm")
    assert run("deidentify", tmp_path / "in", tmp_path / "out", "--no-pixels").exit_code == 0
    assert len(list((tmp_path / "out" / "certificates").glob("*.json"))) == 2


def test_what_the_gate_doubts_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cleaner that takes nothing out of text."""
    dataset = ct_slice(0)
    dataset.StudyDescription = dataset.SeriesDescription = f"CT {CANARIES[0]}"
    write_dataset(dataset, tmp_path / "in" / "a.dcm")
    monkeypatch.setattr("hounsfield.deid.text.TextCleaner.descriptor", lambda _, text: text)
    monkeypatch.setattr("hounsfield.deid.text.TextCleaner.known", lambda _, text: text)
    other = ct_slice(0)
    other.StudyInstanceUID = generate_uid()
    write_dataset(other, tmp_path / "in" / "b.dcm")
    out, apart = tmp_path / "out", tmp_path / "apart"
    arguments = ("deidentify", tmp_path / "in", out, "--profile", "research", "--no-pixels")
    assert run(*arguments, "--no-gate").exit_code == 0
    assert len(list(out.glob("*.dcm"))) == 2

    result = run(*arguments)

    assert result.exit_code == 1
    assert "in doubt about 1 of 2 studies" in result.stderr
    assert len(list(out.rglob("*.dcm"))) == 1, "nothing of it stays, of an earlier run either"
    doubted, passed = json.loads((out / "report.json").read_bytes())["files"]
    assert (doubted["code"], doubted["output"]) == ("in-doubt", "")
    assert (out / passed["output"]).is_file()
    assert not list(out.glob(".*"))
    certificates = [json.loads(path.read_bytes()) for path in out.glob("certificates/*.json")]
    told = {one["verdict"]: one for one in certificates}
    assert (told["passed"]["written"], told["passed"]["withheld"]) == (1, 0)
    assert (told["doubtful"]["written"], told["doubtful"]["withheld"]) == (0, 1)
    assert told["doubtful"]["output_digest"] == digest_of([])
    assert run(*arguments, "--doubtful", apart).exit_code == 1
    assert [path.name for path in apart.rglob("*.dcm")] == [doubted["in_doubt"]]
    within = refusal(run(*arguments, "--doubtful", out / "apart"))
    assert within.startswith("the output and the folder for what is in doubt lie in one another")
    within = refusal(run(*arguments, "--doubtful", tmp_path / "in" / "apart"))
    assert within.startswith("the input and the folder for what is in doubt lie in one another")


@pytest.mark.parametrize(("needed", "code"), [("false", 0), ("true", 1)])
def test_a_site_says_whether_it_needs_dciodvfy_here_too(
    needed: str, code: int, run: Run, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUNSFIELD_NEED_DCIODVFY", needed)
    monkeypatch.setattr("hounsfield.gate.conformance.program", lambda: None)
    assert run("deidentify", study, tmp_path / "out", "--no-pixels").exit_code == code


def test_a_certificate_is_of_what_is_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of no run that breaks off while files are moved, and of none that came before."""
    write_slices(tmp_path / "in", 3)
    out = tmp_path / "out"
    arguments = ("deidentify", tmp_path / "in", out, "--no-pixels")

    def certified() -> bool:
        paths = list((out / "certificates").glob("*"))
        assert len(paths) in (0, 2)
        found = sorted([path.name, file_digest(path)] for path in out.glob("*.dcm"))
        told = [json.loads(path.read_bytes()) for path in paths if path.suffix == ".json"]
        assert all(one["output_digest"] == digest_of(found) for one in told)
        return bool(paths)

    move, moved = shutil.move, []

    def break_off(source: Path, target: Path) -> None:
        if len(moved) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        moved.append(move(source, target))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "move", break_off)
        assert run(*arguments).exit_code == 1
    assert len(list(out.glob("*.dcm"))) == 1 and not certified()
    assert run(*arguments).exit_code == 0 and certified()
    moved.clear()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "move", break_off)
        assert run(*arguments).exit_code == 1
    assert not certified() and not (out / "report.json").exists()
    assert run(*arguments).exit_code == 0 and certified()
    assert run(*arguments, "--no-gate").exit_code == 0 and not certified()


def test_a_certificate_of_no_study(run: Run) -> None:
    run("setup")
    result = run("certificate", "st-none")
    assert result.exit_code == 1
    assert "st-none: the catalog knows no such study" in result.stderr
