"""What each service of a local installation is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.local.installation import Installation
from operators.local.services import Service, Services

KEY = "HOUNSFIELD_PROJECT_KEY"


@pytest.mark.parametrize("needs_key", [True, False])
def test_the_key_goes_to_those_that_need_it(
    needs_key: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "4711")
    services = Services(Installation(tmp_path / "home"))
    services._folder.mkdir(parents=True)
    seen = tmp_path / "seen"
    script = f"env > {seen}.part; mv {seen}.part {seen}; exec sleep 60"
    service = Service("a", ("/bin/sh", "-c", script), seen.exists, needs_key=needs_key)
    services._spawn(service)
    try:
        services._wait(service)
    finally:
        services.stop()
    assert (f"{KEY}=4711" in seen.read_text()) == needs_key


def test_the_archive_and_mlflow_make_no_pseudonyms(tmp_path: Path) -> None:
    services = Services(Installation(tmp_path / "home"))
    without = {service.name for service in services._services() if not service.needs_key}
    assert without == {"pacs", "mlflow"}
