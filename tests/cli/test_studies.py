"""``export`` and ``hold``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pydicom import dcmread

from hounsfield.catalog.models import Study
from hounsfield.site import Site
from tests.cli.running import Run, refusal
from tests.stages.received import receive


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
