"""The scorer, over an injected corpus; and that it sees what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.dataset import FileDataset

from hounsfield.cli import main
from hounsfield.deid.scoring import ACTIONS, AnswerKey, Check, Person, Score, score
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import ConfigError
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.midi import __main__ as midi

Make = Callable[..., FileDataset]
WHO = Person("MRN-740913")
OLD = "1.2.3.4.5"


@pytest.mark.data
def test_an_injected_corpus_scores_well(real_data: Path, tmp_path: Path) -> None:
    """Headers alone, over one file of each folder; the figure is taken over all."""
    key, found = midi.run({"data": real_data}, tmp_path, seed=5, pixels=False, per_folder=1)
    assert len(key.people) > 50
    counted = dict(found.actions)
    counted.pop("pixels_hidden")  # nothing looked at the pixels
    assert all(count > 20 for _, count in counted.values())
    assert midi.aimed_at(found, pixels=False) >= midi.AIM
    leaks = [one for one in found.failures if one.check.action in ("text_removed", "uid_changed")]
    assert not leaks


@pytest.mark.parametrize(
    ("done", "hidden", "arguments", "code"),
    [
        (999, 1, [], 0),
        (998, 1, [], 1),
        (998, 0, [], 1),
        (999, 0, ["--no-pixels"], 0),
        (998, 1, ["--no-pixels"], 1),
    ],
)
def test_who_misses_the_aim_ends_with_1(
    done: int, hidden: int, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = {"text_removed": (float(done), 1000), "pixels_hidden": (float(hidden), 1)}
    result = AnswerKey({}, ()), Score(actions, ())
    monkeypatch.setattr(midi, "corpus", lambda *_: {})
    monkeypatch.setattr(midi, "run", lambda *_, **__: result)
    monkeypatch.setattr("sys.argv", ["midi", *arguments])
    assert midi.main() == code


@pytest.mark.parametrize(
    ("action", "values", "good", "bad"),
    [
        ("tag_retained", (), {"StudyDescription": ""}, {"StudyDescription": None}),
        ("text_notnull", (), {"StudyDescription": "CT"}, {"StudyDescription": ""}),
        (
            "text_retained",
            ("CT chest",),
            {"StudyDescription": "CT x chest"},
            {"StudyDescription": "CT"},
        ),
        (
            "text_removed",
            ("Wu", "山田"),
            {"StudyDescription": "Wutang"},
            {"StudyDescription": "山田様 Wu"},
        ),
        ("uid_changed", (OLD,), {"StudyInstanceUID": "1.9"}, {"StudyInstanceUID": f"{OLD}.1"}),
        ("uid_consistent", (OLD,), {"StudyInstanceUID": "="}, {"StudyInstanceUID": "2.25.1"}),
        ("patid_consistent", (), {"PatientID": "="}, {"PatientID": "pt-other"}),
        ("date_shifted", ("20240229",), {"StudyDate": "="}, {"StudyDate": "20240228"}),
    ],
)
def test_each_action_tells_right_from_wrong(
    action: str,
    values: tuple[str, ...],
    good: dict[str, Any],
    bad: dict[str, Any],
    make_dataset: Make,
    pseudonyms: Pseudonyms,
    tmp_path: Path,
) -> None:
    right = {
        "StudyInstanceUID": pseudonyms.uid(OLD),
        "PatientID": pseudonyms.patient_key(WHO.patient_id),
        "StudyDate": pseudonyms.shift_date("20240229", pseudonyms.shift_days(WHO.patient_id)),
    }
    shares = []
    for change in (good, bad):
        dataset = make_dataset(SpecificCharacterSet="ISO_IR 192")
        ((keyword, value),) = change.items()
        path = f"{dataset[keyword].tag:08X}"
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, right[keyword] if value == "=" else value)
        check = Check(action, "a.dcm", path, values)
        shares.append(told(check, make_dataset(), dataset, tmp_path, pseudonyms))
    assert shares == [1, 0]


def told(
    check: Check, before: FileDataset, after: FileDataset, folder: Path, keys: Pseudonyms
) -> float:
    """The share of one check on one object, before and after."""
    write_dataset(before, folder / "in" / "a.dcm")
    write_dataset(after, folder / "out" / "b.dcm")
    key = AnswerKey({"a.dcm": WHO}, (check,))
    return score(key, folder / "in", {"a.dcm": folder / "out" / "b.dcm"}, keys).share


def test_half_of_the_tokens_is_half_a_check(
    make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    check = Check("text_removed", "a.dcm", "00081030", ("Brown", "Lung"))
    after = make_dataset(StudyDescription="CT lung")
    assert told(check, make_dataset(), after, tmp_path, pseudonyms) == 0.5


def test_what_is_withheld_fulfils_nothing(
    make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    write_dataset(make_dataset(), tmp_path / "a.dcm")
    key = AnswerKey({"a.dcm": WHO}, (Check("text_removed", "a.dcm", "00081030", ("Brown",)),))
    found = score(key, tmp_path, {}, pseudonyms)
    assert found.share == 0
    assert [failure.reason for failure in found.failures] == ["there is no output"]


def signed(make: Make, value: int) -> FileDataset:
    """A slice of −1000 with a stripe of `value`, 16 bits signed."""
    array = np.full((16, 16), -1000, np.int16)
    array[4:8, 4:12] = value
    dataset = make(
        Rows=16,
        Columns=16,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        PixelData=array.tobytes(),
    )
    dataset["PixelData"].VR = "OW"
    return dataset


def test_hidden_pixels_are_told_in_signed_values(
    make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """Where a cast would wrap: −1000 and 32000 lie 33000 apart, more than 16 bits can say."""
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:12] = 1
    values = ("0,0,16,16", np.packbits(mask.ravel()).tobytes().hex())
    check = Check("pixels_hidden", "a.dcm", "7FE00010", values)
    before = signed(make_dataset, 32000)
    for value, share in ((32000, 0), (30000, 0), (-1000, 1)):
        assert told(check, before, signed(make_dataset, value), tmp_path, pseudonyms) == share
    same = Check("pixels_retained", "a.dcm", "7FE00010")
    for value, share in ((32000, 1), (31999, 0)):
        assert told(same, before, signed(make_dataset, value), tmp_path, pseudonyms) == share


def test_a_key_reads_back_and_an_odd_one_is_refused(tmp_path: Path, pseudonyms: Pseudonyms) -> None:
    key = AnswerKey({"a.dcm": WHO}, (Check("text_removed", "a.dcm", "00081030", ("山田",)),))
    key.save(tmp_path / "key.json")
    assert AnswerKey.load(tmp_path / "key.json") == key
    (tmp_path / "key.json").write_text("[]")
    with pytest.raises(ConfigError):
        AnswerKey.load(tmp_path / "key.json")
    odd = AnswerKey({"a.dcm": WHO}, (Check("text_guessed", "a.dcm", "00081030"),))
    with pytest.raises(ConfigError, match="text_guessed"):
        score(odd, tmp_path, {}, pseudonyms)
    assert len(ACTIONS) == 10


def test_the_command_scores_and_quotes_nothing(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUNSFIELD_HOME", str(tmp_path / "home"))
    write_dataset(make_dataset(), tmp_path / "in" / "a.dcm")
    checks = (
        Check("text_removed", "a.dcm", "00081030", ("Quillfeather",)),
        Check("text_retained", "a.dcm", "00081030", ("CT Quillfeather",)),
    )
    AnswerKey({"a.dcm": WHO}, checks).save(tmp_path / "key.json")
    folders = [str(tmp_path / "in"), str(tmp_path / "out")]
    made = CliRunner().invoke(main, ["deidentify", *folders, "--profile", "research"])
    assert made.exit_code == 0
    scored = CliRunner().invoke(
        main, ["score-deid", str(tmp_path / "key.json"), *folders, "--json"]
    )
    assert scored.exit_code == 1
    summary = json.loads(scored.stdout)
    assert summary["share"] == 0.5
    assert [failure["action"] for failure in summary["failures"]] == ["text_retained"]
    assert "Quillfeather" not in scored.output
