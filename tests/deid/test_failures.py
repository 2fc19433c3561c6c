"""What fails tells nobody: no canary in an exception, a log, a report or on the terminal."""

from __future__ import annotations

import json
import logging
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset

from hounsfield.cli import main
from hounsfield.deid import Deidentifier, KnownIdentifiers, Profile, Recipe, deidentify_folder
from hounsfield.deid.text import TextCleaner
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import HounsfieldError
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]
CANARIES = ("Quillfeather", "Ottoline", "740913", "19310407", "552201", "Brackenbury", "Odile")


def told_by(error: BaseException) -> str:
    """All that a log or a pickled error could show."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.args)


def quoted(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary.lower() in text.lower()]


def truncated(make: Make, path: Path) -> None:
    write_dataset(make(), path)
    path.write_bytes(path.read_bytes()[:-7])


def not_dicom(make: Make, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Quillfeather^Ottoline MRN-740913 19310407")


def wrong_vr(make: Make, path: Path) -> None:
    """Names where numbers belong, so that whoever converts them quotes them."""
    dataset = make()
    write_dataset(dataset, path)
    content = path.read_bytes()
    broken = content.replace(b"PN\x16\0Quillfeather^Ottoline", b"DS\x16\0Quillfeather^Ottoline")
    path.write_bytes(broken.replace(b"DA\x08\x0019310407", b"FD\x08\x0019310407"))


def without_class(make: Make, path: Path) -> None:
    dataset = make()
    write_dataset(dataset, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"Quillfeather Ottoline 740 "))


@pytest.mark.parametrize("spoil", [truncated, not_dicom, wrong_vr, without_class])
@pytest.mark.parametrize("profile", ["strict", "research"])
def test_a_file_that_cannot_be_read_is_not_quoted(
    spoil: Callable[[Make, Path], None],
    profile: str,
    make_dataset: Make,
    tmp_path: Path,
    pseudonyms: Pseudonyms,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    spoil(make_dataset, tmp_path / "in" / "a.dcm")
    with warnings.catch_warnings(record=True):  # pydicom's own; the commands silence them
        report = deidentify_folder(
            tmp_path / "in", tmp_path / "out", profile=Profile.load(profile), pseudonyms=pseudonyms
        )
    written = [path.read_bytes().decode("latin-1") for path in (tmp_path / "out").rglob("*.dcm")]
    shown = capfd.readouterr()
    logged = "".join(record.getMessage() for record in caplog.records if record.name != "pydicom")
    assert len(report.files) == 1
    assert (
        quoted(json.dumps(report.files) + shown.out + shown.err + logged + "".join(written)) == []
    )


class Broken(Exception):
    """As libraries raise it, with the value in its text."""


@pytest.mark.parametrize("method", ["known", "descriptor", "prose"])
def test_a_cleaner_that_breaks_is_not_quoted(
    method: str,
    make_dataset: Make,
    pseudonyms: Pseudonyms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_down(_: TextCleaner, text: str) -> str:
        raise Broken(f"cannot clean {text} of Quillfeather")

    monkeypatch.setattr(TextCleaner, method, break_down)
    dataset = make_dataset(ImageComments="Quillfeather")
    with pytest.raises(HounsfieldError) as caught:
        Deidentifier(Profile.load("research"), pseudonyms).header(
            dataset, KnownIdentifiers.gather([dataset])
        )
    assert "Broken" in str(caught.value)
    assert quoted(told_by(caught.value)) == []


def test_a_recipe_that_breaks_is_not_quoted(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_: Recipe, dataset: FileDataset) -> None:
        raise Broken(f"no such value: {dataset.PatientName} Quillfeather")

    monkeypatch.setattr(Recipe, "add", break_down)
    write_dataset(make_dataset(), tmp_path / "in" / "a.dcm")
    report = Deidentifier(Profile.load("strict"), pseudonyms).study(
        [tmp_path / "in" / "a.dcm"], tmp_path / "out"
    )
    (refusal,) = report.refused
    assert "Broken" in refusal.reason
    assert quoted(json.dumps(report.to_dict())) == []


def test_a_value_that_cannot_be_written_is_not_quoted(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise ValueError("cannot encode Quillfeather")

    write_dataset(make_dataset(), tmp_path / "in" / "a.dcm")
    monkeypatch.setattr("hounsfield.deid.study.write_dataset", break_down)
    report = Deidentifier(Profile.load("strict"), pseudonyms).study(
        [tmp_path / "in" / "a.dcm"], tmp_path / "out"
    )
    assert [record.code for record in report.refused] == ["deidentification"]
    assert quoted(json.dumps(report.to_dict())) == []


def test_the_command_quotes_nothing_of_what_it_refuses(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUNSFIELD_HOME", str(tmp_path / "home"))
    for number, spoil in enumerate((truncated, not_dicom)):
        spoil(make_dataset, tmp_path / "in" / f"{number}.dcm")
    told = CliRunner().invoke(
        main, ["deidentify", str(tmp_path / "in"), str(tmp_path / "out"), "--json"]
    )
    assert told.exit_code == 1
    assert quoted(told.output) == []


def test_no_record_holds_an_element(make_dataset: Make, pseudonyms: Pseudonyms) -> None:
    dataset = make_dataset()
    dataset.add(DataElement(0x00181050, "DS", ""))
    record = Deidentifier(Profile.load("research"), pseudonyms).header(
        dataset, KnownIdentifiers.gather([make_dataset()])
    )
    assert quoted(repr(record)) == []
