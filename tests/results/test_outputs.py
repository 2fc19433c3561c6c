"""The settings of results, their evidence as files, and the picture."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hounsfield.errors import ConfigError, GeometryError
from hounsfield.records import Finding
from hounsfield.results import (
    OutputSettings,
    build_seg,
    build_sr,
    describe,
    part10,
    render_finding,
)
from hounsfield.settings import parse
from tests.conftest import ROOT
from tests.results.made_up import NODULES, SCT, UID, WHEN, labels, predict, stack


def test_the_shipped_settings_are_the_defaults() -> None:
    assert parse(OutputSettings, ROOT / "configs" / "outputs.yaml") == OutputSettings()


@pytest.mark.parametrize(
    "text", ["segmentation: {kind: BINARY}", "segmentation: {type: FRACTIONAL}", "colour: red"]
)
def test_unknown_keys_and_values_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "outputs.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"configs/outputs\.yaml"):
        parse(OutputSettings, path)


def test_evidence_is_the_hash_of_the_file() -> None:
    seg = build_seg(predict(), labels(), stack(), uid=UID, when=WHEN)
    sr = build_sr(predict(), labels(), stack(), seg, uid=UID, when=WHEN)
    first, second = describe([seg, sr])
    assert seg is not None
    assert first.sha256 == hashlib.sha256(part10(seg)).hexdigest()
    assert (first.Modality, second.Modality) == ("SEG", "SR")
    assert second.to_dict()["SOPInstanceUID"] == sr.SOPInstanceUID
    assert describe([None, sr]) == [second]


def hounsfield_units() -> np.ndarray:
    rng = np.random.default_rng(3)
    volume = rng.normal(-820, 40, (7, 64, 96)).astype(np.float32)
    z, y, x = np.ogrid[:7, :64, :96]
    volume[((z - 3) * 3) ** 2 + (y - 30) ** 2 + (x - 40) ** 2 < 64] = 40
    return volume


def test_the_outline_is_on_the_finding(tmp_path: Path) -> None:
    volume = hounsfield_units()
    mask = (volume > -100).astype(np.uint8)
    finding = Finding(
        "Nodule", SCT["nodule"], NODULES[0].measurements, 1, box_zyx=((1, 6), (22, 39), (32, 49))
    )
    spacing, prediction = (2.0, 1.0, 1.0), predict()
    path = render_finding(
        volume, mask, finding, tmp_path / "a" / "f.png", spacing=spacing, prediction=prediction
    )
    again = render_finding(
        volume, mask, finding, tmp_path / "g.png", spacing=spacing, prediction=prediction
    )
    assert path.read_bytes() == again.read_bytes()
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    coloured = np.argwhere(pixels[..., 0] - pixels[..., 2] > 100)
    scale = pixels.shape[1] / 96
    assert np.abs(coloured.mean(axis=0) / scale - (30.5, 40.5)).max() < 2


@pytest.mark.parametrize("box", [None, ((6, 9), (0, 5), (0, 5))])
def test_a_finding_without_a_mask_is_drawn_too(box: object, tmp_path: Path) -> None:
    finding = Finding("Emphysema", SCT["lung"], box_zyx=box)  # type: ignore[arg-type]
    path = render_finding(
        hounsfield_units(),
        None,
        finding,
        tmp_path / "f.png",
        spacing=(1, 1, 1),
        prediction=predict(),
    )
    assert Image.open(path).size[0] == 600


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="the mask is"):
        render_finding(
            hounsfield_units(),
            labels(),
            NODULES[0],
            tmp_path / "f.png",
            spacing=(1, 1, 1),
            prediction=predict(),
        )
