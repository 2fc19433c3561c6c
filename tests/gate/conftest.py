"""One study, de-identified as it should be, for the tests to spoil."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset

from hounsfield.deid import Deidentifier, Profile
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.gate import GateReport, Output, inspect
from hounsfield.pseudonyms import Pseudonyms
from tests.quality.conftest import ct_slice, save

Edit = Callable[[FileDataset], None]


def put(keyword: str, value: object) -> Edit:
    return lambda dataset: setattr(dataset, keyword, value)


def drop(keyword: str) -> Edit:
    return lambda dataset: delattr(dataset, keyword)


def private(vr: str, value: Any) -> Edit:
    def edit(dataset: FileDataset) -> None:
        block = dataset.private_block(0x0009, "KNOWN TO NOBODY", create=True)
        block.add_new(0x10, vr, value)

    return edit


@dataclass
class Cleaned:
    """A raw file and what became of it."""

    raw: Path
    output: Path
    profile: Profile
    folder: Path

    def inspect(
        self, edit: Edit | None = None, *, pixels: bool = False, need_dciodvfy: bool = False
    ) -> GateReport:
        """The gate's verdict, after the output was spoilt."""
        path = self.output
        if edit is not None:
            dataset = read_header(path, stop_before_pixels=False)
            edit(dataset)
            path = self.folder / "spoilt.dcm"
            write_dataset(dataset, path)
        return inspect(
            [Output(self.raw, path)],
            [self.raw],
            self.profile,
            pixels=pixels,
            need_dciodvfy=need_dciodvfy,
        )

    def found(self, edit: Edit | None = None) -> set[tuple[str, str, str]]:
        """Findings as (check, rule, place)."""
        return {(f.check, f.rule, f.place) for f in self.inspect(edit).findings}


#: See `clean`.
Clean = Callable[..., Cleaned]


@pytest.fixture
def clean(tmp_path: Path) -> Clean:
    """De-identifies a CT slice; `edit` may change it before."""

    def make(edit: Edit | None = None, profile: str = "research") -> Cleaned:
        dataset = ct_slice(0)
        dataset.StationName = "KANARISTATION"
        dataset.DeviceSerialNumber = "CNRY-SERIAL-9"
        dataset.InstitutionName = "Finkenwerder Klinik"
        if edit is not None:
            edit(dataset)
        rules = Profile.load(profile)
        raw = save(dataset, tmp_path / "raw.dcm")
        engine = Deidentifier(rules, Pseudonyms(bytes(32), project="gate"), pixels=False)
        report = engine.study([raw], tmp_path / "out")
        (record,) = report.written
        return Cleaned(raw, tmp_path / "out" / record.output, rules, tmp_path)

    return make
