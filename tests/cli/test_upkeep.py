"""``setup``, ``rotate-key`` and ``orphans``."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from hounsfield.settings import Settings
from hounsfield.site import Site
from tests.cli.running import Run, refusal
from tests.stages.received import receive


def test_an_installation_is_set_up_once_and_stays(home: Path, run: Run) -> None:
    first = run("setup")
    assert first.exit_code == 0 and first.stdout.startswith("Ready. Registered: ")
    key = Settings.load().site.key_file
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert run("setup").exit_code == 0
    assert key.read_bytes() == before


def test_a_new_key_is_added_and_used_from_when_it_is_named(home: Path, run: Run) -> None:
    run("setup")
    assert json.loads(run("rotate-key", "--json").stdout) == {"version": 2}
    assert Site.open().pseudonyms.version == 1
    told = run("rotate-key").stdout
    assert "Key 3 is in the key file" in told and "key_version: 3" in told
    settings = Settings.load()
    newer = settings.site.model_copy(update={"key_version": 3})
    assert Site(settings.model_copy(update={"site": newer})).pseudonyms.version == 3


def test_without_a_key_none_is_added(home: Path, run: Run) -> None:
    assert "hounsfield setup" in refusal(run("rotate-key"))
    assert not Settings.load().site.key_file.exists()


def test_orphans_are_listed_and_nothing_is_deleted(home: Path, study: Path, run: Run) -> None:
    run("setup")
    site = Site.open()
    receive(site, sorted(study.rglob("*.dcm")))
    assert run("orphans").stdout == "0 orphans.\n"
    left = Path(site.zone("raw").root) / "st-gone" / "left.dcm"
    left.parent.mkdir()
    left.write_bytes(b"1234")
    result = run("orphans")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  files  " in result.stdout and "4 bytes\n1 orphans.\n" in result.stdout
    (row,) = json.loads(run("orphans", "--json").stdout)
    assert (row["what"], row["files"], row["bytes"]) == ("files", 1, 4)
    assert left.exists()
