"""The command line: exit codes, one line for a refusal, JSON for machines, and no PHI."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread
from pydicom.uid import generate_uid

from hounsfield.catalog.models import Study
from hounsfield.cli import main
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.records import digest_of
from hounsfield.site import Site
from hounsfield.store.product import file_digest
from tests.quality.conftest import CANARIES, ct_slice
from tests.stages.received import receive

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = sorted(main.commands)
#: What a command takes beside its options, given a source and a new destination.
ARGUMENTS: dict[str, Callable[[Path, Path], list[str]]] = {
    "chunk": lambda source, new: [str(source), str(new)],
    "deidentify": lambda source, new: [str(source), str(new), "--no-pixels"],
    "infer": lambda source, new: [str(source), str(new)],
    "validate": lambda source, _: [str(source)],
}
WRITERS = ("chunk", "deidentify", "infer")

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own that nothing has been written to."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HOUNSFIELD_HOME", str(folder))
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    """Runs a command; what it says holds no canary and no traceback, however it ends.

    But for the JSON of a report about the input, which names it.
    """

    def call(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(main, [str(part) for part in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        said = result.stderr if "--json" in arguments else result.output
        assert not [word for word in CANARIES if word in said]
        return result

    return call


def refusal(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("hounsfield: ")
    return line.removeprefix("hounsfield: ")


def write_ct(folder: Path, slices: int = 4, *, stem: str = "{:04d}.dcm") -> list[Path]:
    paths = [folder / stem.format(index) for index in range(slices)]
    for index, path in enumerate(paths):
        write_dataset(ct_slice(index), path)
    return paths


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_ct(tmp_path / "in")
    return tmp_path / "in"


# The real command, as a person starts it.


def shell(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("hounsfield")), *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120
    )


def test_the_command_refuses_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("KANARIENVOGEL")
    done = shell("chunk", tmp_path, tmp_path / "out", HOUNSFIELD_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hounsfield: input and output lie in one another")
    assert done.stderr.count("\n") == 1


def test_everything_stays_under_its_home(tmp_path: Path, study: Path) -> None:
    listing = sorted(ROOT.glob("*")) + sorted(ROOT.glob(".hounsfield/**/*"))
    (tmp_path / "cwd").mkdir()
    commands = [
        [command, *ARGUMENTS[command](study, tmp_path / f"out-{command}")]
        for command in ("validate", "deidentify", "chunk")
    ]
    script = "from hounsfield.cli import main\n" + "".join(
        f"main({command}, standalone_mode=False)\n" for command in commands
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "cwd",
        env={**os.environ, "HOUNSFIELD_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not list((tmp_path / "cwd").iterdir())
    assert (tmp_path / "home" / "secrets" / "project.key").is_file()
    assert listing == sorted(ROOT.glob("*")) + sorted(ROOT.glob(".hounsfield/**/*"))


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, hounsfield.cli as cli\n"
        "from click.testing import CliRunner\n"
        "for name in ['', *cli.main.commands]:\n"
        "    assert CliRunner().invoke(cli.main, [*name.split(), '--help']).exit_code == 0\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    heavy = {"numpy", "pydicom", "sqlalchemy", "pydantic", "dask", "zarr", "rich", "torch"}
    assert heavy.isdisjoint(done.stdout.split())


# Usage.


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_of_itself(command: str, run: Run) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    _, _, example = result.output.partition("Example:")
    assert f"hounsfield {command}" in example.replace("HOUNSFIELD_HOME=/data ", "")
    # A daemon ends with its stop, not with a report; a statement is a document.
    assert ("--json" in result.output) == (command not in ("receive", "method-statement"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["phantom"],
        ["phantom", "out", "--studies", "many"],
        ["phantom", "out", "--studies", "-1"],
        ["phantom", "out", "--seed", "-1"],
        ["validate"],
        ["validate", "SOURCE", "--nonsense"],
        ["deidentify"],
        ["deidentify", "SOURCE"],
        ["deidentify", "SOURCE", "out", "--profile", "nonsense"],
        ["deidentify", "--explain", "NoSuchAttribute"],
        ["chunk", "SOURCE"],
        ["infer", "SOURCE"],
        ["lineage"],
        *([name, *(["missing", "out"][: 1 + (name in WRITERS)])] for name in ARGUMENTS),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(arguments: list[str], run: Run, study: Path, tmp_path: Path) -> None:
    places = {"SOURCE": study, "out": tmp_path / "out", "missing": tmp_path / "missing"}
    result = run(*(places.get(word, word) for word in arguments))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: ")
    assert not (tmp_path / "out").exists()


# phantom


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }


def test_phantoms_are_the_same_by_seed(tmp_path: Path, run: Run) -> None:
    arguments = ("--studies", "1", "--no-hard-cases", "--seed")
    told = run("phantom", tmp_path / "a", *arguments, "3", "--json")
    assert (told.exit_code, told.stderr) == (0, "")
    assert len(json.loads(told.stdout)["studies"]) == 1
    first = digests(tmp_path / "a")
    assert run("phantom", tmp_path / "b", *arguments, "3").exit_code == 0
    assert digests(tmp_path / "b") == first
    assert len(first) >= 60
    # Again into the same folder it finds them; another seed does not write over them.
    assert run("phantom", tmp_path / "a", *arguments, "3").exit_code == 0
    assert "holds something else" in refusal(run("phantom", tmp_path / "a", *arguments, "4"))
    assert digests(tmp_path / "a") == first


# validate


def test_a_sound_study_is_valid(study: Path, run: Run, tmp_path: Path) -> None:
    result = run("validate", study, "--docs", tmp_path / "docs", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (report,) = json.loads(result.stdout)
    assert report["errors"] == []
    assert Path(report["docs"]).is_file()
    assert "st-" in run("validate", study).stdout


def test_a_broken_study_is_refused_with_its_reason(study: Path, run: Run) -> None:
    (study / "0001.dcm").unlink()
    result = run("validate", study, "--json")
    assert "slice" in refusal(result)
    (report,) = json.loads(result.stdout)
    assert report["outcome"] == "refused"


def test_files_that_name_no_study_are_refused(study: Path, run: Run) -> None:
    for index, path in enumerate(sorted(study.iterdir())):
        dataset = ct_slice(index)
        dataset.StudyInstanceUID = ""
        if index % 2:
            del dataset.StudyInstanceUID
        write_dataset(dataset, path)
    result = run("validate", study, "--json")
    assert "without StudyInstanceUID" in refusal(result)
    (report,) = json.loads(result.stdout)
    assert report["study_key"] == "no-study"


@pytest.mark.parametrize("files", [[], ["notes.txt"]])
def test_nothing_to_validate_is_refused(files: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in files:
        (tmp_path / "in" / name).write_text("no DICOM")
    result = run("validate", tmp_path / "in", "--json")
    assert refusal(result) == "there is no DICOM file to validate"
    json.loads(result.stdout)


# deidentify


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


DICOMDIR = b"1.2.840.10008.1.3.10\0\0\0\0\0\0"


def entries(result: Result) -> dict[str, dict[str, Any]]:
    return {entry["input"]: entry for entry in json.loads(result.stdout)["files"]}


def test_every_file_has_an_output_or_a_reason(tmp_path: Path, run: Run) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    expected = odd_folder(source)
    result = CliRunner().invoke(
        main, ["deidentify", "--no-pixels", "--json", str(source), str(target)]
    )
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
    write_ct(tmp_path / "in")
    content = next((tmp_path / "in").rglob("*.dcm")).read_bytes()
    listing = content.replace(b"1.2.840.10008.5.1.4.1.1.2\0", DICOMDIR)
    (tmp_path / "in" / "DICOMDIR").write_bytes(listing)
    result = run("deidentify", tmp_path / "in", tmp_path / "out", "--no-pixels")
    assert (result.exit_code, result.stderr) == (0, "")


def test_the_layout_stays_and_is_the_same_again(tmp_path: Path, run: Run) -> None:
    write_ct(tmp_path / "in" / "one" / "deep")
    shutil.copytree(tmp_path / "in" / "one" / "deep", tmp_path / "in" / "two" / "deep")
    first = run("deidentify", tmp_path / "in", tmp_path / "a", "--no-pixels", "--json")
    again = run("deidentify", tmp_path / "in", tmp_path / "b", "--no-pixels", "--json")
    assert entries(first) == entries(again)
    folders = {Path(entry["output"]).parent for entry in entries(first).values()}
    assert len(folders) == 2
    assert len({folder.name for folder in folders}) == 1  # the same name in both
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_one_file_is_a_source_too(study: Path, tmp_path: Path, run: Run) -> None:
    for command in ("deidentify", "chunk"):
        one = run(command, *ARGUMENTS[command](study / "0000.dcm", tmp_path / command), "--json")
        assert one.exit_code == 0, one.output
        assert (tmp_path / command / "report.json").is_file()
    (tmp_path / "notes.txt").write_text("no DICOM")
    result = run("chunk", tmp_path / "notes.txt", tmp_path / "out", "--json")
    assert "no series makes a volume" in refusal(result)
    assert json.loads(result.stdout)["refused_files"] == {"notes.txt": "a file is not DICOM"}


def test_nothing_written_is_a_refusal(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    result = run("deidentify", tmp_path / "in", tmp_path / "out", "--json")
    assert "no file could be written" in refusal(result)
    assert json.loads(result.stdout)["refused"] == 1


def test_a_rule_is_explained(run: Run) -> None:
    told = json.loads(run("deidentify", "--explain", "PatientName", "--json").stdout)
    assert told["tag"] == "(0010,0010)"
    assert "(0010,0010)" in run("deidentify", "--explain", "PatientName").stdout


# chunk


def test_volumes_are_laid_out(study: Path, tmp_path: Path, run: Run) -> None:
    result = run("chunk", study, tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("1 volume of 1 series")
    told = CliRunner().invoke(main, ["chunk", str(study), str(tmp_path / "again"), "--json"])
    (entry,) = json.loads(told.stdout)["series"].values()
    assert entry["shape"] == {"z": 4, "y": 16, "x": 16}
    assert (tmp_path / "again" / entry["volume"] / "zarr.json").is_file()


def test_a_series_that_is_none_does_not_stop_the_others(
    study: Path, tmp_path: Path, run: Run
) -> None:
    series = generate_uid()
    for index in (0, 1, 3, 4):
        dataset = ct_slice(index)
        dataset.SeriesInstanceUID = series
        write_dataset(dataset, study / "gap" / f"{index}.dcm")
    assert run("chunk", study, tmp_path / "out").stdout.startswith("1 volume of 2 series")


# export


def test_a_folder_of_volumes_comes_back_with_equal_pixels(
    study: Path, tmp_path: Path, run: Run
) -> None:
    assert run("chunk", study, tmp_path / "volumes").exit_code == 0
    result = run("export", "--dicom", tmp_path / "volumes", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"Wrote 4 instances to {tmp_path / 'out'}.\n"
    sources, back = (
        {dataset.SOPInstanceUID: dataset for dataset in map(dcmread, folder.rglob("*.dcm"))}
        for folder in (study, tmp_path / "out")
    )
    assert sources.keys() == back.keys() and len(back) == 4
    for uid, dataset in sources.items():
        np.testing.assert_array_equal(back[uid].pixel_array, dataset.pixel_array)
    assert "something lies" in refusal(
        run("export", "--dicom", tmp_path / "volumes", tmp_path / "out")
    )


def test_a_study_comes_back_byte_for_byte_for_a_purpose(
    home: Path, study: Path, tmp_path: Path, run: Run
) -> None:
    site = Site.open()
    site.set_up()
    key = receive(site, files := sorted(study.rglob("*.dcm")))
    result = run("export", "--dicom", key, tmp_path / "out", "--purpose", "request 17")
    assert (result.exit_code, result.stderr) == (0, "")
    back = sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm"))
    assert back == sorted(path.read_bytes() for path in files)
    (event,) = [one for one in site.audit.entries(key) if one.action == "raw.read"]
    assert event.purpose == "request 17"
    refusal(run("export", "--dicom", key, tmp_path / "none", "--from", "volumes"))
    assert not (tmp_path / "none").exists(), "nothing was made of it yet"


# Places that cannot be written.


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
def test_a_full_disk_is_one_line(
    command: str, study: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        result = run(command, *ARGUMENTS[command](study, tmp_path / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ": File too large (" in refusal(result)  # the output, or a file on the way to it
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


# Faults.


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(CANARIES[0]), "ValueError in folders.py line "),
        (PermissionError(13, "Permission denied", CANARIES[0]), "the disk refuses: Permission"),
        (OSError(28, "No space left on device", CANARIES[0]), "the disk refuses: No space left"),
    ],
)
def test_a_fault_of_ours_does_not_tell_its_text(
    error: Exception, told: str, study: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("hounsfield.cli.folders.open_settings", fail)
    assert refusal(run("validate", study)).startswith(told)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg2://u:SECRET@127.0.0.1:1/x", "SECRET", "sqlite:////proc/SECRET.db"]
)
def test_a_database_that_does_not_answer_is_no_fault_to_report(
    url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUNSFIELD_CATALOG_URL", url)
    told = refusal(run("hold"))
    assert "HOUNSFIELD_CATALOG_URL" in told and "SECRET" not in told


def test_an_installation_that_is_not_set_up_says_so(study: Path, tmp_path: Path, run: Run) -> None:
    assert "run hounsfield setup" in refusal(run("lineage", "1.2.3"))
    assert "run hounsfield setup" in refusal(run("infer", study, tmp_path / "out"))


# infer and lineage, as a person starts them: MLflow and MONAI talk, and must not talk here.


def test_a_model_runs_on_a_folder(tmp_path: Path) -> None:
    home = {"HOUNSFIELD_HOME": str(tmp_path / "home")}
    made = shell("phantom", tmp_path / "in", "--studies", "1", "--no-hard-cases", "--json", **home)
    assert (made.returncode, made.stderr) == (0, "")
    write_ct(tmp_path / "in" / "tiny")  # no lungs in it: a reason, and no end to the others
    ready = shell("setup", "--json", **home)
    assert (ready.returncode, ready.stderr) == (0, "")
    assert json.loads(ready.stdout) == {"registered": ["lung_density v1"]}

    (tmp_path / "out" / f".se-killed.{'0' * 32}.part").mkdir(parents=True)
    done = shell("infer", tmp_path / "in", tmp_path / "out", "--json", **home)

    assert (done.returncode, done.stderr) == (0, "")
    series = json.loads(done.stdout)["series"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["series"] == series
    (key,) = [key for key, told in series.items() if told["summary"]]
    assert "Emphysema index" in series[key]["summary"]
    assert [told["reason"] for told in series.values() if not told["summary"]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {key, "report.json"}
    files = {path.name for path in (tmp_path / "out" / key).iterdir()}
    assert files >= {"prediction.json", "mask.npz", "sr.dcm", "seg.dcm"}

    report = read_header(tmp_path / "out" / key / "sr.dcm")
    (study,) = json.loads(made.stdout)["studies"]
    assert report.StudyInstanceUID == study["study_instance_uid"]
    asked = shell("lineage", report.SOPInstanceUID, **home)
    assert (asked.returncode, asked.stdout, asked.stderr.count("\n")) == (1, "", 1)
    assert "no result of this installation" in asked.stderr


# The gate, and evidence


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


@pytest.mark.parametrize("text", ["", "mine", '{"series": {}}'])
def test_a_report_of_somebody_else_is_left_alone(run: Run, tmp_path: Path, text: str) -> None:
    write_ct(tmp_path / "in", 1)
    report = tmp_path / "out" / "report.json"
    report.parent.mkdir()
    report.write_text(text)
    told = refusal(run("deidentify", tmp_path / "in", tmp_path / "out", "--no-pixels"))
    assert told.startswith("the output holds a report.json that tells of no de-identification")
    assert [*report.parent.iterdir()] == [report] and report.read_text() == text


def test_a_certificate_is_of_what_is_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of no run that breaks off while files are moved, and of none that came before."""
    write_ct(tmp_path / "in", 3)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_draft_for_good(
    run: Run, home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    write_ct(tmp_path / "in", 60)
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


def test_a_method_statement(run: Run) -> None:
    text = run("method-statement").stdout
    assert text.startswith("# How project demo takes the patient out of its images")
    assert run("method-statement", "--html").stdout.startswith("<!doctype html>")


def test_a_certificate_of_no_study(run: Run) -> None:
    run("setup")
    result = run("certificate", "st-none")
    assert result.exit_code == 1
    assert "st-none: the catalog knows no such study" in result.stderr


def test_a_rule_is_explained_with_its_reason(run: Run) -> None:
    told = run("deidentify", "--explain", "StudyDate", "--profile", "research").stdout
    assert "StudyDate" in told.replace(" ", "") and "option modified_dates" in told
    assert "PS3.15 Table E.1-1 2024e" in told
    told = run("deidentify", "--explain", "StudyDate").stdout
    assert "Basic Profile Z" in told


def test_a_legal_hold_is_set_listed_and_lifted(run: Run) -> None:
    run("setup")
    Site.open().catalog.put(Study(study_key="st-a", patient_key="pt-a"))
    (told,) = json.loads(run("hold", "pt-a", "--why", "matter 17", "--json").stdout)
    assert (told["subject"], told["why"]) == ("pt-a", "matter 17")
    assert told["set_by"].startswith("cli:")
    assert "1  pt-a  matter 17" in run("hold").stdout
    assert run("hold", "--lift", "1", "--why", "closed").stdout == "No legal hold stands.\n"
    assert run("hold", "--lift", "1", "--why", "closed").exit_code == 1
    assert run("hold", "pt-a").exit_code == 1, "without a reason"
    assert run("hold", "pt-a", "--lift", "1").exit_code == 2
