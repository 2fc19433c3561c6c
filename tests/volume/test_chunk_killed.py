"""A chunking that is killed, wherever: nothing is half or doubled, and nothing is left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from hounsfield.cli import main
from hounsfield.dicom.folders import new_folder, sweep_parts
from hounsfield.errors import ConfigError
from hounsfield.volume import Volume, chunk_folder
from hounsfield.volume.export import export_volumes
from tests.killing import drawn, in_a_process
from tests.volume.series import ct_slice, write_series

# This process has threads of codecs by now, which a fork of it would wait for in vain.
_CLEAN = multiprocessing.get_context("forkserver")
_CLEAN.set_forkserver_preload([__name__])
SLICES = 140


def chunk(source: Path, out: Path) -> None:
    main(["chunk", "--json", str(source), str(out)], standalone_mode=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "in"
    write_series(folder, [ct_slice(index, shape=(160, 160)) for index in range(SLICES)])
    return folder


@pytest.fixture(scope="module")
def events(source: Path) -> int:
    """How many events a whole chunking has."""
    code, count = in_a_process(_CLEAN, chunk, source, source.parent / "whole")
    assert code == 0
    assert count > SLICES
    return count


@pytest.fixture
def volume(source: Path, events: int) -> Path:
    """As one is that nobody killed."""
    return source.parent / "whole" / "2.25.1.ome.zarr"


@pytest.mark.parametrize("seed", range(10))
def test_killed_anywhere_nothing_is_half_or_doubled(
    tmp_path: Path, source: Path, events: int, volume: Path, seed: int
) -> None:
    out = tmp_path / "out"
    code, _ = in_a_process(_CLEAN, chunk, source, out, **drawn(seed, events))
    assert code == -signal.SIGKILL
    for path in out.glob("*.ome.zarr"):  # none, or the whole of it
        Volume.open(path).verify()
    code, _ = in_a_process(_CLEAN, chunk, source, out)
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["2.25.1.ome.zarr", "report.json"]
    report = json.loads((out / "report.json").read_text())
    made, whole = Volume.open(out / report["series"]["2.25.1"]["volume"]), Volume.open(volume)
    made.verify()
    assert made.digest == whole.digest
    np.testing.assert_array_equal(made.array[:], whole.array[:])


def test_what_a_living_run_writes_is_left_alone(tmp_path: Path) -> None:
    """However old it is: only the death of who writes it makes it litter."""
    with new_folder(tmp_path / "out") as part:
        os.utime(part, (0, 0))
        sweep_parts(tmp_path, "*")
        assert part.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_export_leaves_nothing_for_good(tmp_path: Path, volume: Path) -> None:
    code, _ = in_a_process(_CLEAN, export_volumes, volume, tmp_path / "out", kill_at=200)
    assert code == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    assert export_volumes(volume, tmp_path / "out") == SLICES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_in_the_way_is_told_as_one(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out").write_text("no folder")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(ConfigError, match="a file lies where"):
            chunk_folder(source, out)
