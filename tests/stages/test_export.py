"""Studies out of their zones again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from hounsfield.errors import ConfigError, IntegrityError, NotFound
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.export import export_raw
from hounsfield.stages.produce import open_raw
from tests.stages.received import receive, write_slices

RUN = RunContext(actor="tester")


def test_each_instance_comes_back_byte_for_byte(site: Site, tmp_path: Path) -> None:
    files = write_slices(tmp_path / "in")
    files[0].write_bytes(files[0].read_bytes() + bytes(6))  # as some archive pads them
    key = receive(site, files)
    assert export_raw(site, key, tmp_path / "out", run=RUN, purpose="request 17") == len(files)
    back = sorted(path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm"))
    assert back == sorted(path.read_bytes() for path in files)
    for path in (tmp_path / "out").rglob("*.dcm"):
        header = dcmread(path)
        assert path.stem == header.SOPInstanceUID
        assert path.parent.name == header.SeriesInstanceUID
    (event,) = [one for one in site.audit.entries() if one.action == "raw.read"]
    assert (event.purpose, event.actor, event.object) == ("request 17", "tester", key)


def test_a_flipped_bit_or_a_full_folder_is_refused(site: Site, tmp_path: Path) -> None:
    key = receive(site, write_slices(tmp_path / "in"))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("")
    with pytest.raises(ConfigError):
        export_raw(site, key, tmp_path / "there", run=RUN)
    with open_raw(site, key, purpose="spoil", run=RUN) as (folder, manifest):
        path = folder / manifest.instances[1].path
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content.tobytes())
    with pytest.raises(IntegrityError, match="not the one that was received"):
        export_raw(site, key, tmp_path / "out", run=RUN)
    with pytest.raises(NotFound):
        export_raw(site, "st-nobody", tmp_path / "out", run=RUN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "in", "there"]
