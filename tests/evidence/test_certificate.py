"""The certificate: whole, readable, the same again, and without an identity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hounsfield.deid import Profile
from hounsfield.errors import IntegrityError
from hounsfield.evidence import Certificate
from hounsfield.gate import Check, Finding, GateReport

HOSTILE = "<script>alert(1)</script>"
REPORT: dict[str, Any] = {
    "profile": "research",
    "profile_digest": "7" * 64,
    "edition": "2024e",
    "key_version": 3,
    "key_fingerprint": "f" * 16,
    "written": 12,
    "refused": [{"source": 4, "reason": "the pixels cannot be decoded"}],
    "actions": {
        **{"removed": 40, "emptied": 5, "dummy": 2, "uid": 36, "date shifted": 24, "cleaned": 3},
        **{"pseudonym": 24, "age capped": 1, "private kept": 6, "malformed": 1},
    },
    "rules": {"PRIVATE removed": 31, "PRIVATE private kept": 6, "00080020 date shifted": 24},
    "masked": [
        {"output": "a", "boxes": [[0, 0, 10, 20], [5, 5, 6, 6], [5, 18, 15, 22]]},
        {"output": "b", "boxes": [[0, 0, 1, 1]]},
    ],
}
GATE = GateReport(
    checks=(Check("sentinels", 12, 1, "looked for: person 2"), Check("pixels", 1, 0)),
    findings=(Finding("sentinels", "person", HOSTILE, 12, "2.25.1"),),
    code="0.1.0+abc",
)


def certificate(**changes: Any) -> Certificate:
    made: dict[str, Any] = {
        "report": REPORT,
        "input_digest": "1" * 64,
        "output_digest": "2" * 64,
        "engine": "0.1.0+def",
        "decision": {"by": "officer", "why": "a false alarm", "at": "2026-03-02T12:00:00"},
    }
    profile = Profile.load("research")
    return Certificate.of("p1", "st-a", profile, gate=GATE.to_dict(), **(made | changes))


def test_actions_are_told_by_the_codes_of_the_standard() -> None:
    told = certificate().actions
    assert told == {"C": 28, "D": 2, "K": 6, "U": 36, "X": 41, "Z": 29}
    assert sum(told.values()) == sum(REPORT["actions"].values())


def test_each_rule_that_acted_is_told_with_its_attribute() -> None:
    made = certificate()
    assert made.to_dict()["rules"]["00080020 date shifted"] == 24
    assert made.deeds[0] == (
        "(0008,0020) Study Date",
        "date shifted",
        "option modified_dates; PS3.15 Table E.1-1 2024e",
        24,
    )
    for attribute, action, by, _ in made.deeds:
        assert f"<td>{attribute}</td><td>{action}</td><td>{by}</td>" in made.to_html()
    assert "(0008,0020) Study Date: date shifted 24 [option modified_dates;" in str(made)


def test_what_decided_is_told_as_the_explanation_tells_it() -> None:
    """No row of the Standard is claimed for what a recipe or its VR decided."""
    text = "FORMAT dicom\n%header\nREPLACE PatientName Bob\n"
    changes = {"recipe": "ours.deid", "recipe_text": text}
    profile = Profile.load("research").model_copy(update=changes)
    rules = {"00100010 replaced": 1, "00180015 cleaned": 1}
    made = Certificate.of(
        "p1",
        "st-a",
        profile,
        {**REPORT, "rules": rules},
        GATE.to_dict(),
        input_digest="1" * 64,
        output_digest="2" * 64,
        engine="0.1.0",
        decision={"by": "gate", "why": "nothing was found", "at": ""},
    )
    (_, _, of_the_recipe, _), (_, _, of_none, _) = made.deeds
    assert of_the_recipe.startswith("recipe ours.deid: REPLACE PatientName, before the tables")
    assert of_none == "not in the tables: free text, kept by words"


def test_whoever_had_more_masked_is_named_where_the_gate_released() -> None:
    review = {"by": "officer", "decision": "masked", "why": "text", "at": "2026-03-02", "masks": 2}
    by_the_gate = {"by": "gate", "why": "nothing was found", "at": ""}
    made = certificate(decision=by_the_gate, reviews=[review])
    assert made.to_dict()["reviews"] == (review,)
    assert "<td>officer</td><td>masked</td><td>text</td><td>2</td>" in made.to_html()
    assert "officer, 2026-03-02: masked, text" in str(made)


def test_what_was_withheld_is_told_with_its_reason() -> None:
    made = certificate()
    assert (made.withheld, made.reasons) == (1, {"the pixels cannot be decoded": 1})
    assert "<td>1: the pixels cannot be decoded</td>" in made.to_html()
    assert "withheld 1: the pixels cannot be decoded" in str(made)


def test_what_was_masked_is_counted_and_measured() -> None:
    made = certificate()
    assert made.masked == {"objects": 2, "regions": 4, "pixels": 231}, "what overlaps counts once"
    assert made.regions["b"] == [[0, 0, 1, 1]]
    assert "<td><code>b</code></td><td>0, 0, 1, 1</td>" in made.to_html()
    assert certificate().private == {"removed": 31, "kept": 6}


def test_what_a_reviewer_had_masked_is_told_beside_what_the_cleaner_masked() -> None:
    by_the_cleaner, by_a_reviewer = [0, 0, 10, 20], [5, 0, 15, 20]
    entries = [{"output": "a", "boxes": [box]} for box in (by_the_cleaner, by_a_reviewer)]
    made = certificate(report={**REPORT, "masked": entries})
    assert made.regions == {"a": [by_the_cleaner, by_a_reviewer]}
    assert made.masked == {"objects": 1, "regions": 2, "pixels": 300}


def test_pixels_that_were_not_looked_at_are_not_called_clean() -> None:
    looked, not_looked = certificate(), certificate(pixels=False)
    assert "Clean Pixel Data Option" in looked.options and "PP-OCRv4" in looked.ocr
    assert "Clean Pixel Data Option" not in not_looked.options
    assert not_looked.ocr == "not asked for"


@pytest.mark.parametrize("pixels", [True, False])
def test_who_did_not_look_at_pixels_did_not_decide_of_them(pixels: bool) -> None:
    """Comments in compressed frames go however the pixels are met."""
    made = certificate(report={**REPORT, "rules": {"7FE00010 cleaned": 1}}, pixels=pixels)
    assert ("clean_pixel_data" in made.sources["7FE00010"]) == pixels


def test_it_is_written_and_read(tmp_path: Path) -> None:
    made = certificate()
    made.write(tmp_path)
    read = Certificate.read(tmp_path)
    assert json.loads(json.dumps(read.to_dict())) == json.loads(json.dumps(made.to_dict()))
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert first.keys() == {"certificate.json", "certificate.html"}
    certificate().write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_it_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Certificate, "to_html", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        certificate().write(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"options": []}'])
def test_what_is_no_certificate(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "certificate.json").write_text(content)
    with pytest.raises(IntegrityError):
        Certificate.read(tmp_path)


def test_the_page_says_what_the_json_says() -> None:
    page = certificate().to_html()
    for words in ("research", "2024e", "version 3", "officer", "a false alarm", "1" * 64, "2" * 64):
        assert words in page
    assert HOSTILE not in page and "&lt;script&gt;" in page
    assert "http" not in page, "it opens without a network"


def test_its_text_is_for_a_terminal() -> None:
    told = str(certificate())
    assert "st-a: doubtful; released by officer: a false alarm" in told
    assert "4 regions masked in 2 objects" in told
