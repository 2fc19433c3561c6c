"""dciodvfy's errors that the received object did not have, and nothing else of what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset

from hounsfield.gate import Output, conformance, inspect
from tests.gate.conftest import Clean, drop
from tests.quality.conftest import CANARIES

FAMILY, GIVEN, *_ = CANARIES


@pytest.mark.server
def test_objects_of_another_structure_are_judged_too(
    clean: Clean, need_program: Callable[[str], str]
) -> None:
    """In a series of many, one whose output lacks what the others have."""
    need_program("dciodvfy")
    cleaned = clean()
    spoilt = Output(cleaned.raw, cleaned.folder / "spoilt.dcm")
    cleaned.inspect(drop("KVP"))
    good = Output(cleaned.raw, cleaned.output)
    report = inspect([good, good, spoilt], [cleaned.raw], cleaned.profile, pixels=False)
    assert [finding.place for finding in report.findings] == ["KVP in CTImage"]
    looked_at = {check.name: check.looked_at for check in report.checks}
    assert looked_at["conformance"] == 2


@pytest.mark.server
def test_an_error_that_the_input_did_not_have(
    clean: Clean, need_program: Callable[[str], str]
) -> None:
    need_program("dciodvfy")
    cleaned = clean()
    found = cleaned.found(drop("KVP"))
    errors = {(rule, place) for check, rule, place in found if check == "conformance"}
    assert errors == {("Missing attribute Type 2 Required Element", "KVP in CTImage")}
    # The input has it too: then it is not ours.
    both = clean(drop("KVP"))
    assert {check for check, _, _ in both.found()} <= {"sentinels", "standard"}


def test_where_it_is_not_installed_that_is_said(
    clean: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "program", lambda: None)
    report = clean().inspect(drop("KVP"))
    (check,) = (check for check in report.checks if check.name == "conformance")
    assert check.note == "not made: dciodvfy is not installed" and report.passed
    strict = clean().inspect(drop("KVP"), need_dciodvfy=True)
    assert not strict.passed
    assert "dciodvfy is not installed" in {finding.rule for finding in strict.findings}


def test_it_gets_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the project key."""
    monkeypatch.setenv("HOUNSFIELD_PROJECT_KEY", "4711")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "4711")
    tool = tmp_path / "dciodvfy"
    tool.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\n")
    tool.chmod(0o700)
    assert conformance.compare(str(tool), tool, tool, "") == []
    names = {line.split("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert "PATH" in names
    assert names <= {"PATH", "LANG", "LC_ALL", "PWD", "SHLVL", "OLDPWD", "_"}


@pytest.mark.server
def test_what_it_quotes_is_not_told(clean: Clean, need_program: Callable[[str], str]) -> None:
    need_program("dciodvfy")

    def edit(dataset: FileDataset) -> None:
        dataset[0x00080020] = DataElement(0x00080020, "DA", FAMILY, already_converted=True)
        dataset.PatientSex = FAMILY
        dataset.BodyPartExamined = f"{FAMILY} {GIVEN}"

    report = clean().inspect(edit)
    assert {finding.check for finding in report.findings} >= {"conformance", "sentinels"}
    told = json.dumps(report.to_dict()).upper()
    assert not [canary for canary in CANARIES if canary.upper() in told]
