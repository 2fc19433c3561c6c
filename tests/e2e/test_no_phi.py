"""The canary test: nothing of the made-up patients is anywhere but in the raw zone and vault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from hounsfield.deid.pixels.ocr import find_text
from hounsfield.dicom.reading import read_header
from hounsfield.phantom import PhantomReport
from tests.e2e.conftest import Demo
from tests.e2e.leaks import search, search_database

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(4800)]


@pytest.fixture(scope="module")
def truth(demo: Demo) -> PhantomReport:
    return PhantomReport.read(demo.installation.home / "input")


def test_the_search_itself_finds_what_is_planted(demo: Demo, truth: PhantomReport) -> None:
    """Else an empty list would prove nothing."""
    found = search([demo.installation.home / "zones" / "raw"], truth.canaries) + search(
        [demo.installation.home / "zones" / "warm" / "raw"], truth.canaries
    )
    assert {leak.kind for leak in found} >= {"patient_name", "patient_id", "birth_date", "uid"}


ZONES = ("zones/deid", "zones/volumes", "zones/datasets", "zones/results", "zones/warm/volumes")
DATABASES = ("airflow/airflow.db", *(f"databases/{n}.db" for n in ("catalog", "mlflow", "vault")))


@pytest.mark.parametrize("place", [*ZONES, "docs", "mlflow", "demo"])
def test_zones_and_pages_hold_no_canary(demo: Demo, truth: PhantomReport, place: str) -> None:
    root = demo.installation.home / place
    # What the demonstration moved lies in the warm tier, which is searched as well.
    both = (root, demo.installation.home / place.replace("zones/", "zones/warm/", 1))
    is_filled = any(path.is_file() for one in both for path in one.rglob("*"))
    assert is_filled or "warm" in place, "where nothing is, nothing can be found"
    assert search([root], truth.canaries) == []


def test_logs_hold_no_canary(demo: Demo, truth: PhantomReport) -> None:
    home = demo.installation.home
    assert list((home / "airflow" / "logs").rglob("*.log"))
    assert search([home / "airflow" / "logs", home / "services"], truth.canaries) == []


@pytest.mark.parametrize("name", DATABASES)
def test_databases_hold_no_canary(demo: Demo, truth: PhantomReport, name: str) -> None:
    """The vault too: what it knows is encrypted. The write-ahead logs are searched as well."""
    path = demo.installation.home / name
    assert search_database(path, truth.canaries) == []
    files = {f"{path.parent.name}/{p.name}" for p in path.parent.glob(f"{path.name}*")}
    found = search([path.parent], truth.canaries)
    assert [leak for leak in found if leak.where in files] == []


def test_released_pixels_show_no_canary(demo: Demo, truth: PhantomReport) -> None:
    """OCR over every released image that had a name burned in."""
    words = {c.value.upper() for c in truth.canaries if c.kind in ("patient_name", "patient_id")}
    looked_at = 0
    for path in sorted((demo.installation.home / "zones" / "deid").rglob("*.dcm")):
        header = read_header(path)
        if header.SOPClassUID == CTImageStorage:
            continue
        looked_at += 1
        text = " ".join(box.text for box in find_text(_grey(path))).upper()
        assert not [word for word in words if word in text]
    assert looked_at >= 2


def test_pictures_show_no_canary(demo: Demo, truth: PhantomReport) -> None:
    """OCR over every picture that the pipeline drew, wherever it was put."""
    words = {c.value.upper() for c in truth.canaries if c.kind in ("patient_name", "patient_id")}
    drawn = [path for path in demo.installation.home.rglob("*.png") if "review" not in path.parts]
    assert {"results", "demo"} <= {part for path in drawn for part in path.parts}
    for path in drawn:
        picture = np.asarray(Image.open(path).convert("RGB"))
        text = " ".join(box.text for box in find_text(picture)).upper()
        assert not [word for word in words if word in text]


def _grey(path: Path) -> np.ndarray:
    """The first frame, 8 bits, axes (row, column)."""
    pixels = dcmread(path).pixel_array.astype(float)
    pixels = pixels if pixels.ndim == 2 else pixels[..., :3].mean(axis=-1)
    low, high = float(pixels.min()), float(pixels.max())
    return np.asarray((pixels - low) / max(high - low, 1) * 255, dtype=np.uint8)
