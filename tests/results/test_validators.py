"""Independent judges: dciodvfy finds no error, and dsrdump reads the report."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from hounsfield.records import Finding
from hounsfield.results import (
    Predecessor,
    SourceImages,
    build_seg,
    build_sr,
    name_profile,
    part10,
)
from tests.results.made_up import (
    DIAMETER,
    NODULES,
    SCT,
    STACKS,
    UID,
    VOLUME,
    WHEN,
    labels,
    multi_frame,
    predict,
    stack,
)

pytestmark = pytest.mark.server

Program = Callable[[str], str]
REAL = ("ct_head_phantom", "mr_brain_flair", "pt_nema_phantom_1", "enh_ct_perfusion")


def errors_of(path: Path, need_program: Program) -> list[str]:
    done = subprocess.run(
        [need_program("dciodvfy"), str(path)], capture_output=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "SR" in said or "Segmentation" in said, "dciodvfy did not know the object"
    return [line for line in said.splitlines() if line.startswith("Error")]


LUNG = Finding("Lung", SCT["lung"], (VOLUME,), segment=2)


def built(
    images: SourceImages, mask: np.ndarray, findings: tuple[Finding, ...] = (NODULES[0], LUNG)
) -> dict[str, Dataset]:
    prediction = predict(findings=findings, measurements=(DIAMETER,))
    seg = build_seg(prediction, mask, images, uid=UID, when=WHEN)
    assert seg is not None
    with_seg = build_sr(prediction, mask, images, seg, uid=UID, when=WHEN)
    before = Predecessor(str(with_seg.SOPInstanceUID), str(with_seg.SeriesInstanceUID))
    without = build_sr(prediction, mask, images, None, uid=UID, when=WHEN, predecessor=before)
    return {"seg": seg, "sr": with_seg, "sr-without-seg": without}


def judge(objects: dict[str, Dataset], folder: Path, need_program: Program) -> None:
    for name, dataset in objects.items():
        name_profile(dataset, "d" * 64)
        path = folder / f"{name}.dcm"
        path.write_bytes(part10(dataset))
        assert errors_of(path, need_program) == [], name


@pytest.mark.parametrize("kind", STACKS)
def test_made_up_stacks(kind: str, tmp_path: Path, need_program: Program) -> None:
    judge(built(SourceImages.read(stack(kind)), labels()), tmp_path, need_program)


def test_multi_frame_images(tmp_path: Path, need_program: Program) -> None:
    images = SourceImages.read([multi_frame()], [5, 4, 3, 2, 1, 0, 6])
    judge(built(images, labels()), tmp_path, need_program)


@pytest.mark.parametrize("findings", [(), NODULES], ids=["none", "two of one segment"])
def test_other_findings(
    findings: tuple[Finding, ...], tmp_path: Path, need_program: Program
) -> None:
    judge(built(SourceImages.read(stack()), labels(), findings), tmp_path, need_program)


@pytest.mark.parametrize(
    "header",
    [
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
        {"PatientSex": "0000", "PatientAge": "sixty", "StudyDate": "soon", "StudyID": None},
    ],
)
def test_odd_headers(header: dict[str, object], tmp_path: Path, need_program: Program) -> None:
    judge(built(SourceImages.read(stack(**header)), labels()), tmp_path, need_program)  # type: ignore[arg-type]


@pytest.mark.data
@pytest.mark.parametrize("folder", REAL)
def test_real_series(folder: str, real_data: Path, tmp_path: Path, need_program: Program) -> None:
    from hounsfield.dicom.reading import read_header

    sources = [read_header(path) for path in sorted((real_data / folder).iterdir())]
    if "NumberOfFrames" in sources[0]:
        sources = sources[:1]
    images = SourceImages.read(sources)
    mask = np.zeros(images.shape, np.uint8)
    mask[:3, 2:5, 3:6], mask[1, 30:40, 30:40] = 1, 2
    judge(built(images, mask), tmp_path, need_program)


def test_dsrdump_reads_the_report(tmp_path: Path, need_program: Program) -> None:
    path = tmp_path / "sr.dcm"
    path.write_bytes(part10(built(SourceImages.read(stack()), labels())["sr"]))
    said = subprocess.run(
        [need_program("dsrdump"), "+Pl", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    for phrase in (
        "Comprehensive SR Document",
        "NOT FOR DIAGNOSTIC USE. A demonstration - trained on phantoms.",
        '"Certainty of Finding")="93.0" (%,UCUM,"Percent")',
        '"Volume")="523.6" (mm3,UCUM,"cubic millimeter")',
        '"Algorithm Name")="lung_nodule"',
        '"Referenced Segment")=(SG image',
        "2 findings.",
    ):
        assert phrase in said
