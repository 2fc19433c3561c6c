"""Takes the README's pictures from a demonstration that is running here.

Run it after ``make demo``: ``python -m tests.e2e.screenshots``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from operators.local.installation import Installation

PICTURES = Path(__file__).with_name("screenshots")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    installation = Installation()
    os.environ.update(installation.environment)
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        page = browser.new_page(viewport={"width": 1680, "height": 900})
        _log_in(page, installation)
        _grid(page, installation)
        _study(page, installation)
        _lineage(page)
        browser.close()
    shutil.copyfile(installation.home / "demo" / "finding.png", PICTURES / "finding.png")


def _log_in(page: Page, installation: Installation) -> None:
    page.goto(f"http://127.0.0.1:{installation.ports.airflow}/")
    page.get_by_label("Username").fill("officer")
    page.get_by_label("Password").fill(installation.passwords["officer"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state("networkidle")


def _grid(page: Page, installation: Installation) -> None:
    page.goto(f"http://127.0.0.1:{installation.ports.airflow}/dags/prepare")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(3000)
    page.screenshot(path=PICTURES / "grid.png")


def _study(page: Page, installation: Installation) -> None:
    from sqlalchemy import select

    from hounsfield.catalog.models import Prediction
    from hounsfield.site import Site

    query = select(Prediction).where(Prediction.model == "lung_nodule", Prediction.findings > 0)
    row = Site.open().catalog.all(query)[0]
    base = f"http://127.0.0.1:{installation.ports.airflow}"
    page.goto(f"{base}/hounsfield/studies/{row.study_key}")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / "study.png")


def _lineage(page: Page) -> None:
    """The terminal's own output, as a picture."""
    from sqlalchemy import select

    from hounsfield.catalog.models import Delivery, Prediction
    from hounsfield.site import Site

    query = (
        select(Delivery)
        .join(Prediction, Prediction.prediction_id == Delivery.prediction_id)
        .where(Prediction.model == "lung_nodule", Delivery.kind == "sr")
    )
    uid = Site.open().catalog.all(query)[0].SOPInstanceUID
    command = [sys.executable, "-m", "hounsfield.cli", "lineage", uid]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = "\n".join(line[:150] for line in told.splitlines())
    style = "font: 14px ui-monospace, monospace; background: #111; color: #ddd; padding: 16px"
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "lineage.html"
        path.write_text(f"<meta charset=utf-8><pre style='{style}'>{lines}</pre>")
        page.goto(path.as_uri())
        page.locator("pre").screenshot(path=PICTURES / "lineage.png")


if __name__ == "__main__":
    main()
